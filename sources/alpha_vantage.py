"""Prices from Alpha Vantage: 25 requests a day without a paid plan, and errors that come with status 200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from forecasting.errors import Blocked, BudgetSpent, Malformed, RateLimited, SettingError, SourceError, UnknownSymbol
from forecasting.sessions import DEFAULT_CALENDAR, calendar_of
from forecasting.symbols import normalise_symbols
from sources.asking import WAITS, ask_each
from sources.base import Cost, Fetched
from sources.delivered import Delivered, check_symbol, fetched, read_delivered, table_of
from sources.keys import from_environment
from sources.meter import Meter
from sources.web import Answer, Web

KEY = "ALPHAVANTAGE_API_KEY"
FUNCTIONS = ("TIME_SERIES_DAILY", "TIME_SERIES_DAILY_ADJUSTED")
_HOST = "www.alphavantage.co"
_COMPACT = 100  # rows of a compact answer
_SERIES = "Time Series (Daily)"
# Yahoo's suffix of an exchange -> theirs
_SUFFIXES = {"L": "LON", "DE": "DEX", "TO": "TRT", "V": "TRV", "SS": "SHH", "SZ": "SHZ", "BO": "BSE"}


class AlphaVantageSource:
    """Daily bars as traded, with the key in the environment variable ALPHAVANTAGE_API_KEY.

    ``function``: TIME_SERIES_DAILY (bars only) or, with a paid plan, TIME_SERIES_DAILY_ADJUSTED (splits and dividends
    too). ``per_day``, ``seconds_between``: what the plan allows. ``spelling``: symbol -> how they write it, where the usual
    (TSCO.L is TSCO.LON) is not it. ``base_url``: a stand-in server. ``waits``: the pauses after a rate limit, in seconds.
    """

    name = "alpha_vantage"
    cost = Cost(requests_per_symbol=1, seconds_between=1.0, per_day=25)

    def __init__(
        self,
        function: str = "TIME_SERIES_DAILY",
        per_day: int | None = 25,
        seconds_between: float = 1.0,
        spelling: Mapping[str, str] | None = None,
        base_url: str | None = None,
        timeout_seconds: float = 20.0,
        waits: Sequence[float] = WAITS,
    ) -> None:
        if function not in FUNCTIONS:
            raise SettingError("alpha_vantage.function", function, " or ".join(FUNCTIONS))
        self.tells_actions = function.endswith("ADJUSTED")
        self.cost = Cost(1, seconds_between, per_day)
        self.meter = Meter(self.cost)
        self._function, self._spelling = function, {k.upper(): v for k, v in (spelling or {}).items()}
        self._base_url, self._timeout, self._waits = base_url, timeout_seconds, tuple(waits)
        self._compact_only = False  # the plan refused a full answer

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return f"alpha_vantage:{self._function}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        """One request a symbol: the last 100 sessions where they reach back to ``start``, else all of twenty years."""
        wanted = normalise_symbols(symbols)
        key = from_environment(KEY)
        if key is None:
            next_step = f"export {KEY}=…, which is free at https://{_HOST}/support/"
            raise Blocked(self.name, None, f"the environment variable {KEY} is not set", next_step)
        with Web(self.name, self.meter, [_HOST], base_url=self._base_url, timeout_seconds=self._timeout, secrets=[key]) as web:
            answers, failures = ask_each(self.name, wanted, lambda s: self._ask(web, key, s, start, end), waits=self._waits)
        notes = []
        if answers and self._function == "TIME_SERIES_DAILY":
            notes.append(
                "TIME_SERIES_DAILY is as traded and names no splits or dividends: take the actions from another source"
            )
        if answers and self._compact_only:
            notes.append("the plan of this key gives no more than the last 100 sessions of each symbol")
        return fetched(self.name, wanted, answers, failures, start, end, "as_traded", notes)

    def _ask(self, web: Web, key: str, symbol: str, start: date | None, end: date | None) -> Delivered:
        theirs = self._theirs(symbol)
        far = start is None or (end is not None and np.busday_count(start, end) >= _COMPACT)
        if far and not self._compact_only and (full := self._full(web, key, symbol, theirs)) is not None:
            return full
        got = self._read(web, key, symbol, theirs, "compact")
        reached = start is None or got.rows < _COMPACT or got.bars["session"].min().date() <= start
        if not reached and not self._compact_only and (full := self._full(web, key, symbol, theirs)) is not None:
            return full
        return got

    def _full(self, web: Web, key: str, symbol: str, theirs: str) -> Delivered | None:
        """None where it is not part of the plan; then it is not asked for again."""
        try:
            return self._read(web, key, symbol, theirs, "full")
        except _Premium:
            self._compact_only = True
            return None

    def _read(self, web: Web, key: str, symbol: str, theirs: str, size: str) -> Delivered:
        asked = {"function": self._function, "symbol": theirs, "outputsize": size, "datatype": "json", "apikey": key}
        answer = web.get(f"https://{_HOST}/query", asked, symbol)
        said = answer.json()
        if not isinstance(said, dict) or not isinstance(series := said.get(_SERIES), dict):
            raise self._meaning(web, symbol, answer, said, size)
        meta = said.get("Meta Data")
        check_symbol(self.name, symbol, theirs, meta.get("2. Symbol") if isinstance(meta, dict) else None)
        days = [(day, cells) for day, cells in series.items() if isinstance(cells, dict)]
        names = list(dict.fromkeys(name for _, cells in days for name in cells))
        raw = table_of(self.name, ["date", *names], [[day, *map(cells.get, names)] for day, cells in days])
        for n, (day, cells) in enumerate(series.items(), start=1):
            if not isinstance(cells, dict):
                raw.broken.append((n, "wrong_width", "is no row of prices", f"{day}: {cells}"[:500]))
        if not days:
            raise web.error(UnknownSymbol, symbol, "an answer without a single day")
        return read_delivered(self.name, symbol, raw, "USD" if calendar_of(symbol) == DEFAULT_CALENDAR else None)

    def _theirs(self, symbol: str) -> str:
        if symbol in self._spelling:
            return self._spelling[symbol]
        stem, _, suffix = symbol.rpartition(".")
        if stem and suffix in _SUFFIXES:
            return f"{stem}.{_SUFFIXES[suffix]}"
        american = calendar_of(symbol) == DEFAULT_CALENDAR and not symbol.startswith("^")
        if not american and not (stem and suffix in _SUFFIXES.values()):
            raise UnknownSymbol(self.name, symbol, "it has no daily series of this kind", "use another source for it")
        return symbol

    def _meaning(self, web: Web, symbol: str, answer: Answer, said: Any, size: str) -> SourceError:
        """What an answer without a series says. Its words are all that tells one case from the other."""
        said = said if isinstance(said, dict) else {}
        text = next((str(said[k]) for k in ("Note", "Information", "Error Message") if said.get(k)), "")
        words = text.lower()
        if "Error Message" in said:
            if "apikey" in words or "api key" in words:
                return web.error(Blocked, symbol, f"it refuses the key: {text}", f"check {KEY}")
            return web.error(UnknownSymbol, symbol, f"it says: {text}", "check the spelling, or set the option spelling")
        if "premium" in words and ("endpoint" in words or "feature" in words) and "rate limit" not in words:
            if size == "full":
                raise _Premium
            return web.error(Blocked, symbol, f"it is part of a paid plan: {text}", "set function to TIME_SERIES_DAILY")
        if "per minute" in words or "per second" in words:
            return web.error(RateLimited, symbol, f"it says: {text}")
        if "per day" in words or "daily" in words:
            return web.error(BudgetSpent, symbol, f"it says: {text}", "run again tomorrow, or ask for fewer symbols")
        if "api key" in words or "apikey" in words or "demo" in words:
            return web.error(Blocked, symbol, f"it refuses the key: {text}", f"check {KEY}")
        if text:
            return web.error(RateLimited, symbol, f"it says: {text}")
        if not said and answer.body.strip() == b"{}":
            return web.error(UnknownSymbol, symbol, "an empty answer, which it gives for symbols that it does not have")
        return web.error(Malformed, symbol, f"an answer without {_SERIES!r}; it has {', '.join(map(str, said)) or 'nothing'}")


class _Premium(Exception):
    """A full answer is part of a paid plan."""
