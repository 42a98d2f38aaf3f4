"""FRED on loopback: what was published when, told the way api.stlouisfed.org and fredgraph.csv tell it.

    with FredStandIn({"GDP": [("2023-10-01", "2024-01-25", "27938.8")]}) as fred:
        FredSource(base_url=fred.url)  # with FRED_API_KEY set to fred.key

``series``: id -> (about, the day of publication, value), '.' for no value. ``unarchived``: ids of which only today's values
are kept. ``most``: the vintages that one answer may span; ``page``: the rows of one. ``refuse`` puts answers in line that
come before any other.
"""

from __future__ import annotations

from tests.sources.stand_in import Answer, Query, StandIn

TODAY, FOREVER = "2024-06-03", "9999-12-31"


def bad_request(message: str, status: int = 400) -> Answer:
    return Answer({"error_code": status, "error_message": f"Bad Request.  {message}"}, status=status)


class FredStandIn(StandIn):
    key = "abcdefghijklmnopqrstuvwxyz123456"

    def __init__(self, series: dict[str, list[tuple[str, str, str]]], unarchived: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.series, self.unarchived, self.most, self.page = series, unarchived, 2000, 100_000
        self.refusals: list[Answer] = []

    def refuse(self, *answers: Answer) -> None:
        self.refusals += answers

    def answer_to(self, path: str, query: Query) -> Answer:
        if self.refusals:
            return self.refusals.pop(0)
        asked = {name: values[0] for name, values in query.items()}
        if path == "/graph/fredgraph.csv":
            return self._graph(asked["id"])
        if path not in ("/fred/series/observations", "/fred/series/vintagedates"):
            return Answer("<html><body>Page not found</body></html>", status=404, kind="text/html")
        if asked.get("api_key") != self.key:
            return bad_request("The value for variable api_key is not registered.")
        if asked["series_id"] not in self.series:
            return bad_request("The series does not exist.")
        name = asked["series_id"]
        if name in self.unarchived and ("realtime_start" in asked or path.endswith("vintagedates")):
            return bad_request("The series does not exist in ALFRED but may exist in FRED.")
        first, last = asked.get("realtime_start", TODAY), asked.get("realtime_end", TODAY)
        vintages = sorted({day for _, day, _ in self.series[name] if first <= day <= last})
        if path.endswith("vintagedates"):
            begin = int(asked["offset"])
            page = vintages[begin : begin + min(int(asked["limit"]), 3)]  # short pages: more of them
            return Answer({"count": len(vintages), "offset": begin, "limit": 3, "vintage_dates": page})
        if len(vintages) > self.most:
            return bad_request(
                f"There are {len(vintages)} vintage dates in the specified real-time period: {first} to {last}.  "
                f"This exceeds the maximum number of vintage dates allowed ({self.most})."
            )
        return self._observations(name, first, last, asked)

    def _observations(self, name: str, first: str, last: str, asked: dict[str, str]) -> Answer:
        """Each value of each real-time period, its ends cut to those asked for."""
        rows = []
        for about in sorted({a for a, _, _ in self.series[name]}):
            told = sorted((day, value) for a, day, value in self.series[name] if a == about)
            for n, (day, value) in enumerate(told):
                until = told[n + 1][0] if n + 1 < len(told) else FOREVER
                if day <= last and until > first and about >= asked.get("observation_start", ""):
                    start = TODAY if name in self.unarchived else max(day, first)
                    rows.append({"realtime_start": start, "realtime_end": min(until, last), "date": about, "value": value})
        begin, limit = int(asked.get("offset", 0)), min(int(asked.get("limit", 100_000)), self.page)
        return Answer({"count": len(rows), "offset": begin, "limit": limit, "observations": rows[begin : begin + limit]})

    def _graph(self, name: str) -> Answer:
        if name not in self.series:
            return Answer("<html><body>We're sorry, but something went wrong</body></html>", status=404, kind="text/html")
        newest: dict[str, tuple[str, str]] = {}
        for about, day, value in self.series[name]:
            newest[about] = max(newest.get(about, ("", "")), (day, value))
        text = "".join(f"{about},{value}\n" for about, (_, value) in sorted(newest.items()))
        return Answer(f"observation_date,{name}\n{text}", kind="application/csv")
