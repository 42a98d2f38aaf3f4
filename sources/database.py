"""Prices from a database: any SQLAlchemy address with a query, or a DuckDB, SQLite or Parquet file. It is only read.

Two fences: a text that is not one reading query is refused, and the connection cannot write where the database offers such
(SQLite, DuckDB, PostgreSQL, MySQL, MariaDB, Oracle); elsewhere use an account that may only read. Nothing is committed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from forecasting.errors import Blocked, InputError, NoSession, PricesFileError, SettingError, SourceDown, SourceError
from forecasting.symbols import normalise_symbols
from sources import read_only_sql, tables
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Cost, Fetched, typed_frame
from sources.database_rows import raw_rows
from sources.duckdb_files import duckdb_tables, query_duckdb
from sources.form import Form, takes_form
from sources.keys import from_environment
from sources.meter import Meter
from sources.price_tables import Loaded, load_tables
from sources.raw_table import RawTable

_EVER = (date(1900, 1, 1), date(9999, 12, 31))
_READ_ONLY = {
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}
_FENCED = frozenset({"sqlite", "postgresql", *_READ_ONLY})
_REFUSED = ("password", "authenticat", "access denied", "not permitted", "permission denied", "login failed")
_SQLITE_FUNCTION = 31
_PRAGMAS = ("table_info", "table_xinfo", "table_list", "read_uncommitted")  # what SQLAlchemy asks for by itself


@takes_form
class DatabaseSource:
    """Prices from ``query`` (or all of ``table``) in the database at ``url``, as SQLAlchemy writes it, or in the file
    ``path``: DuckDB, SQLite, or Parquet (whose table is called prices).

    The query's columns are recognised by their names, as in a file. It may bind ``:start`` and ``:end``, and ``:symbols``
    (``symbol IN :symbols``): then it is asked for those symbols only, else it is read once. ``password_env``: the environment
    variable that holds the password, so that it stands in no file. ``timeout_seconds`` bounds a query, ``most_rows`` what
    it may give. The other options say what columns, dates and numbers mean; see ``sources.form.Form``.
    """

    name = "database"
    cost = Cost()

    def __init__(
        self,
        url: str | None = None,
        path: str | Path | None = None,
        query: str | None = None,
        table: str | None = None,
        password_env: str | None = None,
        timeout_seconds: float = 60.0,
        most_rows: int = 20_000_000,
        **form: Any,
    ) -> None:
        if (url is None) == (path is None):
            raise SettingError("database.path", path, "either path (a DuckDB, SQLite or Parquet file) or url")
        if query is not None and table is not None:
            raise SettingError("database.table", table, "either query or table")
        if query is not None and (problem := read_only_sql.why_not(query)):
            raise SettingError("database.query", query[:60], f"one query that only reads: {problem}")
        self._url = None if url is None else _parsed(url)
        self.path = None if path is None else Path(path).expanduser()
        if self._url is not None and self._url.get_backend_name() in ("sqlite", "duckdb"):
            self.path, self._url = Path(self._url.database or ""), None
        self._query, self._table, self._password_env = query, table, password_env
        self._bound = read_only_sql.parameters(query or "")
        if unknown := sorted(self._bound - set(read_only_sql.PARAMETERS)):
            raise SettingError("database.query", f":{unknown[0]}", "no other parameters than :symbols, :start and :end")
        self._timeout, self._most_rows = timeout_seconds, most_rows
        self._form = Form.of(self.name, form)
        self.meter = Meter(self.cost)

    def symbols(self) -> tuple[str, ...] | None:
        return None if "symbols" in self._bound else self._loaded.names

    def identity(self) -> str:
        """'database:' and the SHA-256 of the rows and the options; of the query where it is asked for single symbols."""
        digest = hashlib.sha256(json.dumps([self._place, self._query, self._table, self._form.content()]).encode())
        if "symbols" not in self._bound:
            data = self._loaded
            digest = hashlib.sha256(json.dumps([*data.names, self._form.content()]).encode())
            for array in (data.starts, data.session, *data.numbers.values()):
                digest.update(array.tobytes())
        return f"database:{digest.hexdigest()}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        wanted = normalise_symbols(symbols)
        if "symbols" not in self._bound:
            return self._loaded.fetch(self.name, wanted, start, end)
        raw = self._rows(wanted, start, end)
        missing = {s: NoSession(self.name, s, "the query gave no rows") for s in wanted}
        if not raw.rows:
            return Fetched(typed_frame(BAR_COLUMNS), typed_frame(ACTION_COLUMNS), failures=missing)
        loaded = load_tables([raw], self._form, self._place)
        got = loaded.fetch(self.name, [s for s in wanted if s in loaded.names], start, end)
        failures = {s: error for s, error in missing.items() if s not in loaded.names}
        return Fetched(
            got.bars, got.actions, got.basis, {**failures, **got.failures}, got.notes, got.currency, got.rejects
        )  # fmt: skip

    @property
    def _place(self) -> str:
        """What messages call the database: its address without the password."""
        return str(self.path) if self._url is None else self._url.render_as_string(hide_password=True)

    @cached_property
    def _loaded(self) -> Loaded:
        raw = self._rows((), None, None)
        if not raw.rows:
            raise PricesFileError(self._place, "the query gave no rows", "correct the option query")
        return load_tables([raw], self._form, self._place)

    def _rows(self, symbols: tuple[str, ...], start: date | None, end: date | None) -> RawTable:
        given = {"symbols": list(symbols), "start": start or _EVER[0], "end": end or _EVER[1]}
        bound = {name: given[name] for name in self._bound}
        with self.meter.request(self.name):
            if self._url is not None:
                return self._ask_server(bound)
            kind = _kind_of(self.path)
            if kind == "sqlite":
                return self._translated(lambda: self._run(_sqlite(self.path, self._timeout), bound))
            if kind == "parquet" and self._query is None:
                return tables.read_table(self.path)
            query = self._query or f"SELECT * FROM {self._table_in(duckdb_tables(self.path), _quoted)}"
            return query_duckdb(self.path, query, bound, self._timeout, self._most_rows)

    def _table_in(self, there: Sequence[str], quoted: Any) -> str:
        """The table to read, quoted: the one that the settings name, or the only one."""
        if self._table is None and len(there) != 1:
            listed = ", ".join(there[:8]) or "none"
            raise SettingError("database.query", None, f"a query, or table = one of {listed}")
        table = self._table or there[0]
        if there and table not in there:
            raise SettingError("database.table", table, f"one of {', '.join(there[:8])}")
        return ".".join(quoted(part) for part in table.split("."))

    def _ask_server(self, bound: Mapping[str, Any]) -> RawTable:
        url = self._url
        if self._password_env is not None:
            password = from_environment(self._password_env)
            if not password:
                said = f"the environment variable {self._password_env} is not set"
                raise Blocked(self.name, None, said, f"export {self._password_env}=…")
            url = url.set(password=password)

        def ask() -> RawTable:
            return self._run(sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True), bound)

        return self._translated(ask, url.password)

    def _run(self, engine: sa.Engine, bound: Mapping[str, Any]) -> RawTable:
        kind = engine.dialect.name
        options = {"postgresql_readonly": True} if kind == "postgresql" else {}
        with engine.connect().execution_options(**options) as con:
            if kind in _READ_ONLY:
                con.exec_driver_sql(_READ_ONLY[kind])
            if kind == "postgresql":
                con.exec_driver_sql(f"SET LOCAL statement_timeout = {int(self._timeout * 1000)}")
            query = self._query
            if query is None:
                found = sa.inspect(con)
                there = sorted([*found.get_table_names(), *found.get_view_names()])
                if self._table is not None and "." in self._table:
                    there = []  # of another schema
                query = f"SELECT * FROM {self._table_in(there, engine.dialect.identifier_preparer.quote)}"
            text = sa.text(read_only_sql.colons_escaped(query))
            text = text.bindparams(*(_parameter(name, value) for name, value in bound.items()))
            raw = raw_rows(self._place, con.execution_options(stream_results=True).execute(text), self._most_rows)
            con.rollback()
        if kind not in _FENCED:
            raw.notes.append(f"{kind} has no read-only connections: give it an account that may only read")
        return raw

    def _translated(self, work: Callable[[], RawTable], password: str | None = None) -> RawTable:
        """What ``work`` gives; errors of SQLAlchemy and of the driver as ours. Those hold the address and the password, so
        they are not even the context of what is raised."""
        try:
            return work()
        except (InputError, SourceError):
            raise
        except Exception as error:  # drivers have errors of their own while connecting
            ours = _meaning(error, _said(error, password), self._place, self._query or f"table {self._table}")
        raise ours


def _parameter(name: str, value: Any) -> sa.BindParameter:
    if name == "symbols":
        return sa.bindparam(name, value, type_=sa.String(), expanding=True)
    return sa.bindparam(name, value, type_=sa.Date())


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        pass  # its text holds the address
    raise SettingError("database.url", "no such address", "one such as 'postgresql+psycopg://reader@host/prices'")


def _kind_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise PricesFileError(str(path), "there is no such file", "give the path of a DuckDB, SQLite or Parquet file") from None
    except OSError as error:
        raise PricesFileError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error
    if head[:16] == b"SQLite format 3\x00":
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    if head[:4] == b"PAR1":
        return "parquet"
    raise PricesFileError(str(path), "is no DuckDB, SQLite or Parquet file", 'read other files with the source "files"')


def _sqlite(path: Path, timeout_seconds: float) -> sa.Engine:
    """An engine whose connections can only read this one file, and give up after a while."""

    def connect() -> sqlite3.Connection:
        con = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
        con.execute("PRAGMA query_only = ON")
        ends = time.monotonic() + timeout_seconds
        con.set_progress_handler(lambda: time.monotonic() > ends, 100_000)
        con.set_authorizer(_may_read)
        return con

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool, hide_parameters=True)


def _may_read(action: int, first: str | None, second: str | None, *_: object) -> int:
    reading = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION)
    function = action == _SQLITE_FUNCTION and second != "load_extension"
    asking = action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS
    return sqlite3.SQLITE_OK if reading or function or asking else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _said(error: Exception, password: str | None) -> str:
    """The driver's first line, without the password in any spelling."""
    original = getattr(error, "orig", None) or error
    line = " ".join((str(original).strip().splitlines() or [type(original).__name__])[0].split())[:300]
    for spelling in sorted({s for s in (password, quote(password or ""), quote(password or "", safe="")) if s}, key=len)[::-1]:
        line = line.replace(spelling, "***")
    return line


