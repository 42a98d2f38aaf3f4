"""Which symbols traded when, as it was known: one that is gone stays in the past in which it was there."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended, current
from storage.bars import frame_of, known_by
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

KEY = ("symbol",)


def append_universe(tx: Tx, frame: pd.DataFrame, known_at: datetime) -> Appended:
    """Store what is known of listings (symbol, valid_from, valid_to or NaT); a change is a revision."""
    rows = frame[["symbol", "valid_from", "valid_to"]].assign(known_at=known_at)
    return tx.append("universe", rows, KEY, ("valid_from", "valid_to"))


def read_universe(con: duckdb.DuckDBPyConnection, session: date | None = None, as_of: datetime | None = None) -> pd.DataFrame:
    """Symbol, valid_from, valid_to as known at ``as_of`` (None: now), in symbol order; only those that traded at ``session``
    where one is given."""
    rows = current("universe", KEY, known=known_by(as_of))
    where, parameters = "true", None
    if session is not None:
        where, parameters = "$s::DATE BETWEEN valid_from AND coalesce(valid_to, 'infinity'::DATE)", {"s": str(session)[:10]}
    return frame_of(con, f"SELECT symbol, valid_from, valid_to FROM ({rows}) WHERE {where} ORDER BY symbol", parameters)


def gone(con: duckdb.DuckDBPyConnection) -> dict[str, date]:
    """The symbols that no longer trade, and their last session."""
    rows = current("universe", KEY)
    return dict(con.execute(f"SELECT symbol, valid_to FROM ({rows}) WHERE valid_to IS NOT NULL ORDER BY symbol").fetchall())
