"""Prices from the HTML table of a web page. The page decides what it looks like, so its layout is watched.

Such pages change without notice, and a table that is read wrong is worse than none: the table is found by its header (date
and close), every other column by its name, and with ``layout`` any other set of columns is refused.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa

from forecasting.errors import Malformed, PricesFileError, SettingError
from forecasting.symbols import normalise_symbols
from sources import spelling
from sources.asking import WAITS, ask_each
from sources.base import Cost, Fetched
from sources.cells import Columns
from sources.form import Form, takes_form
from sources.html_tables import HtmlTable, html_tables
from sources.http_csv import address
from sources.meter import Meter
from sources.price_tables import fetch_asked, read_prices
from sources.raw_table import RawTable
from sources.robots import Robots
from sources.web import Web

_POLITE = 2.0  # seconds between two pages
_LIMITS = {"max_bytes": 16 << 20, "total_seconds": 60.0}
_DIVIDENDS, _SPLITS = "Dividends", "Stock Splits"  # the columns into which rows that tell them in words go
_DIVIDEND = re.compile(r"([\d.,]+)\s*(?:\w+\s+)?(?:Dividend|Capital Gain)s?", re.IGNORECASE)
_SPLIT = re.compile(r"(\d+(?:\.\d+)?)\s*(?::|/|for)\s*(\d+(?:\.\d+)?)\s*(?:Stock\s+)?Splits?", re.IGNORECASE)


@takes_form
class ScrapeSource:
    """Prices from the page at ``url`` (https), in which ``{symbol}`` stands for the symbol; one page a symbol.

    ``layout``: the names of the table's columns in any order; a table with others is refused, naming what is missing and
    what is new. Without it, the first page's columns are held to be right for the others. What the site's robots.txt does
    not want read is not read, and there are at least ``seconds_between`` pages' requests (never below 1; more where
    robots.txt asks for it). ``base_url``: a stand-in server. ``waits``: the pauses after a rate limit, in seconds. The other
    options say what columns, dates and numbers mean; see ``sources.form.Form``.
    """

    name = "scrape"
    cost = Cost(requests_per_symbol=1.0, seconds_between=_POLITE)

    def __init__(
        self,
        url: str,
        layout: Sequence[str] | None = None,
        hosts: Sequence[str] = (),
        seconds_between: float = _POLITE,
        timeout_seconds: float = 20.0,
        base_url: str | None = None,
        waits: Sequence[float] = WAITS,
        sleep: Callable[[float], None] = time.sleep,
        **form: Any,
    ) -> None:
        self.url = address(self.name, url)
        if "{symbol}" not in self.url:
            raise SettingError("scrape.url", url, "an address with {symbol} in it")
        if seconds_between < 1.0 and base_url is None:
            raise SettingError("scrape.seconds_between", seconds_between, "1.0 or more: a page is read by a guest")
        self._layout = None if layout is None else tuple(layout)
        self._hosts = tuple(hosts) or (urlsplit(self.url).hostname or "",)
        self._timeout, self._base_url, self._waits, self._sleep = timeout_seconds, base_url, tuple(waits), sleep
        self._form = Form.of(self.name, form)
        self.cost = Cost(1.0, seconds_between)
        self.meter = Meter(self.cost, sleep=sleep)

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return f"scrape:{self.url}:{json.dumps([self._layout, self._form.content()], sort_keys=True)}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        wanted = normalise_symbols(symbols)
        pages = _Pages(self._layout, self._form)
        with Web(self.name, self.meter, self._hosts, base_url=self._base_url, **_LIMITS, timeout_seconds=self._timeout) as web:
            robots = Robots(web, self.url)

            def ask(symbol: str) -> Columns | None:
                url = self.url.replace("{symbol}", quote(symbol, safe=""))
                robots.check(url, symbol)
                self._sleep(max(0.0, robots.delay - self.cost.seconds_between))
                text = web.get(url, symbol=symbol, accept="any").text
                try:
                    return pages.read(text, symbol)
                except PricesFileError as error:
                    raise web.error(Malformed, symbol, str(error), "") from error

            answers, failures = ask_each(self.name, wanted, ask, waits=self._waits, sleep=self._sleep)
        if answers and self._layout is None:
            pages.notes.append(f"the table has the columns {', '.join(pages.seen)}: {_told(pages.seen)}")
        return fetch_asked(self.name, wanted, answers, failures, self._form, pages.notes, start, end)


class _Pages:
    """Reads one page after the other and holds each against the layout that is expected."""

    def __init__(self, layout: tuple[str, ...] | None, form: Form) -> None:
        self.seen: tuple[str, ...] = layout or ()
        self.notes: list[str] = []
        self._form = form

    def read(self, text: str, symbol: str) -> Columns | None:
        """The rows of the price table; PricesFileError where the page has none, or one of another layout."""
        table, day = _price_table(text, self._form.columns)
        names = tuple(table.header)
        if self.seen and (lost := [n for n in self.seen if n not in names] + [n for n in names if n not in self.seen]):
            missing = ", ".join(n for n in lost if n in self.seen) or "nothing"
            new = ", ".join(n for n in lost if n not in self.seen) or "nothing"
            said = f"the table's columns have changed: missing {missing}, new {new}"
            raise PricesFileError("the page", said, f"look at it; if it is right, {_told(names)}")
        raw = raw_table(table, day, f"{symbol} page")
        columns = read_prices(raw, replace(self._form, symbol=symbol))
        if columns is not None and not len(columns.line) and columns.rejects:
            raise PricesFileError("the page", f"no row of its table could be read ({columns.rejects[0][4]})", "look at it")
        self.seen = self.seen or names
        return columns


def _told(names: Sequence[str]) -> str:
    return "layout = [" + ", ".join(f'"{name}"' for name in names) + "]"


def _price_table(text: str, given: Mapping[str, str]) -> tuple[HtmlTable, int]:
    """The page's longest table with a date and a close, and which of its columns is the date."""
    tables = html_tables(text)
    best: tuple[HtmlTable, int] | None = None
    for table in tables:
        try:
            found = spelling.recognise(table.header, {w: c for w, c in given.items() if c in table.header})
        except ValueError:
            continue
        if {"session", "close"} <= found.keys() and found["session"]:
            if best is None or len(table.rows) > len(best[0].rows):
                best = table, table.header.index(found["session"])
    if best is None:
        seen = "; ".join(", ".join(t.header[:8]) for t in tables[:3]) or "none"
        raise PricesFileError("the page", f"it has no table with a date and a close (tables: {seen:.200})", "look at it")
    return best


