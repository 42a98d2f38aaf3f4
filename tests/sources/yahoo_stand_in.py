"""A server on loopback that answers as Yahoo's chart service does, well or badly, through real sockets.

    with YahooStandIn() as yahoo:
        yahoo.say("AAPL", chart([("2024-01-02", 100.0)], splits={"2024-06-10": 4}))
        YahooSource(base_url=yahoo.url).fetch(["AAPL"])

``say(symbol, …)`` puts one or several answers in line; the last one is repeated. ``requests`` lists what was asked.
``fail_at_random(0.05)`` makes each way of failing befall that share of the answers, whatever was said.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.sources.stand_in import Answer, Query, StandIn

CHART = "/v8/finance/chart/"


def chart(
    rows: Sequence[tuple],
    splits: dict[str, float] | None = None,
    dividends: dict[str, float] | None = None,
    symbol: str = "AAPL",
    zone: str = "America/New_York",
    currency: str = "USD",
    hour: int = 9,
) -> Answer:
    """Rows of (date, close) or (date, open, high, low, close, volume); None anywhere is a null."""
    full = [(r[0], r[1], r[1], r[1], r[1], 1000) if len(r) == 2 else r for r in rows]
    at = [_stamp(r[0], zone, hour) for r in full]
    meta = {
        "symbol": symbol,
        "currency": currency,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": zone,
        "timezone": "EST",
        "gmtoffset": -18000,
        "regularMarketTime": at[-1] if at else 0,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "max"],
        "currentTradingPeriod": {
            p: {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": 0} for p in ("pre", "regular", "post")
        },
        "firstTradeDate": at[0] if at else None,
    }
    quote = {k: [r[i] for r in full] for i, k in enumerate(("open", "high", "low", "close", "volume"), start=1)}
    result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]}}
    if at:
        result["timestamp"] = at
    else:
        result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    events: dict[str, Any] = {}
    if splits:
        stamped = {_stamp(d, zone, hour): n for d, n in splits.items()}
        events["splits"] = {
            str(t): {
                "date": t,
                "numerator": n if n >= 1 else 1,
                "denominator": 1 if n >= 1 else round(1 / n),
                "splitRatio": f"{n}:1",
            }
            for t, n in stamped.items()
        }
    if dividends:
        events["dividends"] = {
            str(t): {"amount": v, "date": t} for t, v in ((_stamp(d, zone, hour), v) for d, v in dividends.items())
        }
    if events:
        result["events"] = events
    return Answer({"chart": {"result": [result], "error": None}})


def _stamp(day: str, zone: str, hour: int) -> int:
    moment = datetime.fromisoformat(day)
    return int(
        moment.replace(
            hour=moment.hour or hour, minute=30 if not moment.hour else moment.minute, tzinfo=ZoneInfo(zone)
        ).timestamp()
    )


def unknown() -> Answer:
    error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    return Answer({"chart": {"result": None, "error": error}}, status=404)


def rate_limited() -> Answer:
    return Answer("Edge: Too Many Requests", status=429, kind="text/html")


def server_error() -> Answer:
    return Answer("upstream connect error", status=500, kind="text/plain")


def web_page() -> Answer:
    return Answer("<!DOCTYPE html><html><body>Please sign in to the hotel network</body></html>", kind="text/html")


def empty() -> Answer:
    return chart([])


def malformed() -> Answer:
    return Answer('{"chart": {"result": [{"meta": {"curr')


def cut() -> Answer:
    """The connection ends inside the answer."""
    return Answer('{"chart": {"result": []}}', cut=10)


def unanswered() -> Answer:
    """The connection ends before the answer."""
    return Answer("", cut=0)


def slow(seconds: float = 3.0) -> Answer:
    return Answer({}, wait=seconds)


def partial(good: Answer) -> Answer:
    """The same answer without the later half of its bars."""
    return _changed(good, lambda values: values[: max(1, len(values) // 2)])


def null_last(good: Answer) -> Answer:
    """The same answer with nothing in its last bar."""
    return _changed(good, lambda values: [*values[:-1], None], stamps=False)


def without_prices(good: Answer) -> Answer:
    """The same answer with the close alone, as Yahoo gives it when asked for no more."""
    said = json.loads(good.body)
    for quote in said["chart"]["result"][0]["indicators"]["quote"]:
        for word in ("open", "high", "low", "volume"):
            quote.pop(word, None)
    return Answer(said)


def _changed(good: Answer, change: Callable[[list], list], stamps: bool = True) -> Answer:
    try:
        said = json.loads(good.body)
        result = said["chart"]["result"][0]
        lists = [result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]]
        times = result["timestamp"]
    except (ValueError, TypeError, KeyError, IndexError):
        return good  # it is none that has bars
    for columns in lists:
        for word in columns:
            columns[word] = change(columns[word])
    if stamps:
        result["timestamp"] = change(times)
    return Answer(said)


# way of failing -> the answer in place of the good one
FAILURES: Mapping[str, Callable[[Answer], Answer]] = {
    "429": lambda good: rate_limited(),
    "html": lambda good: web_page(),
    "404": lambda good: unknown(),
    "empty": lambda good: empty(),
    "malformed": lambda good: malformed(),
    "500": lambda good: server_error(),
    "cut": lambda good: cut(),
    "unanswered": lambda good: unanswered(),
    "partial": partial,
    "null": null_last,
}


class YahooStandIn(StandIn):
    """The server; ``url`` is where it listens while the ``with`` block lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, list[Answer]] = {}
        self.crumb = Answer("crumb123", kind="text/plain")
        self.failed: Counter[str] = Counter()  # by way
        self._asked: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._chance = random.Random(0)

    def say(self, symbol: str, *answers: Answer) -> None:
        """The answers to requests for prices of ``symbol``, one after the other, the last for ever."""
        self.answers[symbol] = list(answers)
        self._asked[symbol] = 0

    def fail_at_random(self, rate: float, ways: Sequence[str] = tuple(FAILURES), seed: int = 0) -> None:
        """From now on each of ``ways`` befalls this share of the answers to requests for prices, one way at most an answer.

        The same seed and the same requests in the same order: the same failures. ``failed`` counts them.
        """
        if rate * len(ways) > 1.0:
            raise ValueError("more than every answer would fail")
        self._rates, self._chance, self.failed = dict.fromkeys(ways, rate), random.Random(seed), Counter()

    def asked(self, symbol: str) -> int:
        """How many requests for prices of ``symbol`` have come."""
        return super().asked(CHART + symbol)

    def answer_to(self, path: str, query: Query) -> Answer:
        if path.startswith(CHART):
            symbol = path.removeprefix(CHART)
            line = self.answers.get(symbol) or [unknown()]
            n = self._asked.get(symbol, 0)
            self._asked[symbol] = n + 1
            return self._perhaps_failing(line[min(n, len(line) - 1)])
        if path.endswith("/getcrumb"):
            return self.crumb
        if path == "/":
            return Answer("", kind="text/html")
        return Answer({"quoteSummary": {"result": None, "error": {"code": "Not Found", "description": "none"}}}, status=404)

    def _perhaps_failing(self, good: Answer) -> Answer:
        drawn = self._chance.random() if self._rates else 1.0
        for way, rate in self._rates.items():
            if drawn < rate:
                self.failed[way] += 1
                return FAILURES[way](good)
            drawn -= rate
        return good
