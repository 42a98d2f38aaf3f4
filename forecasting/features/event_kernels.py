"""The compiled loops behind the event features: a symbol's own calendar of jumps, and what it says about the days ahead.

The calendar has five slots a week (Saturday and Sunday share Friday's), so that 65 slots are a quarter of thirteen weeks and
the same weekday. See ``feature_kernels`` for the form of the arguments.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled

QUARTER = 65  # slots in thirteen weeks
FURTHEST = QUARTER - 25  # slots ahead that a look at the same days a quarter ago can reach without touching the present
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


@compiled
def slots(day):
    """Slot of each day (int64 days since 1970): five a week."""
    out = np.empty(day.size, dtype=np.int64)
    for t in range(day.size):
        week = (day[t] + EPOCH_WEEKDAY) // 7
        weekday = (day[t] + EPOCH_WEEKDAY) - 7 * week
        out[t] = 5 * week + min(weekday, 4)
    return out


@compiled
def smoothed_calendar(slot, score, width):
    """Sum of ``score`` up to and including each slot of one symbol, after a triangular smoothing over +-width slots."""
    first = slot[0]
    size = slot[slot.size - 1] - first + 1
    raw = np.zeros(size)
    for t in range(slot.size):
        raw[slot[t] - first] += score[t]
    total = np.zeros(size + 1)
    for s in range(size):
        value = 0.0
        for a in range(max(-width, -s), min(width, size - 1 - s) + 1):
            value += raw[s + a] * (1.0 - abs(a) / (width + 1.0))
        total[s + 1] = total[s] + value
    return total


@compiled
def usual(starts, slot, score, step, count, width, first, last):
    """Mean over the last ``count`` multiples of ``step`` slots ago of the smoothed score in the slots first..last from the row.

    Only multiples that the symbol's history reaches back to are counted; NaN before the first one.
    """
    out = np.full(score.size, np.nan)
    for i in range(starts.size - 1):
        begin, end = starts[i], starts[i + 1]
        if begin == end:
            continue
        total = smoothed_calendar(slot[begin:end], score[begin:end], width)
        for t in range(begin, end):
            now = slot[t] - slot[begin]
            sum_, known = 0.0, 0
            for k in range(1, count + 1):
                then = now - k * step
                if then < 0:
                    break
                known += 1
                sum_ += total[then + last + 1] - total[max(then + first, 0)]
            if known > 0:
                out[t] = sum_ / known
    return out


@compiled
def decayed(starts, x, lam):
    """EWMA of x, started at 0: x_0 (1 - lam), and so on; an unknown x counts as 0."""
    out = np.empty(x.size)
    for i in range(starts.size - 1):
        value = 0.0
        for t in range(starts[i], starts[i + 1]):
            value = lam * value + (1.0 - lam) * (0.0 if np.isnan(x[t]) else x[t])
            out[t] = value
    return out


@compiled
def jumps(starts, returns, variance, volume_excess):
    """How much of an event each row was: (|return| over the scale before it, less 1, at most 4) x the volume excess, 0 to 1.5.

    0 where the move or the scale is not known; without volume the second factor is 0.5.
    """
    out = np.zeros(returns.size)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            size = abs(returns[t]) / np.sqrt(variance[t - 1])
            if np.isnan(size):
                continue
            weight = 0.5 if np.isnan(volume_excess[t]) else min(max(volume_excess[t], 0.0), 1.5)
            out[t] = min(max(size - 1.0, 0.0), 4.0) * weight
    return out


@compiled
def capped(starts, returns, variance, most):
    """Returns cut to +-most times the scale known before them; NaN where either is not known."""
    out = np.full(returns.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            limit = most * np.sqrt(variance[t - 1])
            if np.isnan(limit):
                out[t] = returns[t]
            elif not np.isnan(returns[t]):
                out[t] = min(max(returns[t], -limit), limit)
    return out
