"""Splits that show in some rows and not in others. Yahoo loses or repeats the adjustment of rows around a split; the
jump that this makes is as large as the split and only a few sessions away from it."""

from __future__ import annotations

import numpy as np

from forecasting.quality.series_rules import Rows
from forecasting.quality.thresholds import QualityThresholds

_SMALLEST = 0.15  # in logs; a stock dividend below that hides in the moves of a week
_LARGE = 1.5  # in logs; from here on a day's move inside the jump is judged as a share of it
_SHARE = 0.3
_ONE_WAY = 0.4  # in logs; a jump that does not return must be that large, and that many times the usual move
_USUAL = 6.0
_SIMPLE = np.log([1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0])
_SPLIT_LIKE = 0.04  # open and close must both lie that near to the ratio (AAPL opened 5 % off a halving on 2000-09-29)
_VOLUME_LIKE = 2.5
_VOLUME_BARS = 5


def not_applied(rows: Rows, thresholds: QualityThresholds) -> np.ndarray:
    """Rows that lie off by the ratio of a split near them, bool.

    A jump of the split's size and its return: the rows between them. A jump that does not return, while the split does show
    on its own ex-date: the older rows.
    """
    found = np.zeros(len(rows.close), dtype=bool)
    splits = np.flatnonzero((np.abs(np.log(rows.split)) >= _SMALLEST) & ~rows.new)
    if not len(splits):
        return found
    starts = np.append(np.flatnonzero(rows.new), len(rows.close))
    moves = _moves(rows)
    for ex in splits:
        place = int(np.searchsorted(starts, ex, side="right"))
        first, end = int(starts[place - 1]), int(starts[place])
        size = abs(np.log(rows.split[ex]))
        window = np.arange(max(first + 1, ex - thresholds.split_window), min(end, ex + thresholds.split_window + 1))
        tolerance = _SHARE * size if size >= _LARGE else min(thresholds.split_tolerance, _SHARE * size)
        jumps = window[np.abs(np.abs(moves[window]) - size) <= tolerance]
        pair = [(int(a), int(b)) for a, b in zip(jumps[:-1], jumps[1:], strict=True) if moves[a] * moves[b] < 0.0]
        if pair:
            for a, b in pair[::2]:
                found[a:b] = True
        elif len(jumps) and size >= _ONE_WAY and _shows(rows, ex) and _outstanding(moves[first + 1 : end], size):
            found[first : jumps[-1]] = True
    return found


def _moves(rows: Rows) -> np.ndarray:
    """What a holder's shares and dividends together gained from row to row, in logs, if every action is true."""
    moves = np.zeros(len(rows.close))
    moves[1:] = np.log(rows.close[1:] / rows.close[:-1])
    moves += np.log(rows.split)
    for ex in np.flatnonzero(rows.dividend > 0.0):
        share = rows.dividend[ex] * rows.split[ex] / rows.close[max(ex - 1, 0)]
        if not rows.new[ex] and share < 0.95:
            moves[_effective(rows, int(ex), -np.log1p(-share))] -= np.log1p(-share)
    moves[rows.new] = 0.0
    return moves


def _effective(rows: Rows, ex: int, size: float) -> int:
    """The row at which a dividend leaves the price: the one at which the source's adjustment steps by it, the row after in
    weekly bars; else the ex-date's."""
    for at in (ex, ex + 1):
        if at < len(rows.close) and not rows.new[at]:
            step = np.log(rows.adj_ratio[at] / rows.adj_ratio[at - 1])
            if abs(step - size) < 0.3 * size:
                return at
    return ex


def _outstanding(moves: np.ndarray, size: float) -> bool:
    usual = 1.4826 * np.median(np.abs(moves))
    return bool(size > _USUAL * usual)


def _shows(rows: Rows, ex: int) -> bool:
    """Whether the closes around the ex-date move by the split."""
    raw, size = np.log(rows.close[ex] / rows.close[ex - 1]), np.log(rows.split[ex])
    return bool(abs(raw + size) < abs(raw))


def unexplained(rows: Rows, growth: np.ndarray) -> np.ndarray:
    """Rows at which prices move by a simple ratio and volumes by its opposite, as at a split that nobody named, bool."""
    found = np.zeros(len(growth), dtype=bool)
    for at in np.flatnonzero((np.abs(np.log(growth)) > 0.3) & ~rows.new & (rows.split == 1.0)):
        move = np.log(growth[at])
        opened = np.log(rows.open[at] / rows.close[at - 1]) if rows.open[at] > 0.0 else move
        ratio = _SIMPLE[np.argmin(np.abs(_SIMPLE - abs(move)))]
        if max(abs(abs(move) - ratio), abs(abs(opened) - ratio)) > _SPLIT_LIKE or move * opened < 0.0:
            continue
        before, after = (
            np.median(rows.volume[side][rows.code[side] == rows.code[at]])
            for side in (slice(max(0, at - _VOLUME_BARS), at), slice(at, at + _VOLUME_BARS))
        )
        change = np.log(after / before) if before > 0.0 and after > 0.0 else np.nan
        found[at] = abs(change + np.sign(move) * ratio) <= np.log(_VOLUME_LIKE)
    return found
