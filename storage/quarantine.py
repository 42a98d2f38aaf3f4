"""Rows set aside by the cleaning, each with its reason: the same bad row sent again is kept once. And the symbols that a run
left out, of every run."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["symbol", "session", "reason", "severity", "message", "row_json"]


def append_quarantine(tx: Tx, frame: pd.DataFrame, source: str, known_at: datetime) -> Appended:
    """Store set-aside rows (symbol, session or NaT, reason, severity, message, row_json)."""
    rows = frame[_COLUMNS].assign(source=source, known_at=known_at)
    identity = zip(*(rows[c] for c in ("symbol", "session", "reason", "row_json", "severity")), strict=True)
    rows["row_id"] = [_row_id(*parts, "" if severity != "refused" else tx.run_id) for *parts, severity in identity]
    return tx.append("quarantine", rows.drop_duplicates("row_id"), ("row_id",))


def _row_id(symbol: object, session: object, reason: object, row_json: object, run_id: str | None) -> str:
    parts = [str(part) for part in (symbol, session, reason, row_json)] + ([run_id] if run_id else [])
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def refused_by(con: duckdb.DuckDBPyConnection, run_id: str) -> list[tuple[str, str, str]]:
    """The symbols that a run left out: (symbol, reason, message), in symbol order."""
    return con.execute(
        "SELECT symbol, reason, message FROM store.quarantine WHERE run_id = ? AND severity = 'refused' ORDER BY symbol",
        [run_id],
    ).fetchall()
