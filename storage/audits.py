"""What the leak audit of each training run compared and found; kept before anybody looks at the model's scores."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Protocol

import duckdb

from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

COMPARED = "compared"  # the code of the row that says how many values were compared


class Finding(Protocol):
    """One leak, as forecasting/audit/features.py makes them."""

    code: str
    what: str
    symbol: str
    session: str
    detail: str
    cells: int


def append_audit(tx: Tx, model_id: str, origin: date, findings: Iterable[Finding], compared: int) -> int:
    """Store how many values were compared, and a row for each leak; returns the rows stored."""
    rows = [(COMPARED, "values", None, None, None, compared)]
    rows += [(f.code, f.what, f.symbol or None, f.session or None, f.detail, f.cells) for f in findings]
    frame = _frame(rows).assign(run_id=tx.run_id, model_id=model_id, origin=origin)
    return tx.append("audits", frame, ("run_id", "model_id", "origin", "code", "what")).stored


def audit_of(con: duckdb.DuckDBPyConnection, run_id: str, origin: date) -> tuple[int, list[tuple]] | None:
    """(values compared, rows (code, what, symbol, session, detail, cells) of the leaks) of the model that a run trained at
    ``origin``; None where its audit was not stored."""
    rows = con.execute(
        "SELECT code, what, coalesce(symbol, ''), coalesce(session, ''), coalesce(detail, ''), cells FROM store.audits "
        "WHERE run_id = ? AND origin = ?::DATE ORDER BY code, what",
        [run_id, str(origin)[:10]],
    ).fetchall()
    if not rows:
        return None
    return sum(row[5] for row in rows if row[0] == COMPARED), [row for row in rows if row[0] != COMPARED]


def _frame(rows: list[tuple]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=["code", "what", "symbol", "session", "detail", "cells"])
