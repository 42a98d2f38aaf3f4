"""Rules that look along one symbol's bars: changes of unit, stale runs, moves without volume. Vectorised over all symbols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

UNITS = (100.0, 1000.0)
UNIT_TOLERANCE = 1.3  # a day's own move hides inside the jump
UNIT_BLOCK = 250  # a wrong unit is noticed by the source within a year; longer is the symbol's own price level
STALE_RUN = 10
LARGE_MOVE = 0.5  # of the close before; down: the same in logs would be a third, but AAPL fell 52 % in a day (2000-09-29)
VOLUME_CONFIRMS = 2.0  # times the median of the 20 bars before


@dataclass(frozen=True)
class Rows:
    """Good bars in (symbol, session) order as arrays; ``new``: the first row of a symbol; ``split``: a split takes effect."""

    code: np.ndarray
    day: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    split: np.ndarray
    new: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, order: np.ndarray, code: np.ndarray, day: np.ndarray, split: np.ndarray) -> Rows:
        columns = {name: frame[name].to_numpy()[order] for name in ("open", "high", "low", "close", "volume")}
        new = np.ones(len(order), dtype=bool)
        new[1:] = code[order[1:]] != code[order[:-1]]
        return cls(code[order], day[order], **columns, split=split, new=new)

    @property
    def ratio(self) -> np.ndarray:
        """Close over the close before; 1 at a symbol's first row and where a split explains the change."""
        ratio = np.ones(len(self.close))
        np.divide(self.close[1:], self.close[:-1], out=ratio[1:], where=self.close[:-1] > 0)
        ratio[self.new | self.split] = 1.0
        return ratio


def is_unit(ratio: float, tolerance: float = UNIT_TOLERANCE) -> bool:
    """Whether ``ratio`` is a change of unit: about 100 or 1000, or one over that."""
    size = max(ratio, 1.0 / ratio) if ratio > 0 else 1.0
    return any(unit / tolerance <= size <= unit * tolerance for unit in UNITS)


def unit_jump(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Rows inside a block whose prices are a hundred- or thousandfold of the rows before and after it, and rows from which
    on they stay so, both bool."""
    block, shifted = np.zeros(len(rows.close), dtype=bool), np.zeros(len(rows.close), dtype=bool)
    ratio = rows.ratio
    size = np.maximum(ratio, 1.0 / ratio)
    jumps = np.flatnonzero(size > min(UNITS) / UNIT_TOLERANCE)
    jumps = [int(at) for at in jumps if is_unit(ratio[at])]
    i = 0
    while i < len(jumps):
        at = jumps[i]
        back = jumps[i + 1] if i + 1 < len(jumps) else None
        same_symbol = back is not None and rows.code[back] == rows.code[at]
        if same_symbol and back - at <= UNIT_BLOCK and (ratio[at] > 1.0) != (ratio[back] > 1.0):
            block[at:back] = True
            i += 2
        else:
            shifted[at] = True
            i += 1
    return block, shifted


def warnings(rows: Rows) -> dict[str, np.ndarray]:
    """For each code of severity 'warn' the rows that it speaks of, bool."""
    close, volume, new = rows.close, rows.volume, rows.new
    ratio = rows.ratio
    moved = np.zeros(len(close), dtype=bool)
    moved[1:] = close[1:] != close[:-1]
    moved &= ~new & ~rows.split
    traded = _has_volume(rows)
    large = (ratio > 1.0 + LARGE_MOVE) | (ratio < 1.0 - LARGE_MOVE)
    confirmed = np.zeros(len(close), dtype=bool)
    for at in np.flatnonzero(large):
        before = volume[max(0, at - 20) : at][rows.code[max(0, at - 20) : at] == rows.code[at]]
        known = before[np.isfinite(before)]
        confirmed[at] = len(known) > 0 and volume[at] >= VOLUME_CONFIRMS * np.median(known) and volume[at] > 0
    return {
        "open_unknown": ~(rows.open > 0.0),
        "range_unknown": np.isnan(rows.high) | np.isnan(rows.low),
        "volume_unknown": np.isnan(volume) & traded,
        "stale": stale(rows),
        "zero_volume_move": moved & (volume == 0.0) & traded,
        "large_move": large & confirmed,
        "large_move_unconfirmed": large & ~confirmed,
        "level_shift": unit_jump(rows)[1],
    }


def _has_volume(rows: Rows) -> np.ndarray:
    """Rows of symbols for which volume means something: an index or a fund has none on most of its days, bool."""
    size = int(rows.code.max(initial=-1)) + 1
    positive = np.bincount(rows.code[rows.volume > 0.0], minlength=size)
    return (positive > 0.1 * np.bincount(rows.code, minlength=size))[rows.code]


def stale(rows: Rows) -> np.ndarray:
    """Rows of runs of ten or more identical bars without volume, bool."""
    same = np.zeros(len(rows.close), dtype=bool)
    same[1:] = (rows.volume[1:] == 0.0) & (rows.volume[:-1] == 0.0)
    for values in (rows.open, rows.high, rows.low, rows.close):
        same[1:] &= (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    same &= ~rows.new
    run = np.cumsum(~same)
    return np.bincount(run)[run] >= STALE_RUN if len(run) else same
