"""Feature values as they were computed for a session, one row a value. The first value of a key stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended
from storage.bars import frame_of
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd


def append_features(tx: Tx, frame: pd.DataFrame, feature_set: str) -> Appended:
    """Store values (symbol, session, feature, value); ``feature_set`` names the list of features and its version."""
    rows = frame[["symbol", "session", "feature", "value"]].assign(feature_set=feature_set)
    return tx.append("features", rows, ("symbol", "session", "feature_set", "feature"))


def read_features(
    con: duckdb.DuckDBPyConnection,
    feature_set: str,
    symbols: Iterable[str] | None = None,
    until: date | None = None,
    since: date | None = None,
) -> pd.DataFrame:
    """Stored values (symbol, session, feature, value) in that order of rows."""
    return frame_of(
        con,
        """SELECT symbol, session, feature, value FROM store.features
        WHERE feature_set = $feature_set
          AND ($symbols::VARCHAR[] IS NULL OR list_contains($symbols::VARCHAR[], symbol))
          AND ($until::DATE IS NULL OR session <= $until::DATE) AND ($since::DATE IS NULL OR session >= $since::DATE)
        ORDER BY symbol, session, feature""",
        {
            "feature_set": feature_set,
            "symbols": None if symbols is None else list(symbols),
            "until": None if until is None else str(until)[:10],
            "since": None if since is None else str(since)[:10],
        },
    )
