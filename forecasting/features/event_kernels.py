"""The compiled loops behind the event features: a symbol's own calendar of jumps, and what it says about the days ahead.

The calendar has five slots a week (Saturday and Sunday share Friday's), so that 65 slots are a quarter of thirteen weeks and
the same weekday. See ``kernels`` for the form of the arguments.
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
def smoothed_calendar(starts, slot, score, width):
    """The symbols' calendars one after the other: the sum of ``score`` before each slot, after a triangular smoothing over
    +-width slots; a symbol's calendar goes from its first slot to the one after its last."""
    total = np.zeros(calendar_starts(starts, slot)[-1])
    weight = np.empty(2 * width + 1)
    for a in range(weight.size):
        weight[a] = 1.0 - abs(a - width) / (width + 1.0)
    begin = 0
    for i in range(starts.size - 1):
        if starts[i] == starts[i + 1]:
            continue
        own, scored = slot[starts[i] : starts[i + 1]], score[starts[i] : starts[i + 1]]
        size = own[-1] - own[0] + 1
        raw, smooth = np.zeros(size + 2 * width), np.zeros(size)
        for t in range(own.size):
            raw[own[t] - own[0] + width] += scored[t]
        for a in range(weight.size):
            near, part = raw[a : a + size], weight[a]
            for s in range(size):
                smooth[s] += near[s] * part
        sums, value = total[begin : begin + size + 1], 0.0
        for s in range(size):
            value += smooth[s]
            sums[s + 1] = value
        begin += size + 1
    return total


@compiled
def calendar_starts(starts, slot):
    """Where each symbol's calendar begins among those of all: one entry more than it has slots each."""
    first = np.zeros(starts.size, dtype=np.int64)
    for i in range(starts.size - 1):
        size = slot[starts[i + 1] - 1] - slot[starts[i]] + 2 if starts[i + 1] > starts[i] else 0
        first[i + 1] = first[i] + size
    return first


@compiled
def usual(starts, slot, total, step, count, first, last):
    """Mean over the last ``count`` multiples of ``step`` slots ago of the score in the slots first..last from the row.

    ``total``: the calendars of ``smoothed_calendar``. Only multiples that the symbol's history reaches back to are counted;
    NaN before the first one.
    """
    out = np.full(slot.size, np.nan)
    begins = calendar_starts(starts, slot)
    for i in range(starts.size - 1):
        own, mean, sums = slot[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]], total[begins[i] : begins[i + 1]]
        slots = sums.size - 1
        if slots <= step:
            continue
        window, found = np.empty(slots - step), np.zeros(slots)
        for s in range(window.size):
            window[s] = sums[s + last + 1]
        begun = window[max(-first, 0) :]  # from here on the span begins within the history
        since = sums[max(first, 0) :]
        for s in range(begun.size):
            begun[s] -= since[s]
        for k in range(1, count + 1):
            later = found[min(k * step, slots) :]
            for s in range(later.size):
                later[s] += window[s]
        for k in range(slots // step + 1):
            part, reached = found[k * step : (k + 1) * step], min(k, count)  # so many of the multiples lie within the history
            for s in range(part.size):
                part[s] = part[s] / reached if reached > 0 else np.nan
        for t in range(own.size):
            mean[t] = found[own[t] - own[0]]
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
        a, b = starts[i], starts[i + 1]
        move, spread, excess, own = returns[a:b], variance[a:b], volume_excess[a:b], out[a:b]
        for t in range(1, own.size):
            size = abs(move[t]) / np.sqrt(spread[t - 1])
            weight = min(max(excess[t], 0.0), 1.5) if excess[t] == excess[t] else 0.5
            own[t] = min(max(size - 1.0, 0.0), 4.0) * weight if size == size else 0.0
    return out


@compiled
def capped(starts, returns, variance, most):
    """Returns cut to +-most times the scale known before them; NaN where either is not known."""
    out = np.full(returns.size, np.nan)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        move, spread, own = returns[a:b], variance[a:b], out[a:b]
        for t in range(1, own.size):
            limit = most * np.sqrt(spread[t - 1])
            cut = min(max(move[t], -limit), limit) if limit == limit else move[t]
            own[t] = cut if move[t] == move[t] else np.nan
    return out
