"""Prices from Nasdaq Data Link (once Quandl): as traded, with dividends and splits; its WIKI prices ended 2018-03-27."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    RateLimited,
    SettingError,
    SourceDown,
    SourceError,
    Stale,
    UnknownSymbol,
)
from forecasting.symbols import normalise_symbols
from sources.asking import WAITS, ask_each
from sources.base import Cost, Fetched
from sources.delivered import Delivered, check_symbol, csv_of, fetched, read_delivered, table_of, without_rows
from sources.keys import from_environment
from sources.meter import Meter
from sources.raw_table import RawTable
from sources.web import Answer, Web

KEYS = ("NASDAQ_DATA_LINK_API_KEY", "QUANDL_API_KEY")
WIKI_ENDED = date(2018, 3, 27)
_HOST = "data.nasdaq.com"
_FORMS = ("dataset", "datatable")
_MOST_PAGES = 50  # of up to 10,000 rows each
# The letter behind QE in the code of an error, and what it is about.
_MEANING: dict[str, tuple[type[SourceError], str]] = {
    "A": (Blocked, f"check {KEYS[0]}"),
    "P": (Blocked, f"export {KEYS[0]}=… of a plan that has this database"),
    "L": (RateLimited, f"wait some time, or export {KEYS[0]}=…"),
    "C": (UnknownSymbol, "check the database and the spelling, or set the option spelling"),
    "S": (Malformed, "check the options database and form"),
    "X": (SourceDown, "try again later"),
    "M": (SourceDown, "try again later"),
}


class NasdaqDataLinkSource:
    """Daily bars as traded with their dividends and splits, from a database in the form of WIKI.

    The key is in the environment variable NASDAQ_DATA_LINK_API_KEY or QUANDL_API_KEY; without one it allows 50 requests a
    day. ``form``: 'dataset' (WIKI/TSLA) or 'datatable' (WIKI/PRICES with ticker=TSLA). ``database``: WIKI, or another of
    that form; ``table`` of a datatable. ``as_csv``: ask for the CSV export. ``spelling``: symbol -> theirs, where the usual
    (BRK-B is BRK_B) is not it. ``per_day``: most requests in 24 hours (default: 50 without a key, with one no limit that
    we could reach). ``base_url``: a stand-in server. ``waits``: the pauses after a rate limit, in seconds.
    """

    name = "nasdaq_data_link"
    tells_actions = True
    cost = Cost(requests_per_symbol=1, seconds_between=0.5)

    def __init__(
        self,
        form: str = "dataset",
        database: str = "WIKI",
        table: str = "PRICES",
        as_csv: bool = False,
        spelling: Mapping[str, str] | None = None,
        per_day: int | None = None,
        seconds_between: float = 0.5,
        base_url: str | None = None,
        timeout_seconds: float = 20.0,
        waits: Sequence[float] = WAITS,
    ) -> None:
        if form not in _FORMS:
            raise SettingError("nasdaq_data_link.form", form, " or ".join(_FORMS))
        for setting, value in (("database", database), ("table", table)):
            if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", value):
                raise SettingError(f"nasdaq_data_link.{setting}", value, "a code such as WIKI")
        self.cost = Cost(1, seconds_between, per_day or (None if from_environment(*KEYS) else 50))
        self.meter = Meter(self.cost)
        self._form, self._database, self._table = form, database.upper(), table.upper()
        self._suffix = "csv" if as_csv else "json"
        self._spelling = {k.upper(): v for k, v in (spelling or {}).items()}
        self._base_url, self._timeout, self._waits = base_url, timeout_seconds, tuple(waits)

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return f"nasdaq_data_link:{self._database}" + (f"/{self._table}" if self._form == "datatable" else "")

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        """One request a symbol and 10,000 rows. A span that reaches past the end of WIKI is Stale for every symbol, and
        nothing is asked; without ``end`` all there is comes, with a note."""
        wanted = normalise_symbols(symbols)
        frozen = self._database == "WIKI"
        if frozen and max(start or date.min, end or date.min) > WIKI_ENDED:
            reason = f"the WIKI prices ended {WIKI_ENDED}; the span asked for goes to {end or 'today'}"
            next_step = f"use another source, or ask for no session after {WIKI_ENDED}"
            stale = {s: Stale(self.name, s, reason, next_step) for s in wanted}
            return fetched(self.name, wanted, {}, stale, start, end, "as_traded")
        key = from_environment(*KEYS)
        secrets = [key] if key else []
        with Web(
            self.name, self.meter, [_HOST], base_url=self._base_url, timeout_seconds=self._timeout, secrets=secrets
        ) as web:
            answers, failures = ask_each(self.name, wanted, lambda s: self._ask(web, key, s, start, end), waits=self._waits)
        notes = [f"the WIKI prices ended {WIKI_ENDED}"] if frozen and answers and end is None else []
        return fetched(self.name, wanted, answers, failures, start, end, "as_traded", notes)

    def _ask(self, web: Web, key: str | None, symbol: str, start: date | None, end: date | None) -> Delivered:
        theirs = self._spelling.get(symbol) or symbol.replace("-", "_").replace(".", "_")
        if not re.fullmatch(r"[A-Za-z0-9_.]{1,40}", theirs):
            raise UnknownSymbol(self.name, symbol, "it has no such code", "set the option spelling, or use another source")
        ask = self._dataset if self._form == "dataset" else self._datatable
        got = read_delivered(self.name, symbol, ask(web, {"api_key": key} if key else {}, symbol, theirs, start, end), "USD")
        if not got.rows:
            raise without_rows(self.name, symbol, start, end or WIKI_ENDED)
        return got

    def _dataset(
        self, web: Web, asked: dict[str, str], symbol: str, theirs: str, start: date | None, end: date | None
    ) -> RawTable:
        span = {"start_date": start, "end_date": end}
        asked |= {"order": "asc"} | {word: day.isoformat() for word, day in span.items() if day}
        answer = self._get(web, f"datasets/{self._database}/{theirs}", asked, symbol)
        if self._suffix == "csv":
            return csv_of(self.name, symbol, answer.body)
        dataset = _part(web, answer.json(), "dataset", symbol)
        check_symbol(self.name, symbol, theirs, dataset.get("dataset_code"))
        names, rows = _list(web, dataset, "column_names", symbol), _list(web, dataset, "data", symbol)
        newest = str(dataset.get("newest_available_date") or "")
        if not rows and start is not None and newest and newest < start.isoformat():
            raise Stale(self.name, symbol, web.clean(f"its prices ended {newest}"), "use another source for it")
        return table_of(self.name, [str(n) for n in names], rows)

    def _datatable(
        self, web: Web, asked: dict[str, str], symbol: str, theirs: str, start: date | None, end: date | None
    ) -> RawTable:
        asked |= {"ticker": theirs, "qopts.per_page": "10000"}
        asked |= {word: day.isoformat() for word, day in {"date.gte": start, "date.lte": end}.items() if day}
        path = f"datatables/{self._database}/{self._table}"
        if self._suffix == "csv":
            return csv_of(self.name, symbol, self._get(web, path, asked, symbol).body)
        names: list[str] = []
        rows: list[Any] = []
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            said = self._get(web, path, asked, symbol).json()
            table = _part(web, said, "datatable", symbol)
            columns = [c.get("name") if isinstance(c, dict) else None for c in _list(web, table, "columns", symbol)]
            if names and columns != names:
                raise web.error(Malformed, symbol, "its pages have different columns")
            names, page = columns, _list(web, table, "data", symbol)
            rows += page
            if "ticker" in names and page and isinstance(page[0], list):
                check_symbol(self.name, symbol, theirs, page[0][names.index("ticker") : names.index("ticker") + 1][0])
            cursor = str((said.get("meta") or {}).get("next_cursor_id") or "")
            if not cursor:
                return table_of(self.name, [str(n) for n in names], rows)
            if cursor in seen:
                raise web.error(Malformed, symbol, "its pages lead back to a page before")
            seen.add(cursor)
            asked = asked | {"qopts.cursor_id": cursor}
        raise web.error(Malformed, symbol, f"more than {_MOST_PAGES} pages for one symbol")

    def _get(self, web: Web, path: str, asked: Mapping[str, str], symbol: str) -> Answer:
        return web.get(f"https://{_HOST}/api/v3/{path}.{self._suffix}", asked, symbol, judge=lambda a: _said(web, a, symbol))


def _part(web: Web, said: Any, name: str, symbol: str) -> dict[str, Any]:
    part = said.get(name) if isinstance(said, dict) else None
    if not isinstance(part, dict):
        raise web.error(Malformed, symbol, f"an answer without {name!r}")
    return part


def _list(web: Web, part: Mapping[str, Any], name: str, symbol: str) -> list[Any]:
    found = part.get(name)
    if not isinstance(found, list):
        raise web.error(Malformed, symbol, f"an answer without a list of {name!r}")
    return found


def _said(web: Web, answer: Answer, symbol: str) -> SourceError | None:
    """The error that the answer names itself, whatever its status; as CSV it is the line 'code,message' and another."""
    text = answer.text[:2000]
    code = message = ""
    if "quandl_error" in text:
        try:
            error = json.loads(answer.text)["quandl_error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, TypeError, KeyError):
            pass
    elif text.lower().startswith("code,message"):
        code, _, message = text.partition("\n")[2].partition(",")
    found = re.fullmatch(r"QE([A-Z])[a-z]\d\d", code.strip())
    if not found or found[1] not in _MEANING:
        return None
    kind, next_step = _MEANING[found[1]]
    if kind is RateLimited and ("per day" in message.lower() or "daily" in message.lower()):
        kind, next_step = BudgetSpent, f"run again tomorrow, or export {KEYS[0]}=…"
    error = web.error(kind, symbol, f"{code.strip()}: {message}", next_step)
    if isinstance(error, RateLimited):
        error.retry_after = answer.retry_after
    return error
