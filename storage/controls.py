"""What the product said of markets, models and leaks whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

import duckdb

from storage.database import Tx

COLUMNS = ("control", "case_name", "strength", "expected", "answer", "right_answer", "code", "sentence")


class Answer(Protocol):
    """What was said of one case, as forecasting/audit/controls.py makes them."""

    control: str
    case: str
    strength: float | None
    expected: str
    answer: str
    right: bool
    code: str | None
    sentence: str


def append_answers(tx: Tx, answers: Iterable[Answer], finished_at: datetime) -> int:
    """Store the answers to some cases; returns the rows stored."""
    import pandas as pd

    rows = [(a.control, a.case, a.strength, a.expected, a.answer, a.right, a.code, a.sentence) for a in answers]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).assign(run_id=tx.run_id, finished_at=finished_at)
    return tx.append("controls", frame, ("run_id", "control", "case_name")).stored


def answers_of(con: duckdb.DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """All answers of a run, COLUMNS, by control, strength and case."""
    rows = con.execute(
        f"SELECT {', '.join(COLUMNS)} FROM store.controls WHERE run_id = ? ORDER BY control, strength, case_name", [run_id]
    ).fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
