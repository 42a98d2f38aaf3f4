"""What real feeds contain, planted on purpose into clean bars, with a list of what and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

DEFECTS = (
    "high_below_low",
    "zero_price",
    "negative_price",
    "missing_close",
    "duplicate_session",
    "unit_jump",
    "stale_repeats",
    "weekend_row",
)
UNIT_JUMP_ROWS = 20
STALE_ROWS = 10
_ROOM = 120  # bars that a symbol needs for a defect


@dataclass(frozen=True)
class Planted:
    """One defect: the code from DEFECTS, the symbol and the sessions whose rows are wrong."""

    defect: str
    symbol: str
    sessions: tuple[np.datetime64, ...]


def plant_defects(bars: pd.DataFrame, streams: Mapping[str, np.random.Generator]) -> tuple[pd.DataFrame, list[Planted]]:
    """(bars with defects, what was planted). The first symbol with room gets the first defect, and so on around; each
    symbol's stream picks the place. ``bars`` in (symbol, session) order; the result is in that order too."""
    parts, planted = [], []
    turn = 0
    for symbol, part in bars.groupby("symbol", sort=True):
        part = part.reset_index(drop=True)
        if len(part) >= _ROOM:
            defect = DEFECTS[turn % len(DEFECTS)]
            turn += 1
            at = int(streams[str(symbol)].integers(30, len(part) - 60))
            part, sessions = _plant(part, defect, at)
            planted.append(Planted(defect, str(symbol), sessions))
        parts.append(part)
    return pd.concat(parts, ignore_index=True).astype(bars.dtypes.to_dict()), planted


def _plant(part: pd.DataFrame, defect: str, at: int) -> tuple[pd.DataFrame, tuple[np.datetime64, ...]]:
    prices = ["open", "high", "low", "close"]
    rows = slice(at, at)
    if defect == "high_below_low":
        part.loc[at, ["high", "low"]] = part.loc[at, ["low", "high"]].to_numpy() * np.array([0.99, 1.01])
    elif defect == "zero_price":
        part.loc[at, "close"] = 0.0
    elif defect == "negative_price":
        part.loc[at, "low"] = -part.loc[at, "low"]
    elif defect == "missing_close":
        part.loc[at, "close"] = np.nan
    elif defect == "duplicate_session":
        again = part.iloc[[at]].copy()
        again["close"] = again["close"] * 1.01
        again["high"] = again[["high", "close"]].max(axis=1)
        part = pd.concat([part.iloc[: at + 1], again, part.iloc[at + 1 :]], ignore_index=True)
    elif defect == "unit_jump":
        rows = slice(at, at + UNIT_JUMP_ROWS - 1)  # .loc includes both ends
        part.loc[rows, prices] = part.loc[rows, prices] * 100.0
    elif defect == "stale_repeats":
        rows = slice(at + 1, at + STALE_ROWS)
        part.loc[rows, prices] = part.loc[at, "close"]
        part.loc[rows, "volume"] = 0.0
    elif defect == "weekend_row":
        while pd.Timestamp(part.loc[at, "session"]).weekday() != 4:
            at += 1
        extra = part.iloc[[at]].assign(session=part.loc[at, "session"] + pd.Timedelta(days=1))
        part = pd.concat([part.iloc[: at + 1], extra, part.iloc[at + 1 :]], ignore_index=True)
        return part, (extra["session"].to_numpy()[0],)
    else:
        raise ValueError(f"no defect is called {defect!r}")
    wrong = part.loc[rows, "session"] if rows.start != rows.stop else part.loc[[at], "session"]
    return part, tuple(wrong.to_numpy())
