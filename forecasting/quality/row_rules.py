"""Rules that need one row only: those of ``schemas.RawBars``, and how far out of order a row may be and still be kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.quality.series_rules import units
from forecasting.quality.thresholds import QualityThresholds
from forecasting.schemas import PRICES, broken_rules
from forecasting.sessions import calendar_of

# Exchanges whose opens and closes may be the middle of the quotes, while high and low are trades.
MID_QUOTES = ("XLON", "XDUB")
_HABIT = (5, 0.05)  # so many rows, and that share, outside of low..high are the way of the venue


def judge(
    frame: pd.DataFrame, code_of: np.ndarray, names: pd.Index, day: np.ndarray, thresholds: QualityThresholds
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(code -> rows that it speaks against, the rows whose open or close lies outside of low..high by so little that they
    are kept [rows], bool). ``frame``: bars in the types of RawBars with a fresh index."""
    broken = broken_rules(frame)
    doubtful = np.zeros(len(frame), dtype=bool)
    if "outside_range" in broken:
        at = broken["outside_range"]
        slight = _slightly_outside(frame, at, code_of, names, thresholds)
        doubtful[at[slight]] = True
        broken["outside_range"] = at[~slight]
    if "nan_close" in broken:
        at = broken["nan_close"]
        no_price = frame.loc[at, list(PRICES)].isna().all(axis=1).to_numpy() & ~(frame["volume"].to_numpy()[at] > 0.0)
        newest = pd.Series(day).groupby(code_of).transform("max").to_numpy() if no_price.any() else day
        blank = no_price & (day[at] < newest[at])  # the newest bar is one that ought to be there
        broken["nan_close"], broken["empty_row"] = at[~blank], at[blank]
    broken["unit_mix"] = np.flatnonzero(unit_mix(frame, thresholds))
    return broken, doubtful


def _slightly_outside(
    frame: pd.DataFrame, at: np.ndarray, code_of: np.ndarray, names: pd.Index, t: QualityThresholds
) -> np.ndarray:
    """Which of the rows ``at`` have an open and close near enough to low..high to be kept, bool [len(at)]."""
    o, h, lo, c = (frame[name].to_numpy()[at] for name in PRICES)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.fmax.reduce([c / h, lo / c, o / h, np.where(o > 0.0, lo / o, 1.0)]) - 1.0
    code = code_of[at]
    size = np.bincount(code_of[code_of >= 0], minlength=len(names) + 1)
    count = np.bincount(code[(code >= 0) & (excess <= t.quoted_range)], minlength=len(names) + 1)
    quoted = (count >= _HABIT[0]) & (count >= _HABIT[1] * size)
    for i in np.unique(code[code >= 0]):
        quoted[i] |= calendar_of(names[i]) in MID_QUOTES
    return (h >= lo) & (lo > 0.0) & (c > 0.0) & (excess <= np.where(quoted[code], t.quoted_range, t.outside_range))


def unit_mix(frame: pd.DataFrame, thresholds: QualityThresholds) -> np.ndarray:
    """Rows in which open, high or low are a hundred or thousand times the close, or the close is that of them, bool."""
    close = frame["close"].to_numpy()
    found = np.zeros(len(close), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for column in ("open", "high", "low"):
            ratio = frame[column].to_numpy() / close
            odd = np.flatnonzero((ratio > 10.0) | (ratio < 0.1))  # seldom any
            found[odd] |= units(ratio[odd], thresholds.unit_tolerance)
    return found
