"""Compiled loops over the last n rows, and the indicators that are made of them; conventions as in ``kernels``.

A window is summed in two parts, the rest of the last block of n rows and the start of the present one (van Herk 1992), so
that the cost does not grow with n and a value outside the window, however large, leaves no trace in it. ``rest[j]`` belongs
to the rows of the last block from its row j on, ``coming[j]`` to those of the present one, for the block after it; both run
in one loop because neither waits for the other.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled


@compiled
def rolling_sum(starts, x, n):
    """Sum of the last n values."""
    out = np.empty(x.size)
    rest, coming = np.zeros(n + 1), np.zeros(n + 1)
    for i in range(starts.size - 1):
        own, total = x[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]]
        rest[:] = 0.0
        for a in range(0, own.size, n):
            block, sums = own[a : a + n], total[a : a + n]
            last, head, tail = block.size - 1, 0.0, 0.0
            for j in range(block.size):
                head, tail = head + block[j], tail + block[last - j]
                sums[j], coming[last - j] = rest[j + 1] + head, tail
            rest, coming = coming, rest
        total[: n - 1] = np.nan
    return out


@compiled
def rolling_maximum(starts, x, n):
    """Largest of the last n values; NaN where one of them is."""
    out = np.empty(x.size)
    rest, coming = np.full(n + 1, -np.inf), np.full(n + 1, -np.inf)
    for i in range(starts.size - 1):
        own, top = x[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]]
        rest[:] = -np.inf
        for a in range(0, own.size, n):
            block, tops = own[a : a + n], top[a : a + n]
            last, head, tail = block.size - 1, -np.inf, -np.inf
            for j in range(block.size):
                head = head if head > block[j] or head != head else block[j]
                tail = tail if tail > block[last - j] or tail != tail else block[last - j]
                tops[j] = rest[j + 1] if rest[j + 1] > head or rest[j + 1] != rest[j + 1] else head
                coming[last - j] = tail
            rest, coming = coming, rest
        top[: n - 1] = np.nan
    return out


@compiled
def rolling_variance(starts, x, n):
    """Mean and second central moment (divided by n) of the last n values.

    Sums are taken about the first value of the present block, which every window reaching it contains: prices far from
    zero then cost no digits.
    """
    mean, m2 = np.empty(x.size), np.empty(x.size)
    rest, rest2, coming, coming2 = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(starts.size - 1):
        begin, end = starts[i], starts[i + 1]
        own, first, second, centre = x[begin:end], mean[begin:end], m2[begin:end], np.empty(end - begin)
        rest[:], rest2[:] = 0.0, 0.0
        for a in range(0, own.size, n):
            block, sums, squares = own[a : a + n], first[a : a + n], second[a : a + n]
            last, now, then = block.size - 1, own[a], own[min(a + n, own.size - 1)]
            centre[a : a + n] = now
            head, head2, tail, tail2 = 0.0, 0.0, 0.0, 0.0
            for j in range(block.size):
                d, e = block[j] - now, block[last - j] - then
                head, head2, tail, tail2 = head + d, head2 + d * d, tail + e, tail2 + e * e
                sums[j], squares[j] = rest[j + 1] + head, rest2[j + 1] + head2
                coming[last - j], coming2[last - j] = tail, tail2
            rest, rest2, coming, coming2 = coming, coming2, rest, rest2
        for t in range(own.size):
            a, b = first[t] / n, second[t] / n
            first[t], second[t] = centre[t] + a, max(b - a * a, 0.0)
        first[: n - 1], second[: n - 1] = np.nan, np.nan
    return mean, m2


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
def deviation(starts, x, n):
    """Standard deviation of the last n values (divisor n)."""
    out = rolling_variance(starts, x, n)[1]
    for t in range(out.size):
        out[t] = np.sqrt(out[t])
    return out


@compiled
def bollinger(starts, close, n):
    """Place of the close between the bands of two standard deviations about the mean of n rows, 0.5 where they are one; and
    their distance over the mean."""
    mean, m2 = rolling_variance(starts, close, n)
    place, width = np.empty(close.size), np.empty(close.size)
    for t in range(close.size):
        bands = 4.0 * np.sqrt(m2[t])
        inside = 0.5 + (close[t] - mean[t]) / bands
        place[t] = inside if m2[t] > 0.0 else (0.5 if m2[t] == m2[t] else np.nan)
        width[t] = bands / mean[t]
    return place, width


@compiled
def from_mean(starts, x, n):
    """x over the mean of the last n values, less 1."""
    out = rolling_sum(starts, x, n)
    for t in range(out.size):
        out[t] = x[t] / (out[t] / n) - 1.0
    return out


@compiled
def known_mean(starts, x, n):
    """Mean of the last n values, an unknown one counted as 0; NaN where the first of them is not known."""
    known = np.empty(x.size)
    for t in range(x.size):
        known[t] = x[t] if x[t] == x[t] else 0.0
    out = rolling_sum(starts, known, n)
    for i in range(starts.size - 1):
        first, mean = x[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]][n - 1 :]
        for t in range(mean.size):
            mean[t] = mean[t] / n if first[t] == first[t] else np.nan
    return out


@compiled
def percent_k(starts, high, low, close, n):
    """Lane's %K: place of the close between the lowest low and the highest high of n rows, 0 to 100; 50 where they are one.
    An unknown high or low counts as the close."""
    above, below, out = np.empty(close.size), np.empty(close.size), np.empty(close.size)
    for t in range(close.size):
        above[t] = high[t] if high[t] == high[t] else close[t]
        below[t] = -(low[t] if low[t] == low[t] else close[t])
    top, bottom = rolling_maximum(starts, above, n), rolling_maximum(starts, below, n)
    for t in range(close.size):
        reach = top[t] + bottom[t]
        place = 100.0 * (close[t] + bottom[t]) / reach
        out[t] = place if top[t] > -bottom[t] else (50.0 if top[t] == top[t] else np.nan)
    return out


@compiled
def volume_balance(starts, signed, volume, n):
    """The signed volume of n rows as a share of their volume, -1 to 1; 0 without volume."""
    known = np.empty(volume.size)
    for t in range(volume.size):
        known[t] = volume[t] if volume[t] == volume[t] else 0.0
    out, whole = rolling_sum(starts, signed, n), rolling_sum(starts, known, n)
    for t in range(volume.size):
        out[t] = out[t] / whole[t] if whole[t] > 0.0 else (0.0 if whole[t] == whole[t] else np.nan)
    return out
