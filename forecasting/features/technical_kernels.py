"""Compiled loops of the indicators that remember: averages in which the past fades; conventions as in ``kernels``."""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled


@compiled
def step(seen, y, x, n, weight):
    """One more row of an average: y = (1 - weight) y + weight x, started at the mean of n values, of which ``seen`` have come;
    an unknown x is passed over."""
    if x == x:
        if seen < n:
            seen, y = seen + 1, y + x
            if seen == n:
                y = y / n
        else:
            y = (1.0 - weight) * y + weight * x
    return seen, y


@compiled
def smoothed(starts, x, n, weight):
    """The average of ``step`` from the first row on; NaN before n values."""
    out = np.empty(x.size)
    for i in range(starts.size - 1):
        own, average = x[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]]
        seen, y = 0, 0.0
        for t in range(own.size):
            seen, y = step(seen, y, own[t], n, weight)
            average[t] = y if seen == n else np.nan
    return out


@compiled
def macd(starts, x, fast, slow, signal):
    """Appel's MACD (1979): the exponential average of span ``fast`` less that of span ``slow``, both started at the same row;
    and the average of span ``signal`` of it. In one pass: the processor then works on the three averages at a time."""
    line, mean = np.empty(x.size), np.empty(x.size)
    for i in range(starts.size - 1):
        begin, end = starts[i], starts[i + 1]
        own, difference, average = x[begin:end], line[begin:end], mean[begin:end]
        quick, slow_, smooth, seen_quick, seen_slow, seen = 0.0, 0.0, 0.0, 0, 0, 0
        for t in range(own.size):
            if t >= slow - fast:
                seen_quick, quick = step(seen_quick, quick, own[t], fast, 2.0 / (fast + 1))
            seen_slow, slow_ = step(seen_slow, slow_, own[t], slow, 2.0 / (slow + 1))
            value = quick - slow_ if seen_quick == fast and seen_slow == slow else np.nan
            seen, smooth = step(seen, smooth, value, signal, 2.0 / (signal + 1))
            difference[t], average[t] = value, smooth if seen == signal else np.nan
    return line, mean


@compiled
def relative_strength(starts, close, n):
    """Wilder's relative strength index: the average rise over the average rise and fall, 0 to 100; 50 where neither is."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        own, index = close[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]]
        down = np.full(own.size, np.nan)
        seen, rise, fall, weight = 0, 0.0, 0.0, 1.0 / n
        for t in range(1, own.size):
            change = own[t] - own[t - 1]
            _, rise = step(seen, rise, max(change, 0.0), n, weight)
            seen, fall = step(seen, fall, max(-change, 0.0), n, weight)
            if seen == n:
                index[t], down[t] = rise, fall
        for t in range(own.size):
            both = index[t] + down[t]
            index[t] = 100.0 * index[t] / both if both > 0.0 else (50.0 if index[t] == index[t] else np.nan)
    return out


@compiled
def gains_and_losses(starts, close):
    """Rise and fall of the close against the row before, both counted positive."""
    gain, loss = np.full(close.size, np.nan), np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        own, up, down = close[a:b], gain[a:b], loss[a:b]
        for t in range(1, own.size):
            change = own[t] - own[t - 1]
            up[t], down[t] = max(change, 0.0), max(-change, 0.0)
    return gain, loss


@compiled
def true_range(starts, high, low, close):
    """Range of the row with the close before it; an unknown high or low counts as the close."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        top, bottom, last, own = high[a:b], low[a:b], close[a:b], out[a:b]
        for t in range(1, own.size):
            above = top[t] if top[t] == top[t] else last[t]
            below = bottom[t] if bottom[t] == bottom[t] else last[t]
            own[t] = max(above, last[t - 1]) - min(below, last[t - 1])
    return out


@compiled
def signed_volume(starts, close, volume):
    """Volume with the sign of the close's change; the whole volume at the first row; unknown volume counts as zero."""
    out = np.empty(close.size)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        last, traded, own = close[a:b], volume[a:b], out[a:b]
        for t in range(1, own.size):
            value = traded[t] if traded[t] == traded[t] else 0.0
            own[t] = value if last[t] > last[t - 1] else (-value if last[t] < last[t - 1] else 0.0)
        if own.size > 0:
            own[0] = traded[0] if traded[0] == traded[0] else 0.0
    return out