def raw_table(table: HtmlTable, day: int, where: str) -> RawTable:
    """A table of a page as raw cells; ``day``: which of its columns is the date. A row that tells a dividend or a split in
    words ("0.24 Dividend", "4:1 Stock Splits") goes into columns of that name beside the bar of its date; without such a
    bar it is a broken line."""
    header = table.header
    width = len(header)
    told: list[tuple[int, str, str, str]] = []  # (place, date, column, value)
    rows: list[list[str]] = []
    place: list[int] = []
    broken: list[tuple[int, str, str, str]] = []
    for at, row in zip(table.place, table.rows, strict=True):
        event = _event(row, width)
        if event is not None:
            told.append((at, row[0], *event))
        elif len(row) == width:
            if row != header:
                rows.append(row)
                place.append(at)
            else:
                broken.append((at, "repeated_header", "is the header again", ", ".join(row)))
        else:
            broken.append((at, "wrong_width", f"has {len(row)} cells, the header has {width}", ", ".join(row)))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    if told or any(spelling.plain(name) in spelling.SPELLINGS["adj_close"] for name in header):
        for kind in (_DIVIDENDS, _SPLITS):  # such a page tells them where there are any
            columns.setdefault(kind, ["0"] * len(rows))
    line = {row[day]: n for n, row in reversed(list(enumerate(rows)))}
    for at, date_text, column, value in told:
        if date_text in line:
            columns[column][line[date_text]] = value
        else:
            broken.append((at, "action_without_bar", f"there is no bar of {date_text}", f"{column} {value}"))
    arrays = {name: pa.array(cells, pa.string()) for name, cells in columns.items()}
    return RawTable(where, arrays, np.array(place, dtype=np.int64), broken)


def _event(row: list[str], width: int) -> tuple[str, str] | None:
    """(column, value) of a row that tells an action in words."""
    if not 2 <= len(row) < width:
        return None
    said = " ".join(row[1:])[:100]
    if m := _SPLIT.search(said):
        return (_SPLITS, repr(float(m[1]) / float(m[2]))) if float(m[2]) else None
    if m := _DIVIDEND.search(said):
        return _DIVIDENDS, m[1]
    return None
