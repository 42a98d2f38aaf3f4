"""What is forecast: the log return of the close over each horizon, in units of the scale known at the origin.

The close of the target session is expressed in the units of the origin's close, that is, splits between the two are
undone; dividends are not, because what people check is the quoted close.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.features import ewma_volatility
from forecasting.panel import Panel

SCALE_DECAY = 0.94  # RiskMetrics' daily decay; the scale of every target and of the EWMA rival
SCALE_FLOOR = 1e-4  # a daily move of 0.01 %: below it a series is treated as not moving


@dataclass(frozen=True)
class Targets:
    """Outcomes of R rows at H horizons.

    ``scale``: the EWMA volatility of daily log returns known at the row's close, float64 [R], NaN where unknown.
    ``returns``: log return of the close over each horizon, float64 [R, H], NaN where the target session has no bar.
    ``settles_at``: position in ``panel.sessions`` of the target session, int32 [R, H]; len(sessions) where it has no bar.
    """

    horizons: tuple[int, ...]
    scale: np.ndarray
    returns: np.ndarray
    settles_at: np.ndarray

    @property
    def unit(self) -> np.ndarray:
        """One standardised unit as a log return: scale times the square root of the horizon, float64 [R, H]."""
        return self.scale[:, None] * np.sqrt(np.asarray(self.horizons, dtype=np.float64))

    @property
    def standardised(self) -> np.ndarray:
        """The outcomes in units of the scale, float64 [R, H]."""
        return self.returns / self.unit


def log_returns(panel: Panel) -> np.ndarray:
    """One-bar log returns of the close with splits undone, float64 [R]; NaN at a symbol's first bar."""
    result = np.full(panel.rows, np.nan)
    result[1:] = np.log(panel.close[1:] * panel.split[1:] / panel.close[:-1])
    result[panel.starts[:-1]] = np.nan
    return result


def make_targets(panel: Panel, horizons: tuple[int, ...]) -> Targets:
    """Outcomes at each horizon, counted in sessions of the symbol's own exchange from the row's session."""
    scale = ewma_volatility(panel, SCALE_DECAY)
    scale = np.where(scale > SCALE_FLOOR, scale, np.nan)
    level = panel.cumsum(log_returns(panel))  # differences inside one symbol are its log returns
    ordinal, symbol = panel.ordinal.astype(np.int64), panel.symbol_index.astype(np.int64)
    key = (
        symbol * (int(ordinal.max(initial=0)) + 1 + max(horizons)) + ordinal
    )  # ascending: a target row is a binary search away
    returns = np.full((panel.rows, len(horizons)), np.nan)
    settles_at = np.full((panel.rows, len(horizons)), len(panel.sessions), dtype=np.int32)
    for k, horizon in enumerate(horizons):
        row = np.minimum(np.searchsorted(key, key + horizon), panel.rows - 1)
        found = key[row] == key + horizon
        returns[found, k] = level[row[found]] - level[found]
        settles_at[found, k] = panel.at[row[found]]
    return Targets(tuple(horizons), scale, returns, settles_at)


def excess_returns(panel: Panel, targets: Targets, labels: np.ndarray) -> np.ndarray:
    """What each outcome was beyond the mean of its session's outcomes, in units of the scale, float32 [R, H]; 0 elsewhere.

    ``labels`` bool [R, H]: the outcomes that count, and that may be looked at. Clipped at +-10.
    """
    excess = np.zeros(targets.returns.shape, dtype=np.float32)
    for k in range(excess.shape[1]):
        rows = np.flatnonzero(labels[:, k])
        at, outcome = panel.at[rows], targets.returns[rows, k]
        count = np.bincount(at, minlength=len(panel.sessions))
        mean = np.bincount(at, weights=outcome, minlength=len(panel.sessions)) / np.maximum(count, 1)
        excess[rows, k] = np.clip((outcome - mean[at]) / targets.unit[rows, k], -10, 10)
    return excess
