"""FRED, the economic series of the Federal Reserve Bank of St. Louis: with a key all vintages, without one the newest.

With a key each value comes with the day on which it was published (``realtime_start``, the archive that is called ALFRED);
it counts as public at the end of that day in New York. Without one the public ``fredgraph.csv`` gives the values as they
stand now, and the rules of forecasting/macro.py say when they may be used.

Habits seen: a request may span at most 2,000 vintages, and says so with status 400; so it says that it knows no such series
or no such key. ``realtime_start`` is never before the one asked for, so that the first day asked for proves nothing. Two
requests a second are allowed (2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import Blocked, Malformed, PricesFileError, RateLimited, SourceDown, SourceError, UnknownSymbol
from forecasting.macro import end_of_day, publication_of, rule_of
from sources.asking import WAITS, ask_each
from sources.base import Cost
from sources.keys import from_environment
from sources.macro import MacroFetched, macro_values
from sources.macro_files import macro_table
from sources.meter import Meter
from sources.tables import read_table_bytes
from sources.web import Answer, Web

KEY = "FRED_API_KEY"
API = "https://api.stlouisfed.org/fred/series"
GRAPH = "https://fred.stlouisfed.org/graph/fredgraph.csv"
FIRST, LAST = date(1776, 7, 4), date(9999, 12, 31)  # how FRED writes "from the first" and "until now"
MOST_VINTAGES, MOST_ROWS, MOST_DATES = 2000, 100_000, 10_000  # of one answer
LOOK_BACK = timedelta(days=7)  # asked for again, since a day may go on after it was asked for
UNREVISED_SPAN = timedelta(days=730)  # of a series that is never revised only the newest days are asked for again


class FredSource:
    """Series of FRED by their ids (DGS10, UNRATE), their vintages too with the key in the environment variable FRED_API_KEY.

    ``base_url``: a stand-in server. ``waits``: the pauses after a rate limit, in seconds. ``most_vintages``: how many one
    request may span.
    """

    name = "fred"
    cost = Cost(requests_per_symbol=2, seconds_between=0.5)

    def __init__(self, base_url: str | None = None, waits: Sequence[float] = WAITS, most_vintages: int = MOST_VINTAGES) -> None:
        self._key = from_environment(KEY)
        self.name = "fred" if self._key else "fredgraph"  # what is stored says whether its dates are FRED's
        self._base_url, self._waits, self._most = base_url, tuple(waits), most_vintages
        self.meter = Meter(self.cost)

    def series(self) -> None:
        return None

    def identity(self) -> str:
        return self.name

    def fetch(self, series: Sequence[str], since: date | None = None) -> MacroFetched:
        """With a key the vintages published since a week before ``since`` (None: all); without one all newest values."""
        wanted, notes = [name.upper() for name in series], []
        with Web(
            self.name, self.meter, hosts=("api.stlouisfed.org", "fred.stlouisfed.org"), base_url=self._base_url,
            secrets=[self._key] if self._key else [],
        ) as web:  # fmt: skip
            ask = self._vintages if self._key else self._newest
            answers, failures = ask_each(self.name, wanted, lambda name: ask(web, name, since, notes), waits=self._waits)
        revised = [name for name in answers if rule_of(name).revised]
        if not self._key and revised:
            notes.append(
                f"fred without a key gives {', '.join(revised)} as revised until today; set FRED_API_KEY for what was "
                "published at the time"
            )
        return MacroFetched(macro_values(pd.concat([macro_values(), *answers.values()])), failures, tuple(notes))

    # --- without a key ----------------------------------------------------------------------------------------------

    def _newest(self, web: Web, name: str, since: date | None, notes: list[str]) -> pd.DataFrame:
        answer = web.get(GRAPH, {"id": name}, symbol=name)
        try:
            values = macro_table(read_table_bytes(Path("fredgraph.csv"), answer.body), Path("fredgraph.csv"))
        except PricesFileError as error:
            raise web.error(Malformed, name, str(error)) from error
        if set(values["series"]) - {name}:
            raise web.error(Malformed, name, f"fredgraph.csv holds {', '.join(sorted(set(values['series'])))} instead")
        return values

    # --- with a key -------------------------------------------------------------------------------------------------

    def _vintages(self, web: Web, name: str, since: date | None, notes: list[str]) -> pd.DataFrame:
        begin = FIRST if since is None else since - LOOK_BACK
        first_day = None if since is None or rule_of(name).revised else begin - UNREVISED_SPAN
        try:
            rows = self._observations(web, name, begin, LAST, first_day)
        except _TooManyVintages:
            rows = self._in_parts(web, name, begin, first_day)
        except _NotArchived:
            notes.append(f"FRED keeps no vintages of {name}; its values count by the rule for such a series")
            values = pd.DataFrame(self._rows(web, name, {}), columns=["about", "start", "value"])
            return macro_values(values.assign(series=name, published_at=np.datetime64("NaT", "us")))
        frame = pd.DataFrame(rows, columns=["about", "start", "value"]).astype(
            {"about": "datetime64[us]", "start": "datetime64[us]"}
        )
        frame = frame.sort_values(["about", "start"], kind="stable").drop_duplicates(["about", "start"], keep="last")
        again = (frame["about"] == frame["about"].shift()) & (frame["value"] == frame["value"].shift())
        frame = frame[~again]  # said again in a later part
        if since is not None:
            frame = frame[frame["start"] > pd.Timestamp(begin)]  # on the first day stands whatever was true before
        return macro_values(frame.assign(series=name, published_at=_published(name, frame, whole=since is None)))

    def _in_parts(self, web: Web, name: str, begin: date, first_day: date | None) -> list[tuple]:
        """The observations in as many requests as their vintages need."""
        days: list[str] = []
        while True:
            asked = {"realtime_start": begin, "realtime_end": LAST, "limit": MOST_DATES, "offset": len(days)}
            found = self._get(web, "vintagedates", name, asked)
            days += _listed(web, name, found, "vintage_dates")
            if len(days) >= int(found.get("count", 0)) or not found["vintage_dates"]:
                break
        rows: list[tuple] = []
        for at in range(0, len(days), self._most):
            end = LAST if at + self._most >= len(days) else _day(web, name, days[at + self._most]) - timedelta(days=1)
            rows += self._observations(web, name, begin if at == 0 else _day(web, name, days[at]), end, first_day)
        return rows

    def _observations(self, web: Web, name: str, begin: date, end: date, first_day: date | None) -> list[tuple]:
        asked: dict[str, Any] = {"realtime_start": begin, "realtime_end": end}
        return self._rows(web, name, asked | ({} if first_day is None else {"observation_start": first_day}))

    def _rows(self, web: Web, name: str, asked: Mapping[str, Any]) -> list[tuple]:
        """(about, realtime_start, value) of every observation that has a value, page after page."""
        rows: list[tuple] = []
        seen = 0
        while True:
            page = self._get(web, "observations", name, {**asked, "limit": MOST_ROWS, "offset": seen})
            found = _listed(web, name, page, "observations")
            for row in found:
                try:
                    if row["value"] != ".":
                        value = float(row["value"])
                        rows.append((date.fromisoformat(row["date"]), date.fromisoformat(row["realtime_start"]), value))
                except (KeyError, TypeError, ValueError) as error:
                    raise web.error(Malformed, name, f"an observation that is none: {row}") from error
            seen += len(found)
            if not found or seen >= int(page.get("count", 0)):
                return rows

    def _get(self, web: Web, what: str, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        query = {"series_id": name, **{k: str(v) for k, v in asked.items()}, "file_type": "json", "api_key": self._key}
        found = web.get(f"{API}/{what}", query, symbol=name, judge=lambda answer: _meaning(web, name, answer)).json()
        if not isinstance(found, dict):
            raise web.error(Malformed, name, "an answer that is JSON but no object")
        return found


class _TooManyVintages(Exception):
    pass


class _NotArchived(Exception):
    pass


def _meaning(web: Web, name: str, answer: Answer) -> Exception | None:
    """What FRED says of itself in an answer of status 400 or 404; None for everything else."""
    if answer.status not in (400, 404):
        return None
    try:
        said = str(answer.json().get("error_message", ""))
    except (SourceError, AttributeError):
        return None
    low = said.lower()
    if "maximum number of vintage dates" in low:
        return _TooManyVintages(said)
    if "does not exist in alfred" in low:
        return _NotArchived(said)
    if "api_key" in low:
        return web.error(Blocked, name, said, "check FRED_API_KEY, or unset it to do without vintages")
    if "series does not exist" in low or "value for variable series_id" in low:
        return web.error(UnknownSymbol, name, "FRED has no such series", "look it up at fred.stlouisfed.org")
    if "too many requests" in low or "rate limit" in low:
        return web.error(RateLimited, name, said)
    if "internal server error" in low:
        return web.error(SourceDown, name, said)
    return web.error(Malformed, name, said or f"answered {answer.status}")


def _listed(web: Web, name: str, page: Mapping[str, Any], what: str) -> list:
    if not isinstance(found := page.get(what), list):
        raise web.error(Malformed, name, f"an answer without {what}")
    return found


def _day(web: Web, name: str, text: object) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise web.error(Malformed, name, f"{text!r:.40} is no vintage date") from error


def _published(name: str, frame: pd.DataFrame, whole: bool) -> np.ndarray:
    """The instants of publication: the end of the day that FRED names.

    The archive begins one day with all there was by then. Values of a series that is never revised were the same before,
    so for them that day is the latest and the rule of the series may say an earlier one.
    """
    start, about = (frame[c].to_numpy().astype("datetime64[D]") for c in ("start", "about"))
    published = end_of_day(start)
    rule = rule_of(name, about)
    if whole and len(start) and not rule.revised:
        old = start == start.min()
        published[old] = np.minimum(published[old], publication_of(rule, about[old]))
    return published
