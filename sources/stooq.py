"""Prices from stooq.com: one CSV a symbol, adjusted for splits and dividends, errors as plain text with status 200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from forecasting.errors import Blocked, BudgetSpent, Malformed, NoSession, SourceError, UnknownSymbol
from forecasting.symbols import normalise_symbols
from sources.asking import WAITS, ask_each
from sources.base import Cost, Fetched
from sources.delivered import Delivered, csv_of, fetched, read_delivered, without_rows
from sources.meter import Meter
from sources.web import Answer, Web

_HOST = "stooq.com"
# the suffix that Yahoo writes -> stooq's; Warsaw, at home, has none
_SUFFIXES = {"L": ".uk", "DE": ".de", "T": ".jp", "HK": ".hk", "BD": ".hu", "WA": ""}
_INDICES = {
    "^GSPC": "^spx", "^DJI": "^dji", "^IXIC": "^ndq", "^NDX": "^ndx", "^FTSE": "^ukx", "^GDAXI": "^dax", "^FCHI": "^cac",
    "^N225": "^nkx", "^HSI": "^hsi", "^SSMI": "^smi", "^IBEX": "^ibex", "^AEX": "^aex", "^KS11": "^kospi", "^BVSP": "^bvp",
}  # fmt: skip


class StooqSource:
    """Daily bars that stooq has adjusted for splits and dividends; it needs no key and allows some hundred requests a day.

    ``spelling``: symbol -> how stooq writes it, where the usual (AAPL is aapl.us, VOD.L is vod.uk) is not it.
    ``seconds_between`` requests. ``base_url``: a stand-in server. ``waits``: the pauses after a rate limit, in seconds.
    """

    name = "stooq"
    cost = Cost(requests_per_symbol=1, seconds_between=1.0)

    def __init__(
        self,
        spelling: Mapping[str, str] | None = None,
        seconds_between: float = 1.0,
        base_url: str | None = None,
        timeout_seconds: float = 20.0,
        waits: Sequence[float] = WAITS,
    ) -> None:
        self.cost = Cost(1, seconds_between)
        self.meter = Meter(self.cost)
        self._spelling = {k.upper(): v for k, v in (spelling or {}).items()}
        self._base_url, self._timeout, self._waits = base_url, timeout_seconds, tuple(waits)

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return "stooq"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        """One request a symbol. Adjusted closes of before shift with every later split and dividend."""
        wanted = normalise_symbols(symbols)
        with Web(self.name, self.meter, [_HOST], base_url=self._base_url, timeout_seconds=self._timeout) as web:
            answers, failures = ask_each(self.name, wanted, lambda s: self._ask(web, s, start, end), waits=self._waits)
        notes = ["stooq's prices are already adjusted for splits and dividends; it names neither"] if answers else []
        return fetched(self.name, wanted, answers, failures, start, end, "adjusted", notes)

    def _ask(self, web: Web, symbol: str, start: date | None, end: date | None) -> Delivered:
        asked = {"s": self._spelling.get(symbol) or spelled(symbol), "i": "d"}
        asked |= {word: f"{day:%Y%m%d}" for word, day in {"d1": start, "d2": end}.items() if day is not None}
        answer = web.get(f"https://{_HOST}/q/d/l/", asked, symbol)
        if (error := self._said(web, symbol, answer, start, end)) is not None:
            raise error
        got = read_delivered(self.name, symbol, csv_of(self.name, symbol, answer.body))
        if not got.rows:
            raise without_rows(self.name, symbol, start, end)
        return got

    def _said(self, web: Web, symbol: str, answer: Answer, start: date | None, end: date | None) -> SourceError | None:
        text = answer.text[:300].strip()
        words = text.lower()
        if "exceeded" in words and "limit" in words:
            next_step = "run again tomorrow, or add a second source that covers these symbols"
            return web.error(BudgetSpent, symbol, f"it says: {text}", next_step)
        if "apikey" in words or "captcha" in words:
            return web.error(
                Blocked, symbol, f"it asks for a key: {text}", "open https://stooq.com in a browser, or use another source"
            )
        if words.startswith(("no data", "brak danych")) or not text:
            if isinstance(error := without_rows(self.name, symbol, start, end), NoSession):
                return error
            return web.error(UnknownSymbol, symbol, "it says: No data", "check the spelling, or set the option spelling")
        if "," not in text.splitlines()[0]:
            return web.error(Malformed, symbol, f"an answer that is no table of prices: {text}")
        return None


def spelled(symbol: str) -> str:
    """How stooq writes the symbol; UnknownSymbol for an exchange that it is not known to carry.

    >>> [spelled(s) for s in ("AAPL", "BRK-B", "BRK.B", "VOD.L", "0700.HK", "^GSPC", "EURUSD=X", "GC=F", "BTC-USD")]
    ['aapl.us', 'brk-b.us', 'brk-b.us', 'vod.uk', '700.hk', '^spx', 'eurusd', 'gc.f', 'btc.v']
    """
    if symbol.startswith("^"):
        return _INDICES.get(symbol, symbol.lower())
    if symbol.endswith("=X"):
        return symbol[:-2].lower()
    if symbol.endswith("=F"):
        return f"{symbol[:-2].lower()}.f"
    if symbol.endswith("-USD"):
        return f"{symbol[:-4].lower()}.v"
    stem, point, suffix = symbol.rpartition(".")
    if not point:
        return f"{symbol.lower()}.us"
    if suffix in _SUFFIXES:
        return (stem.lstrip("0") if suffix == "HK" else stem).lower() + _SUFFIXES[suffix]
    if len(suffix) == 1:
        return f"{stem}-{suffix}.us".lower()
    raise UnknownSymbol(
        "stooq", symbol, f"it has no exchange .{suffix}", "set the option spelling, or use another source for it"
    )
