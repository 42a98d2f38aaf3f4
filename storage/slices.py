"""The scores of an evaluation by year, volatility regime, sector and symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.append import Appended
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

KEY = ("model_id", "run_id", "forecaster", "horizon", "kind", "slice", "metric")


def append_slices(tx: Tx, model_id: str, frame: pd.DataFrame) -> Appended:
    """Store slices (forecaster, horizon, kind, slice, metric, value, n_rows, n_sessions) of one model's evaluation."""
    return tx.append("evaluation_slices", frame.assign(model_id=model_id, run_id=tx.run_id), KEY)
