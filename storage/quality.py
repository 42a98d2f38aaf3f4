"""What became of the rows that came in, what was found odd about them, and where two sources disagree."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from storage.database import Tx
from storage.ledger import LATE_DAYS

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("received", "stored", "unchanged", "revised", "merged", "outside", "quarantined", "warned")


def append_quality(tx: Tx, frame: pd.DataFrame, origin: date, known_at: datetime) -> None:
    """Store one row a (source, symbol) with COUNTS. Raises ValueError where rows are unaccounted for."""
    settled = frame[["stored", "unchanged", "revised", "merged", "outside", "quarantined"]].sum(axis=1)
    lost = frame[settled != frame["received"]]
    if len(lost):
        first = lost.iloc[0]
        raise ValueError(
            f"{first['symbol']} of {first['source']}: {first['received']} rows came, {settled[lost.index[0]]} are explained"
        )
    rows = frame[["source", "symbol", *COUNTS]].assign(run_id=tx.run_id, origin=origin, known_at=known_at)
    tx.append("quality", rows, ("run_id", "source", "symbol"))


def account_of(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, int]:
    """What became of the rows of a run, COUNTS over all sources and symbols; empty where it brought in none."""
    sums = ", ".join(f"sum({count})::BIGINT" for count in COUNTS)
    row = con.execute(f"SELECT {sums} FROM store.quality WHERE run_id = ?", [run_id]).fetchone()
    return {} if row[0] is None else dict(zip(COUNTS, row, strict=True))


def findings_by_rule(con: duckdb.DuckDBPyConnection, run_id: str) -> list[tuple[str, str, int, int, str]]:
    """(rule, severity, symbols, rows, one symbol's message) of a run, the gravest and most frequent first."""
    return con.execute(
        """SELECT rule, severity, count(DISTINCT symbol), sum("rows")::BIGINT, any_value(symbol || ': ' || message)
        FROM store.findings WHERE run_id = ? GROUP BY rule, severity
        ORDER BY severity = 'warn', severity <> 'reject', 3 DESC, rule""",
        [run_id],
    ).fetchall()


def still_restated(con: duckdb.DuckDBPyConnection, origin: date) -> list[str]:
    """The symbols whose bars came mostly with other values in the last LATE_DAYS before ``origin``, or since, and of which
    nothing came at a later origin: in their order."""
    since = origin - timedelta(days=LATE_DAYS)
    found = con.execute(
        """SELECT DISTINCT symbol FROM store.findings AS f WHERE rule = 'restated' AND origin >= $since::DATE AND NOT EXISTS (
            FROM store.quality AS q WHERE q.origin >= $since::DATE AND q.symbol = f.symbol AND q.origin > f.origin
        ) ORDER BY symbol""",
        {"since": since},
    )
    return [row[0] for row in found.fetchall()]


def append_findings(tx: Tx, frame: pd.DataFrame, origin: date, known_at: datetime) -> None:
    """Store findings (source, symbol, rule, severity, rows, first_session, last_session, message)."""
    columns = ["source", "symbol", "rule", "severity", "rows", "first_session", "last_session", "message"]
    rows = frame[columns].assign(run_id=tx.run_id, origin=origin, known_at=known_at)
    tx.append("findings", rows, ("run_id", "source", "symbol", "rule"))


def append_disagreements(tx: Tx, frame: pd.DataFrame, known_at: datetime) -> None:
    """Store where two sources differ (symbol, session, field, first_source, first_value, second_source, second_value,
    difference, verdict)."""
    rows = frame.assign(run_id=tx.run_id, known_at=known_at)
    tx.append("disagreements", rows, ("run_id", "symbol", "session", "field", "second_source"))
