"""Prices from a table at an https address: a raw file on GitHub, or any CSV, Excel or Parquet file that is served as it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from forecasting.errors import Malformed, PricesFileError, SettingError
from forecasting.symbols import normalise_symbols
from sources.asking import WAITS, ask_each
from sources.base import Cost, Fetched
from sources.cells import Columns
from sources.form import Form, takes_form
from sources.meter import Meter
from sources.price_tables import Loaded, fetch_asked, load_tables, read_prices
from sources.tables import RawTable, read_table_bytes
from sources.web import Web

_GITHUB = re.compile(r"https://(?:www\.)?github\.com/([^/?#]+)/([^/?#]+)/(?:blob|raw)/([^?#]+)(?:[?#].*)?")
_RAW = "raw.githubusercontent.com"
_COMMIT = re.compile(r"[^/]+/[^/]+/[0-9a-f]{40}/")


@takes_form
class HttpCsvSource:
    """Prices from the table at ``url`` (https), fetched once per instance; with ``{symbol}`` in it, one table for each symbol.

    An address of a file's page on github.com stands for the raw file. ``sha256``: of the content; any other is refused.
    ``hosts``: the only hosts that may answer, redirects included (default: the address's own). ``seconds_between`` requests.
    ``max_bytes`` and ``total_seconds`` bound an answer, ``timeout_seconds`` each wait for it. ``base_url``: a stand-in server.
    ``waits``: the pauses after a rate limit, in seconds. The other options say what columns, dates and numbers mean; see
    ``sources.form.Form``.
    """

    name = "http_csv"
    cost = Cost(requests_per_symbol=1.0, seconds_between=0.5)

    def __init__(
        self,
        url: str,
        sha256: str | None = None,
        hosts: Sequence[str] = (),
        seconds_between: float = 0.5,
        max_bytes: int = 64 << 20,
        timeout_seconds: float = 10.0,
        total_seconds: float = 60.0,
        base_url: str | None = None,
        waits: Sequence[float] = WAITS,
        **form: Any,
    ) -> None:
        self.url = address(self.name, url)
        self._asks = "{symbol}" in self.url
        if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            raise SettingError("http_csv.sha256", sha256, "the 64 hexadecimal digits that sha256sum prints")
        if sha256 is not None and self._asks:
            raise SettingError("http_csv.sha256", sha256, "no hash for an address with {symbol}, which stands for many files")
        self._form = Form.of(self.name, form)
        if self._form.symbol is not None and self._asks:
            raise SettingError("http_csv.symbol", self._form.symbol, "no symbol for an address with {symbol}")
        self._sha256 = None if sha256 is None else sha256.lower()
        self._hosts = tuple(hosts) or (urlsplit(self.url).hostname or "",)
        self._limits = {"timeout_seconds": timeout_seconds, "total_seconds": total_seconds, "max_bytes": max_bytes}
        self._max_bytes, self._base_url, self._waits = max_bytes, base_url, tuple(waits)
        self.cost = Cost(float(self._asks), seconds_between)
        self.meter = Meter(self.cost)

    def symbols(self) -> tuple[str, ...] | None:
        return None if self._asks else self._loaded.names

    def identity(self) -> str:
        """'http_csv:' and the SHA-256 of the content and of the options; of the address where each symbol has one."""
        content = self.url if self._asks else self._sha256 or hashlib.sha256(self._content).hexdigest()
        said = json.dumps([content, self._form.content()], sort_keys=True)
        return f"http_csv:{hashlib.sha256(said.encode()).hexdigest()}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        if not self._asks:
            return self._loaded.fetch(self.name, symbols, start, end)
        wanted = normalise_symbols(symbols)
        notes: list[str] = []
        with self._web() as web:
            answers, failures = ask_each(self.name, wanted, lambda s: self._ask(web, s, notes), waits=self._waits)
        return fetch_asked(self.name, wanted, answers, failures, self._form, notes, start, end)

    def _ask(self, web: Web, symbol: str, notes: list[str]) -> Columns | None:
        answer = web.get(self.url.replace("{symbol}", quote(symbol, safe="")), symbol=symbol)
        try:
            raw = self._table(answer.body, f"{self.name} {symbol}")
            notes += [note for note in raw.notes if note not in notes]
            return read_prices(raw, replace(self._form, symbol=symbol))
        except PricesFileError as error:
            raise web.error(Malformed, symbol, str(error), "") from error

    @cached_property
    def _content(self) -> bytes:
        with self._web() as web:
            content = web.get(self.url).body
        found = hashlib.sha256(content).hexdigest()
        if self._sha256 is not None and found != self._sha256:
            said = f"the content has SHA-256 {found}, the setting sha256 is {self._sha256}"
            raise PricesFileError(self.url, said, "find out what changed; if the new content is right, set its hash")
        return content

    @cached_property
    def _loaded(self) -> Loaded:
        raw = self._table(self._content, self.url.split("?")[0])
        if not self._pinned:
            found = hashlib.sha256(self._content).hexdigest()
            raw.notes.append(f'the content of {self.url} may change: pin it with sha256 = "{found}"')
        return load_tables([raw], self._form, self.url)

    @property
    def _pinned(self) -> bool:
        parts = urlsplit(self.url)
        return self._sha256 is not None or (parts.hostname == _RAW and _COMMIT.match(parts.path.lstrip("/")) is not None)

    def _table(self, content: bytes, where: str) -> RawTable:
        return read_table_bytes(where, content, most_bytes=16 * self._max_bytes)

    def _web(self) -> Web:
        return Web(self.name, self.meter, self._hosts, base_url=self._base_url, **self._limits)


def address(source: str, url: str) -> str:
    """The https address that a setting names, a page of a file on github.com as its raw file; SettingError for any other."""
    if m := _GITHUB.fullmatch(url):
        url = f"https://{_RAW}/{m[1]}/{m[2]}/{m[3]}"
    try:
        parts = urlsplit(url)
        whole = bool(parts.scheme == "https" and parts.hostname and not re.search(r"[\s\x00-\x1f\\]", url))
    except ValueError:
        parts, whole = None, False
    if parts is not None and (parts.username or parts.password):
        raise SettingError(f"{source}.url", "an address with a password in it", "an https address without one")
    if not whole or "{" in (parts.netloc if parts else ""):
        raise SettingError(f"{source}.url", url, "an address such as https://raw.githubusercontent.com/OWNER/NAME/COMMIT/FILE")
    if unknown := [m for m in re.findall(r"\{[^}]*\}?", url) if m != "{symbol}"]:
        raise SettingError(f"{source}.url", unknown[0], "no other placeholder than {symbol}")
    return url
