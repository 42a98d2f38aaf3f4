"""Rules that look along one symbol's bars: changes of unit, stale runs, moves without volume. Vectorised over all symbols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.quality.thresholds import QualityThresholds

UNITS = (100.0, 1000.0)
_SPIKE_RETURNS = np.log(1.5)  # how far the closes before and after a spike may be apart
_MEDIAN_BARS = 20  # before a large move, to compare its volume with
_STORED_TOLERANCE = 2.0  # days may lie between the last stored close and the first bars
_STORED_BARS = 5
_CLEAR_MAJORITY = 2 / 3
_VOLUME_BARS = 10  # on each side of a change of unit
_VOLUME_SAME = 10.0  # the middle of unchanged and a hundredfold


@dataclass(frozen=True)
class Rows:
    """Bars in (symbol, session) order as arrays; ``new``: the first row of a symbol.

    ``split``: new shares per old one where a split takes effect, else 1; ``dividend``: cash per share going ex, else 0;
    ``adj_ratio``: the source's adjusted close over its close, NaN where it gave none.
    """

    code: np.ndarray
    day: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    adj_ratio: np.ndarray
    split: np.ndarray
    dividend: np.ndarray
    new: np.ndarray

    @classmethod
    def of(
        cls, frame: pd.DataFrame, order: np.ndarray, code: np.ndarray, day: np.ndarray, split: np.ndarray, dividend: np.ndarray
    ) -> Rows:
        columns = {name: frame[name].to_numpy()[order] for name in ("open", "high", "low", "close", "volume")}
        ratio = frame["adj_ratio"].to_numpy()[order] if "adj_ratio" in frame else np.full(len(order), np.nan)
        new = np.ones(len(order), dtype=bool)
        new[1:] = code[order[1:]] != code[order[:-1]]
        return cls(code[order], day[order], **columns, adj_ratio=ratio, split=split, dividend=dividend, new=new)

    def keep(self, mask: np.ndarray) -> Rows:
        """The rows of ``mask`` alone; an action on a row that goes is lost with it."""
        part = {name: getattr(self, name)[mask] for name in self.__dataclass_fields__ if name != "new"}
        new = np.ones(int(mask.sum()), dtype=bool)
        new[1:] = part["code"][1:] != part["code"][:-1]
        return Rows(**part, new=new)

    def growth(self) -> np.ndarray:
        """Close over the close before; 1 at a symbol's first row. On an ex-date of a split or dividend whichever of the raw
        and the corrected ratio is nearest to 1: whether the action is true is judged elsewhere."""
        ratio = np.ones(len(self.close))
        np.divide(self.close[1:], self.close[:-1], out=ratio[1:], where=self.close[:-1] > 0)
        ratio[self.new] = 1.0
        for at in np.flatnonzero(((self.split != 1.0) | (self.dividend > 0.0)) & ~self.new):
            share = min(self.dividend[at] * self.split[at] / self.close[at - 1], 0.99)
            readings = ratio[at] * np.array([1.0, self.split[at], 1.0 / (1.0 - share), self.split[at] / (1.0 - share)])
            ratio[at] = readings[np.argmin(np.abs(np.log(readings)))]
        return ratio


def units(ratio: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether each ratio is a change of unit: about 100 or 1000, or one over that, bool."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.maximum(ratio, 1.0 / ratio)
        return np.logical_or.reduce([(size >= unit / tolerance) & (size <= unit * tolerance) for unit in UNITS])


@dataclass(frozen=True)
class Jumps:
    """``block``: rows in a wrong unit; ``untraded``: those of them in a run without a trade, with the right unit on both
    sides; ``shifted``: rows on the doubtful side of a
    hundred- or thousandfold that stays and may be true. All bool."""

    block: np.ndarray
    untraded: np.ndarray
    shifted: np.ndarray


def unit_jumps(rows: Rows, growth: np.ndarray, stored: np.ndarray, minor: np.ndarray, thresholds: QualityThresholds) -> Jumps:
    """Where prices change to a hundred- or thousandfold, and back or not.

    Which of the two levels is wrong is told by, in this order: the last ``stored`` close [symbols] (NaN: none); a clear
    majority of the rows with a trade; for symbols that are quoted in pence and the like (``minor`` [symbols]) the unit of the
    exchange, so that the lower level is the wrong one; and else that what lies on both sides is right.
    """
    n = len(growth)
    found = Jumps(np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
    jumps = np.flatnonzero((growth > 10.0) | (growth < 0.1))
    jumps = jumps[units(growth[jumps], thresholds.unit_tolerance)]
    if not len(jumps):
        return found
    starts = np.append(np.flatnonzero(rows.new), n)
    i = 0
    while i < len(jumps):
        at = int(jumps[i])
        symbol = int(np.searchsorted(starts, at, side="right"))
        first, end = int(starts[symbol - 1]), int(starts[symbol])
        back = int(jumps[i + 1]) if i + 1 < len(jumps) and jumps[i + 1] < end else None
        if i and jumps[i - 1] >= first:
            first = int(jumps[i - 1])
        if back is None or back - at > thresholds.unit_block or (growth[at] > 1.0) == (growth[back] > 1.0):
            i += 1
            if not _stays(rows, first, at, end):
                continue
            side, error = _shifted_side(rows, first, at, end, growth[at], stored[rows.code[at]], bool(minor[rows.code[at]]))
            (found.block if error else found.shifted)[side] = True
            continue
        if i + 2 < len(jumps):
            end = min(end, int(jumps[i + 2]))
        code = rows.code[at]
        inner_is_wrong = _inner_is_wrong(rows, first, at, back, end, growth[at], stored[code], bool(minor[code]), thresholds)
        if inner_is_wrong:
            found.block[at:back] = True
            found.untraded[at:back] = not (rows.volume[at:back] > 0.0).any()
        else:
            found.block[first:at] = found.block[back:end] = True
        i += 2
    found.untraded[:] &= rows.volume == 0.0
    return found


def _stays(rows: Rows, first: int, at: int, end: int) -> bool:
    """Whether the prices of some bars on both sides lie as far apart as the jump; a lone bad price does not."""
    before, after = rows.close[max(first, at - _STORED_BARS) : at], rows.close[at : min(end, at + _STORED_BARS)]
    return bool(units(np.array([np.median(after) / np.median(before)]), _STORED_TOLERANCE)[0])


def _shifted_side(rows: Rows, first: int, at: int, end: int, jump: float, stored: float, minor: bool) -> tuple[slice, bool]:
    """(the doubtful side of a jump that does not return, whether it is an error of the source).

    At a consolidation of shares the volume falls as the price rises; at a change of unit it stays as it was.
    """
    older, newer = slice(first, at), slice(at, end)
    level = np.median(rows.close[older]) / stored
    if np.isfinite(level):
        side = older if units(np.array([level]), _STORED_TOLERANCE)[0] else newer
    elif minor:
        side = older if jump > 1.0 else newer
    else:
        side = older if at - first <= end - at else newer
    before, after = rows.volume[max(first, at - _VOLUME_BARS) : at], rows.volume[at : min(end, at + _VOLUME_BARS)]
    before, after = before[before > 0.0], after[after > 0.0]
    same_volume = len(before) and len(after) and abs(np.log(np.median(after) / np.median(before))) < np.log(_VOLUME_SAME)
    return side, bool(same_volume)


def _inner_is_wrong(
    rows: Rows, first: int, at: int, back: int, end: int, jump: float, stored: float, minor: bool, t: QualityThresholds
) -> bool:
    if np.isfinite(stored):
        return bool(units(np.array([np.median(rows.close[at:back]) / stored]), _STORED_TOLERANCE)[0])
    if at - first > t.unit_block or end - back > t.unit_block:
        return True
    inside, outside = (
        int((rows.volume[at:back] > 0.0).sum()),
        int((rows.volume[first:at] > 0.0).sum() + (rows.volume[back:end] > 0.0).sum()),
    )
    if inside + outside and max(inside, outside) > _CLEAR_MAJORITY * (inside + outside):
        return outside > inside
    return jump < 1.0 if minor else True


def unit_changed(rows: Rows, stored: np.ndarray, thresholds: QualityThresholds) -> np.ndarray:
    """Rows of symbols whose first bars are a hundred or thousand times the last stored close [symbols], bool."""
    starts = np.flatnonzero(rows.new)
    known = starts[np.isfinite(stored[rows.code[starts]])] if len(starts) else starts
    wrong = np.zeros(len(stored), dtype=bool)
    if len(known):
        at = known[:, None] + np.arange(_STORED_BARS)
        own = (at < len(rows.code)) & (rows.code[np.minimum(at, len(rows.code) - 1)] == rows.code[known][:, None])
        at = np.where(own, at, known[:, None])  # [symbols, bars]; a symbol with fewer counts its first one again
        close = rows.close[at] * np.cumprod(np.where(own, rows.split[at], 1.0), axis=1)
        ratio = np.median(close, axis=1) / stored[rows.code[known]]
        wrong[rows.code[known]] = units(ratio, _STORED_TOLERANCE)
    return wrong[rows.code]


def warnings(rows: Rows, growth: np.ndarray, unexplained: np.ndarray, thresholds: QualityThresholds) -> dict[str, np.ndarray]:
    """For each code of severity 'warn' about bars the rows that it speaks of, bool. ``unexplained``: moves as at a split."""
    close, volume = rows.close, rows.volume
    moved = np.zeros(len(close), dtype=bool)
    moved[1:] = close[1:] != close[:-1]
    moved &= ~rows.new & (rows.split == 1.0)
    traded = _has_volume(rows)
    large = ((growth > 1.0 + thresholds.large_move) | (growth < 1.0 - thresholds.large_move)) & ~unexplained
    confirmed = np.zeros(len(close), dtype=bool)
    for at in np.flatnonzero(large):
        before = volume[max(0, at - _MEDIAN_BARS) : at][rows.code[max(0, at - _MEDIAN_BARS) : at] == rows.code[at]]
        known = before[np.isfinite(before)]
        confirmed[at] = len(known) > 0 and volume[at] >= thresholds.volume_confirms * np.median(known) and volume[at] > 0
    return {
        "open_unknown": ~(rows.open > 0.0),
        "range_unknown": np.isnan(rows.high) | np.isnan(rows.low),
        "volume_unknown": np.isnan(volume) & traded,
        "stale": stale(rows, thresholds.stale_run),
        "zero_volume_move": moved & (volume == 0.0) & traded,
        "split_unexplained": unexplained,
        "large_move": large & confirmed,
        "large_move_unconfirmed": large & ~confirmed,
    }


def spikes(rows: Rows, growth: np.ndarray, thresholds: QualityThresholds) -> np.ndarray:
    """Rows whose close is a multiple (or a fraction) of both the one before and the one after, which agree, bool.

    In 2.2 million rows of clean history there is none at twice; in the raw prices of a whole market each was a wrong print.
    """
    found = np.zeros(len(growth), dtype=bool)
    if len(growth) > 1:
        back = np.where(rows.new[1:], 1.0, growth[1:])
        size, returned = np.abs(np.log(growth[:-1])), np.abs(np.log(growth[:-1] * back))
        wide = np.log(thresholds.spike)
        found[:-1] = (size > wide) & (np.abs(np.log(back)) > wide) & (returned < _SPIKE_RETURNS)
    return found


def _has_volume(rows: Rows) -> np.ndarray:
    """Rows of symbols for which volume means something: an index or a fund has none on most of its days, bool."""
    size = int(rows.code.max(initial=-1)) + 1
    positive = np.bincount(rows.code[rows.volume > 0.0], minlength=size)
    return (positive > 0.1 * np.bincount(rows.code, minlength=size))[rows.code]


def stale(rows: Rows, run_length: int) -> np.ndarray:
    """Rows of runs of so many or more identical bars without volume, bool."""
    same = np.zeros(len(rows.close), dtype=bool)
    same[1:] = (rows.volume[1:] == 0.0) & (rows.volume[:-1] == 0.0)
    if not same.any():
        return same
    for values in (rows.open, rows.high, rows.low, rows.close):
        same[1:] &= (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    same &= ~rows.new
    run = np.cumsum(~same)
    return np.bincount(run)[run] >= run_length
