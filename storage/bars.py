"""Bars, actions, macro values and symbols as they became known, and reading them back as known at any instant.

Rows are never changed. A value that differs from the stored one by more than REVISION_TOLERANCE (relative) is a revision:
a further row of the same key with the next number and its own ``known_at``. ``as_of`` reads what was known then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended, current
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

# Sources send the same price with other last digits (float32 on the way, re-adjustment); a cent on 1,000 is 1e-5.
REVISION_TOLERANCE = 1e-6
BAR_KEY = ("symbol", "session")
ACTION_KEY = ("symbol", "session", "kind")
MACRO_KEY = ("series", "session")


def append_bars(tx: Tx, frame: pd.DataFrame, source: str, basis: str, known_at: datetime) -> Appended:
    """Store bars (symbol, session, open, high, low, close, volume); ``basis`` is 'as_traded' or 'adjusted'."""
    columns = ["symbol", "session", "open", "high", "low", "close", "volume"]
    rows = frame[columns].assign(source=source, basis=basis, known_at=known_at)
    return tx.append("bars", rows, BAR_KEY, ("open", "high", "low", "close", "volume", "basis"), REVISION_TOLERANCE)


def append_actions(tx: Tx, frame: pd.DataFrame, source: str, known_at: datetime) -> Appended:
    """Store actions (symbol, session, kind, value); a later row with value None retracts one."""
    rows = frame[["symbol", "session", "kind", "value"]].assign(source=source, known_at=known_at)
    return tx.append("actions", rows, ACTION_KEY, ("value",), REVISION_TOLERANCE)


def append_macro(tx: Tx, frame: pd.DataFrame, source: str, known_at: datetime) -> Appended:
    """Store macro values (series, session, value); session is the first one at whose close the value was public."""
    rows = frame[["series", "session", "value"]].assign(source=source, known_at=known_at)
    return tx.append("macro", rows, MACRO_KEY, ("value",), REVISION_TOLERANCE)


def append_symbols(tx: Tx, frame: pd.DataFrame, known_at: datetime) -> Appended:
    """Store what is known of symbols (symbol, calendar, currency, basis, source)."""
    columns = ["symbol", "calendar", "currency", "basis", "source"]
    rows = frame[columns].assign(known_at=known_at)
    return tx.append("symbols", rows, ("symbol",), ("calendar", "currency", "basis", "source"))


def read_bars(
    con: duckdb.DuckDBPyConnection,
    symbols: Iterable[str] | None = None,
    until: date | None = None,
    as_of: datetime | None = None,
    since: date | None = None,
) -> pd.DataFrame:
    """The bars with since <= session <= until as known at ``as_of`` (None: now), in (symbol, session) order.

    Columns: symbol, session (datetime64[us]), open, high, low, close, volume (float64), basis.
    """
    where, parameters = _where(symbols, until, since)
    columns = "symbol, session, open, high, low, close, volume, basis"
    return frame_of(
        con, f"SELECT {columns} FROM ({current('bars', BAR_KEY, where, _known(as_of))}) ORDER BY symbol, session", parameters
    )


def read_actions(
    con: duckdb.DuckDBPyConnection,
    symbols: Iterable[str] | None = None,
    until: date | None = None,
    as_of: datetime | None = None,
    since: date | None = None,
) -> pd.DataFrame:
    """The actions (symbol, session, kind, value) as known at ``as_of``; retracted ones are left out."""
    where, parameters = _where(symbols, until, since)
    rows = current("actions", ACTION_KEY, where, _known(as_of))
    return frame_of(
        con,
        f"SELECT symbol, session, kind, value FROM ({rows}) WHERE value IS NOT NULL ORDER BY symbol, session, kind",
        parameters,
    )


def read_macro(
    con: duckdb.DuckDBPyConnection, until: date | None = None, as_of: datetime | None = None, since: date | None = None
) -> pd.DataFrame:
    """Macro values (series, session, value) as known at ``as_of``, in (series, session) order."""
    where, parameters = _where(None, until, since)
    rows = current("macro", MACRO_KEY, where, _known(as_of))
    return frame_of(con, f"SELECT series, session, value FROM ({rows}) ORDER BY series, session", parameters)


def last_sessions(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> dict[str, date]:
    """The newest stored session of each symbol; what the run ``besides`` stored does not count."""
    found = con.execute(
        "SELECT symbol, max(session) FROM store.bars WHERE run_id IS DISTINCT FROM ? GROUP BY symbol ORDER BY symbol", [besides]
    )
    return dict(found.fetchall())


def known_symbols(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """What is known of each symbol now: symbol, calendar, currency, basis, source."""
    rows = current("symbols", ("symbol",))
    return frame_of(con, f"SELECT symbol, calendar, currency, basis, source FROM ({rows}) ORDER BY symbol")


def frame_of(con: duckdb.DuckDBPyConnection, sql: str, parameters: dict | None = None) -> pd.DataFrame:
    """The answer as a DataFrame; DATE columns as datetime64[us], absent numbers as NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duckdb 2.0 uses a call that pandas 3.1 announces to change
        return con.execute(sql, parameters).df()


def _where(symbols: Iterable[str] | None, until: date | None, since: date | None) -> tuple[str, dict]:
    conditions, parameters = ["true"], {}
    if symbols is not None:
        conditions.append("symbol IN (SELECT unnest($symbols::VARCHAR[]))")
        parameters["symbols"] = list(symbols)
    if until is not None:
        conditions.append("session <= $until::DATE")
        parameters["until"] = str(until)[:10]
    if since is not None:
        conditions.append("session >= $since::DATE")
        parameters["since"] = str(since)[:10]
    return " AND ".join(conditions), parameters


def _known(as_of: datetime | None) -> str:
    if as_of is None:
        return "true"
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of} has no time zone; give an instant in UTC")
    return f"known_at <= TIMESTAMPTZ '{as_of.isoformat()}'"
