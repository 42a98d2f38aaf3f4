"""Runs and their steps, and the operations log of attempts and stage times."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime

import duckdb

from storage.database import Tx


@dataclass(frozen=True)
class Run:
    """One completed run. ``symbols`` is the comma-separated universe; ``status`` completed, degraded or nothing_to_do."""

    run_id: str
    flow: str
    origin: date | None
    status: str
    reason: str | None
    source: str
    symbols: str
    settings_digest: str
    code_version: str
    data_digest: str | None
    mode: str
    started_at: datetime
    finished_at: datetime


def record_run(tx: Tx, run: Run) -> bool:
    """Store the run's row; False where it is there already (the first completion stays)."""
    import pandas as pd

    return tx.append("runs", pd.DataFrame([asdict(run)]), ("run_id",)).stored == 1


def run_done(con: duckdb.DuckDBPyConnection, run_id: str) -> dict | None:
    """The row of a completed run as a dict, or None."""
    found = con.execute("SELECT * FROM store.runs WHERE run_id = ?", [run_id])
    names = [column[0] for column in found.description]
    row = found.fetchone()
    return None if row is None else dict(zip(names, row, strict=True))


def start_attempt(tx: Tx, run_id: str | None, flow: str, started_at: datetime) -> str:
    """Log that a run was begun on this machine; the id goes to ``finish_attempt``."""
    attempt_id = uuid.uuid4().hex
    tx.execute(
        "INSERT INTO store.attempts VALUES (?, ?, ?, 'running', NULL, ?, ?, ?, NULL)",
        [attempt_id, run_id, flow, socket.gethostname(), os.getpid(), started_at],
    )
    return attempt_id


def finish_attempt(tx: Tx, attempt_id: str, status: str, reason: str | None, finished_at: datetime) -> None:
    """Log how the attempt ended. One that was killed keeps the status 'running'."""
    tx.execute(
        "UPDATE store.attempts SET status = ?, reason = ?, finished_at = ? WHERE attempt_id = ?",
        [status, reason, finished_at, attempt_id],
    )


def died_in_a_row(con: duckdb.DuckDBPyConnection, flow: str) -> int:
    """How many attempts of ``flow``, after the last that ended by itself, died; the newest is taken to be under way."""
    return con.execute(
        "SELECT greatest(count(*) - 1, 0) FROM store.attempts WHERE flow = $flow AND status = 'running' AND started_at > "
        "coalesce((SELECT max(started_at) FROM store.attempts WHERE flow = $flow AND status <> 'running'), '-infinity')",
        {"flow": flow},
    ).fetchone()[0]


def record_stage_times(tx: Tx, run_id: str, times: Iterable[tuple[str, float, float | None]]) -> None:
    """Log (stage, seconds, peak MB) of a run."""
    for stage, seconds, peak_mb in times:
        tx.execute("INSERT INTO store.stage_times VALUES (?, ?, ?, ?)", [run_id, stage, seconds, peak_mb])