def _meaning(error: Exception, said: str, place: str, query: str) -> InputError | SourceError:
    if isinstance(error, (sa.exc.NoSuchModuleError, sa.exc.ArgumentError)):
        return SettingError("database.url", place, f"an address that SQLAlchemy knows ({said})")
    if isinstance(error, ImportError):
        said = f"an address whose driver is installed ({error.name} is not; pip install it)"
        return SettingError("database.url", place, said)
    if any(word in said.lower() for word in _REFUSED):
        return Blocked("database", None, f"{place} refused: {said}", "check the user, the password and what it may read")
    if said == "interrupted":
        return SourceDown("database", None, "the query took too long", "make it smaller, or raise timeout_seconds")
    if said.endswith("malformed") or said == "file is not a database":
        return PricesFileError(place, f"is a damaged database ({said})", "restore it")
    wrong = (sa.exc.ProgrammingError, sa.exc.NotSupportedError, sa.exc.DataError)
    from_sqlite = isinstance(getattr(error, "orig", None), sqlite3.Error) and "locked" not in said
    if isinstance(error, wrong) or from_sqlite:
        return SettingError("database.query", query[:60], f"a query that the database accepts ({said})")
    return SourceDown("database", None, f"{place}: {said}", "check that it runs and can be reached from here")
