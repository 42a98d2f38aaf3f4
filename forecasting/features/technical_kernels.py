"""Compiled loops of the classical indicators; conventions as in ``feature_kernels``.

A window is summed in two parts, the rest of the last block of n rows and the start of the present one (van Herk 1992), so
that the cost does not grow with n and a value outside the window, however large, leaves no trace in it.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled


@compiled
def rolling_sum(starts, x, n):
    """Sum of the last n values."""
    out = np.full(x.size, np.nan)
    rest = np.zeros(n + 1)
    for i in range(starts.size - 1):
        k, part = 0, 0.0
        for t in range(starts[i], starts[i + 1]):
            part += x[t]
            if t - starts[i] >= n - 1:
                out[t] = rest[k + 1] + part
            k += 1
            if k == n:
                k, part = 0, 0.0
                for j in range(n - 1, 0, -1):
                    rest[j] = rest[j + 1] + x[t - n + 1 + j]
        rest[:] = 0.0
    return out


@compiled
def rolling_maximum(starts, x, n):
    """Largest of the last n values; NaN where one of them is."""
    out = np.full(x.size, np.nan)
    rest = np.full(n + 1, -np.inf)
    for i in range(starts.size - 1):
        k, part = 0, -np.inf
        for t in range(starts[i], starts[i + 1]):
            part = x[t] if not (part > x[t] or part != part) else part
            if t - starts[i] >= n - 1:
                out[t] = rest[k + 1] if rest[k + 1] > part or rest[k + 1] != rest[k + 1] else part
            k += 1
            if k == n:
                k, part = 0, -np.inf
                for j in range(n - 1, 0, -1):
                    value = x[t - n + 1 + j]
                    rest[j] = value if not (rest[j + 1] > value or rest[j + 1] != rest[j + 1]) else rest[j + 1]
        rest[:] = -np.inf
    return out


@compiled
def rolling_moments(starts, x, n):
    """Mean and second and third central moment (divided by n) of the last n values.

    Sums are taken about the first value of the present block, which every window reaching it contains: prices far from
    zero then cost no digits.
    """
    mean, m2, m3 = np.full(x.size, np.nan), np.full(x.size, np.nan), np.full(x.size, np.nan)
    r1, r2, r3 = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(starts.size - 1):
        k, s1, s2, s3, centre = 0, 0.0, 0.0, 0.0, 0.0
        for t in range(starts[i], starts[i + 1]):
            if k == 0:
                s1, s2, s3, centre = 0.0, 0.0, 0.0, x[t]
                if t > starts[i]:
                    for j in range(n - 1, 0, -1):
                        d = x[t - n + j] - centre
                        r1[j], r2[j], r3[j] = r1[j + 1] + d, r2[j + 1] + d * d, r3[j + 1] + d * d * d
            d = x[t] - centre
            s1, s2, s3 = s1 + d, s2 + d * d, s3 + d * d * d
            if t - starts[i] >= n - 1:
                a, b, c = (r1[k + 1] + s1) / n, (r2[k + 1] + s2) / n, (r3[k + 1] + s3) / n
                mean[t] = centre + a
                m2[t] = max(b - a * a, 0.0)
                m3[t] = c - 3.0 * a * b + 2.0 * a * a * a
            k = 0 if k == n - 1 else k + 1
        r1[:], r2[:], r3[:] = 0.0, 0.0, 0.0
    return mean, m2, m3


@compiled
def rolling_slope(starts, x, n):
    """Slope of the least-squares line through the last n values, per row."""
    out = np.full(x.size, np.nan)
    r1, rk = np.zeros(n + 1), np.zeros(n + 1)
    spread = n * (n * n - 1.0) / 12.0
    for i in range(starts.size - 1):
        k, s1, sk, centre = 0, 0.0, 0.0, 0.0
        for t in range(starts[i], starts[i + 1]):
            if k == 0:
                s1, sk, centre = 0.0, 0.0, x[t]
                if t > starts[i]:
                    for j in range(n - 1, 0, -1):
                        d = x[t - n + j] - centre
                        r1[j], rk[j] = r1[j + 1] + d, rk[j + 1] + (j - n) * d
            d = x[t] - centre
            s1, sk = s1 + d, sk + k * d
            if t - starts[i] >= n - 1:
                out[t] = (rk[k + 1] + sk - (k - 0.5 * (n - 1)) * (r1[k + 1] + s1)) / spread
            k = 0 if k == n - 1 else k + 1
        r1[:], rk[:] = 0.0, 0.0
    return out


@compiled
def smoothed(starts, x, n, weight, skip):
    """y = (1 - weight) y + weight x, started at the mean of the n values from row ``skip`` on; an unknown x is passed over."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        seen, y = 0, 0.0
        for t in range(starts[i] + skip, starts[i + 1]):
            if x[t] == x[t]:
                if seen < n:
                    y += x[t]
                    seen += 1
                    if seen == n:
                        y /= n
                else:
                    y = (1.0 - weight) * y + weight * x[t]
            if seen == n:
                out[t] = y
    return out


@compiled
def gains_and_losses(starts, close):
    """Rise and fall of the close against the row before, both counted positive."""
    gain, loss = np.full(close.size, np.nan), np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            change = close[t] - close[t - 1]
            gain[t], loss[t] = max(change, 0.0), max(-change, 0.0)
    return gain, loss


@compiled
def true_range(starts, high, low, close):
    """Range of the row with the close before it; an unknown high or low counts as the close."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            top = high[t] if high[t] == high[t] else close[t]
            bottom = low[t] if low[t] == low[t] else close[t]
            out[t] = max(top, close[t - 1]) - min(bottom, close[t - 1])
    return out


@compiled
def signed_volume(starts, close, volume):
    """Volume with the sign of the close's change; the whole volume at the first row; unknown volume counts as zero."""
    out = np.zeros(close.size)
    for i in range(starts.size - 1):
        for t in range(starts[i], starts[i + 1]):
            if volume[t] == volume[t]:
                if t == starts[i] or close[t] > close[t - 1]:
                    out[t] = volume[t]
                elif close[t] < close[t - 1]:
                    out[t] = -volume[t]
    return out
