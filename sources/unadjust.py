"""Undo a source's split adjustment, so that bars and dividends are what was traded and paid on the day."""

from __future__ import annotations

import numpy as np
import pandas as pd

PRICES = ("open", "high", "low", "close")


def later_splits(session: np.ndarray, ex_dates: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """For each session the product of the split ratios with a later ex-date, float64 (1.0: none follows)."""
    order = np.argsort(ex_dates, kind="stable")
    after = np.append(np.cumprod(ratios[order][::-1])[::-1], 1.0)
    return after[np.searchsorted(ex_dates[order], session, side="right")]


def as_traded(bars: pd.DataFrame, dividends: pd.DataFrame, splits: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(bars, dividends) of one symbol as traded, from those that a source has adjusted for all of ``splits``.

    Yahoo's "unadjusted" prices are such: a close of 100 before a later 4:1 split arrives as 25, its volume times 4, a
    dividend of 0.82 as 0.205. ``dividends`` and ``splits``: session, value. Prices and dividends are rounded to 7
    significant digits, which is what single precision carries and takes its noise away; volumes to whole shares.
    """
    if splits.empty:
        return bars.assign(**{c: significant(bars[c].to_numpy()) for c in PRICES}), dividends
    ex, ratio = splits["session"].to_numpy(), splits["value"].to_numpy(dtype=np.float64)
    factor = later_splits(bars["session"].to_numpy(), ex, ratio)
    changed = {c: significant(bars[c].to_numpy() * factor) for c in PRICES}
    volume = bars["volume"].to_numpy()
    bars = bars.assign(**changed, volume=np.where(factor == 1.0, volume, np.rint(volume / factor)))
    if not dividends.empty:
        paid = dividends["value"].to_numpy() * later_splits(dividends["session"].to_numpy(), ex, ratio)
        dividends = dividends.assign(value=significant(paid))
    return bars, dividends


def significant(values: np.ndarray, digits: int = 7) -> np.ndarray:
    """Each value rounded to so many significant decimal digits; zeros, NaN and infinities stay."""
    values = np.asarray(values, dtype=np.float64)
    usable = np.isfinite(values) & (values != 0.0)
    places = np.zeros(len(values), dtype=np.int64)
    places[usable] = digits - 1 - np.floor(np.log10(np.abs(values[usable]))).astype(np.int64)
    rounded = values.copy()
    for p in np.unique(places[usable]):
        at = usable & (places == p)
        rounded[at] = np.round(values[at], int(p)) if p >= 0 else np.round(values[at] / 10.0 ** -int(p)) * 10.0 ** -int(p)
    return rounded


def moved_along(close: np.ndarray, session: np.ndarray, ex_dates: np.ndarray, ratios: np.ndarray) -> int:
    """How many splits the closes show as a jump minus how many they pass over smoothly.

    Positive: closes are as traded. Negative: the source has adjusted them. Splits without a close on both sides, or too
    small to tell from a day's move, do not count. ``session`` ascending.
    """
    votes = 0
    for day, ratio in zip(ex_dates, ratios, strict=True):
        at = int(np.searchsorted(session, day))
        if 0 < at < len(close) and close[at] > 0 and close[at - 1] > 0 and abs(np.log(ratio)) > 0.04:
            jump = np.log(close[at - 1] / close[at])
            votes += 1 if abs(jump - np.log(ratio)) < abs(jump) else -1
    return votes
