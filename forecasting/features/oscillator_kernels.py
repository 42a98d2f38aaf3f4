"""Compiled loops of the indicators that need more than a window sum; conventions as in ``kernels``.

Where TA-Lib has the indicator, the recursion starts as TA-Lib's does.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled


@compiled
def directional(starts, high, low, close, n):
    """Wilder's +DI, -DI and ADX of n sessions, each 0 to 100; 0 where the price has no range at all."""
    plus, minus, adx = np.full(close.size, np.nan), np.full(close.size, np.nan), np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        up, down, true_range, strength = 0.0, 0.0, 0.0, 0.0
        for t in range(starts[i] + 1, starts[i + 1]):
            k = t - starts[i]  # rows since the first: k - 1 movements before this one
            rise, fall = high[t] - high[t - 1], low[t - 1] - low[t]
            if k >= n:
                up, down, true_range = up - up / n, down - down / n, true_range - true_range / n
            up += rise if rise > fall and rise > 0.0 else 0.0
            down += fall if fall > rise and fall > 0.0 else 0.0
            true_range += max(high[t], close[t - 1]) - min(low[t], close[t - 1])
            if k < n:
                continue
            plus[t] = 100.0 * up / true_range if true_range > 0.0 else 0.0
            minus[t] = 100.0 * down / true_range if true_range > 0.0 else 0.0
            total = plus[t] + minus[t]
            index = 100.0 * abs(plus[t] - minus[t]) / total if total > 0.0 else 0.0
            if k < 2 * n:
                strength += index / n
            else:
                strength = (strength * (n - 1) + index) / n
            if k >= 2 * n - 1:
                adx[t] = strength
    return plus, minus, adx


@compiled
def age_of_maximum(starts, x, n):
    """Rows since the largest of the last n + 1 values, the latest of equal ones; NaN where one of them is not known."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        top, unknown = -1, -1
        for t in range(starts[i], starts[i + 1]):
            if x[t] != x[t]:
                unknown, top = t, -1
                continue
            if top < 0 or x[t] >= x[top]:
                top = t
            elif t - top > n:
                top = max(t - n, unknown + 1)
                for j in range(top + 1, t + 1):
                    if x[j] >= x[top]:
                        top = j
            if t - starts[i] >= n and t - unknown > n:
                out[t] = t - top
    return out


@compiled
def mean_deviation(starts, x, mean, n):
    """Mean distance of the last n values from their mean."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + n - 1, starts[i + 1]):
            total = 0.0
            for j in range(t - n + 1, t + 1):
                total += abs(x[j] - mean[t])
            out[t] = total / n
    return out


@compiled
def fourth_moment(starts, x, mean, n):
    """Fourth central moment (divided by n) of the last n values."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + n - 1, starts[i + 1]):
            total = 0.0
            for j in range(t - n + 1, t + 1):
                d = (x[j] - mean[t]) * (x[j] - mean[t])
                total += d * d
            out[t] = total / n
    return out


@compiled
def adaptive_average(starts, x, n):
    """Kaufman's adaptive moving average (1995): between an EMA of span 2 and one of span 30, by how straight the way was."""
    out = np.full(x.size, np.nan)
    fast, slow = 2.0 / 3.0, 2.0 / 31.0
    for i in range(starts.size - 1):
        average = np.nan
        for t in range(starts[i] + n, starts[i + 1]):
            if average != average:
                average = x[t - 1]
            way = 0.0
            for j in range(t - n + 1, t + 1):
                way += abs(x[j] - x[j - 1])
            net = abs(x[t] - x[t - n])
            straight = net / way if way > net else 1.0
            weight = straight * (fast - slow) + slow
            average += weight * weight * (x[t] - average)
            out[t] = average
    return out


@compiled
def above_low(starts, low, close):
    """Close less the lower of low and previous close (the buying pressure of Williams 1985)."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            out[t] = close[t] - min(low[t], close[t - 1])
    return out


@compiled
def two_session_ranges(starts, high, low, close):
    """High over low of the session, and of it and the one before together, its overnight jump taken out of both.

    As Corwin and Schultz (2012) adjust: a range that lies wholly above or below the previous close is moved up to it.
    NaN where a high or low of the two is not known.
    """
    one, two = np.full(close.size, np.nan), np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            if low[t] > 0.0 and low[t - 1] > 0.0 and high[t] >= low[t] and high[t - 1] >= low[t - 1] and close[t - 1] > 0.0:
                jump = max(low[t] - close[t - 1], 0.0) + min(high[t] - close[t - 1], 0.0)
                one[t] = (high[t] - jump) / (low[t] - jump)
                two[t] = max(high[t] - jump, high[t - 1]) / min(low[t] - jump, low[t - 1])
    return one, two
