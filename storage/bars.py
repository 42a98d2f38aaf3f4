"""Bars, actions and symbols as they became known, and reading them back as known at any instant.

Rows are never changed. A value that differs from the stored one by more than REVISION_TOLERANCE (relative) is a revision:
a further row of the same key with the next number and its own ``known_at``. ``as_of`` reads what was known then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from forecasting.units import unit_of
from storage.append import Appended, current
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

# Sources send the same price with other last digits (float32 on the way, re-adjustment); a cent on 1,000 is 1e-5.
REVISION_TOLERANCE = 1e-6
BAR_KEY = ("symbol", "session")
ACTION_KEY = ("symbol", "session", "kind")


def append_bars(tx: Tx, frame: pd.DataFrame, source: str, basis: str, known_at: datetime) -> Appended:
    """Store bars (symbol, session, open, high, low, close, volume); ``basis`` is 'as_traded' or 'adjusted'.

    What came of them is also told symbol by symbol (``Appended.by``).
    """
    columns = ["symbol", "session", "open", "high", "low", "close", "volume"]
    rows = frame[columns].assign(source=source, basis=basis, known_at=known_at)
    values = ("open", "high", "low", "close", "volume", "basis")
    return tx.append("bars", rows, BAR_KEY, values, REVISION_TOLERANCE, by="symbol")


def append_actions(tx: Tx, frame: pd.DataFrame, source: str, known_at: datetime) -> Appended:
    """Store actions (symbol, session, kind, value); a later row with value None retracts one."""
    rows = frame[["symbol", "session", "kind", "value"]].assign(source=source, known_at=known_at)
    return tx.append("actions", rows, ACTION_KEY, ("value",), REVISION_TOLERANCE)


def append_symbols(tx: Tx, frame: pd.DataFrame, known_at: datetime) -> Appended:
    """Store what is known of symbols (symbol, calendar, currency, basis, source); the unit follows from the currency."""
    columns = ["symbol", "calendar", "currency", "basis", "source"]
    unit = [unit_of(c) if isinstance(c, str) else None for c in frame["currency"]]
    rows = frame[columns].assign(unit=unit, known_at=known_at)
    return tx.append("symbols", rows, ("symbol",), (*columns[1:], "unit"))


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
        con, f"SELECT {columns} FROM ({current('bars', BAR_KEY, where, known_by(as_of))}) ORDER BY symbol, session", parameters
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
    rows = current("actions", ACTION_KEY, where, known_by(as_of))
    return frame_of(
        con,
        f"SELECT symbol, session, kind, value FROM ({rows}) WHERE value IS NOT NULL ORDER BY symbol, session, kind",
        parameters,
    )


def last_sessions(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> dict[str, date]:
    """The newest stored session of each symbol; what the run ``besides`` stored does not count."""
    found = con.execute(
        "SELECT symbol, max(session) FROM store.bars WHERE run_id IS DISTINCT FROM ? GROUP BY symbol ORDER BY symbol", [besides]
    )
    return dict(found.fetchall())


def first_sessions_after(con: duckdb.DuckDBPyConnection, last: Mapping[str, date], until: date) -> dict[str, date]:
    """For each symbol its first stored session after the one in ``last`` and up to ``until``; without those that have none."""
    if not last:
        return {}
    found = con.execute(
        "WITH known AS (SELECT unnest($symbols::VARCHAR[]) AS symbol, unnest($days::DATE[]) AS last) "
        "SELECT symbol, min(session) FROM store.bars JOIN known USING (symbol) "
        "WHERE session > last AND session > $from::DATE AND session <= $until::DATE GROUP BY symbol ORDER BY symbol",
        {"symbols": list(last), "days": list(last.values()), "from": min(last.values()), "until": until},
    )
    return dict(found.fetchall())


def revised_since(
    con: duckdb.DuckDBPyConnection, since: datetime, back_to: date, besides: str | None = None
) -> dict[str, date]:
    """For each symbol of which bars came with other values at or after ``since`` the first session of those, and none before
    ``back_to``; what the run ``besides`` stored does not count."""
    found = con.execute(
        "SELECT symbol, min(session) FROM store.bars WHERE revision > 0 AND known_at >= ? AND session >= ?::DATE "
        "AND run_id IS DISTINCT FROM ? GROUP BY symbol ORDER BY symbol",
        [since, str(back_to)[:10], besides],
    )
    return dict(found.fetchall())


def first_and_last_sessions(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The first and the last stored session of each symbol: symbol, first, last (datetime64)."""
    return frame_of(
        con, "SELECT symbol, min(session) AS first, max(session) AS last FROM store.bars GROUP BY symbol ORDER BY symbol"
    )


def same_history(
    con: duckdb.DuckDBPyConnection, old: Iterable[str], new: Iterable[str], run_id: str, least: int
) -> list[tuple[str, str]]:
    """(old, new) symbols with equal closes in at least ``least`` sessions and in nearly all that both have; of ``new`` only
    those count that were first stored by this run."""
    found = con.execute(
        """WITH fresh AS (
            SELECT symbol FROM store.bars WHERE symbol IN (SELECT unnest($new::VARCHAR[]))
            GROUP BY symbol HAVING bool_and(run_id = $run)
        ),
        pair AS (
            SELECT o.symbol AS old, n.symbol AS new, count(*) AS n, count(*) FILTER (WHERE o.close = n.close) AS same
            FROM store.bars AS o JOIN store.bars AS n USING (session)
            WHERE o.symbol IN (SELECT unnest($old::VARCHAR[])) AND n.symbol IN (FROM fresh) AND o.symbol <> n.symbol
            GROUP BY ALL
        )
        SELECT old, new FROM pair WHERE same >= $least AND same >= 0.95 * n ORDER BY old, new""",
        {"old": list(old), "new": list(new), "run": run_id, "least": least},
    )
    return found.fetchall()


def sessions_from(con: duckdb.DuckDBPyConnection, symbols: Iterable[str], since: date) -> pd.DataFrame:
    """Which source each current bar from ``since`` on came from: symbol, session, source."""
    where, parameters = _where(symbols, None, since)
    rows = current("bars", BAR_KEY, where)
    return frame_of(con, f"SELECT symbol, session, source FROM ({rows}) ORDER BY symbol, session", parameters)


def known_symbols(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """What is known of each symbol now: symbol, calendar, currency, unit, basis, source."""
    rows = current("symbols", ("symbol",))
    return frame_of(con, f"SELECT symbol, calendar, currency, unit, basis, source FROM ({rows}) ORDER BY symbol")


def frame_of(con: duckdb.DuckDBPyConnection, sql: str, parameters: dict | list | None = None) -> pd.DataFrame:
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


def known_by(as_of: datetime | None) -> str:
    """A condition on ``known_at``; None means now. ValueError for an instant without a time zone."""
    if as_of is None:
        return "true"
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of} has no time zone; give an instant in UTC")
    return f"known_at <= TIMESTAMPTZ '{as_of.isoformat()}'"
