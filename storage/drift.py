"""What the watch over the serving model reads - its live scores beside the rivals' - and what it found, append-only."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended
from storage.bars import frame_of
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

    from storage.registry import Serving

MOST_ORIGINS = 250  # newest sessions that count: a year


def append_drift(tx: Tx, frame: pd.DataFrame, known_at: datetime) -> Appended:
    """Store findings (origin, model_id, kind, what, horizon, value, threshold, verdict, action, sentence)."""
    rows = frame.assign(run_id=tx.run_id, known_at=known_at)
    return tx.append("drift", rows, ("run_id", "origin", "kind", "what", "horizon"))


def scores_since(con: duckdb.DuckDBPyConnection, serving: Serving, until: date, modes: tuple[str, ...]) -> pd.DataFrame:
    """The scores of every forecaster where ``serving`` served since it was put into service and the outcome was there by
    ``until``: horizon, origin, forecaster, symbol, pinball, inside_80, inside_90, in the order of the first four."""
    return frame_of(
        con,
        """WITH mine AS (
            SELECT symbol, origin, horizon FROM store.forecasts
            WHERE serving AND model_id = $model AND forecaster = $forecaster AND origin >= $since::DATE
                AND target_session <= $until::DATE AND mode IN (SELECT unnest($modes::VARCHAR[]))
        ),
        newest AS (SELECT DISTINCT origin FROM mine ORDER BY origin DESC LIMIT $most)
        SELECT s.horizon, s.origin, s.forecaster, s.symbol, s.pinball, s.inside_80, s.inside_90
        FROM store.scores AS s SEMI JOIN mine USING (symbol, origin, horizon) SEMI JOIN newest USING (origin)
        WHERE s.target_session <= $until::DATE
        ORDER BY s.horizon, s.origin, s.forecaster, s.symbol""",
        {
            "model": serving.model_id, "forecaster": serving.forecaster, "since": str(serving.origin), "until": str(until)[:10],
            "modes": list(modes), "most": MOST_ORIGINS,
        },
    )  # fmt: skip


def judged_losses(con: duckdb.DuckDBPyConnection, model_id: str) -> dict[tuple[str, int], float]:
    """The pinball loss of each (forecaster, horizon) on the span that the gate judged the model on."""
    found = con.execute(
        "SELECT forecaster, horizon, value FROM store.evaluations WHERE model_id = ? AND metric = 'pinball' ORDER BY 1, 2",
        [model_id],
    )
    return {(forecaster, horizon): value for forecaster, horizon, value in found.fetchall()}


def training_calls(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> list[date]:
    """The origins at which the watch asked for a training, oldest first; without those of the run ``besides``."""
    found = con.execute(
        "SELECT DISTINCT origin FROM store.drift WHERE action <> 'none' AND run_id IS DISTINCT FROM ? ORDER BY origin",
        [besides],
    )
    return [row[0] for row in found.fetchall()]


def findings_at(con: duckdb.DuckDBPyConnection, origin: date) -> list[dict[str, object]]:
    """What the watch of ``origin`` found drifted or acted on, as plain values."""
    names = ("kind", "what", "horizon", "value", "threshold", "verdict", "action", "sentence")
    found = con.execute(
        f"SELECT {', '.join(names)} FROM store.drift WHERE origin = ?::DATE AND (action <> 'none' OR verdict = 'drifted') "
        "ORDER BY known_at, kind, horizon, what",
        [str(origin)[:10]],
    )
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
