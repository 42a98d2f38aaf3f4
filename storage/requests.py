"""What asking the sources cost and how it went: an operations log, so that a budget holds over all runs of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from storage.database import Tx

BUDGET_HOURS = 24  # a rolling window: whenever the provider's own day begins, its limit holds


@dataclass(frozen=True)
class Asked:
    """What one source was asked in a stretch of a run. ``kind`` and ``detail``: of a failure, None where all went well."""

    source: str
    asked_at: datetime
    requests: int
    seconds: float
    answered: int = 0
    failed: int = 0
    kind: str | None = None
    detail: str | None = None


def record_asked(tx: Tx, asked: Asked) -> None:
    """Add one line to the log."""
    values = [
        asked.source,
        asked.asked_at,
        asked.requests,
        asked.seconds,
        asked.answered,
        asked.failed,
        asked.kind,
        asked.detail,
    ]
    tx.execute("INSERT INTO store.requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def spent(con: duckdb.DuckDBPyConnection, source: str, now: datetime) -> int:
    """The requests made to ``source`` in the 24 hours before ``now``; none of them counts twice."""
    since = now - timedelta(hours=BUDGET_HOURS)
    row = con.execute(
        "SELECT coalesce(sum(requests), 0)::BIGINT FROM store.requests WHERE source = ? AND asked_at > ?", [source, since]
    )
    return row.fetchone()[0]
