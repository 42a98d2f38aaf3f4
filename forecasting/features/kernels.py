"""The compiled loops behind the features: plain recursions and windows over rows of one symbol after another.

Every kernel takes ``starts`` (int64 [S + 1]: the rows of symbol ``i`` are ``starts[i]:starts[i + 1]``) and float64 [R]
columns, and returns float64 [R], NaN before there is enough history. A row is computed from itself and earlier rows of
its symbol alone, always in the same order, so neither a later row nor another symbol nor the number of threads changes
a bit of it. Without fast-math the compiler may not reorder a sum, so the vector width of the machine does not either.

The loops run over slices of one symbol, from 0 on: the compiler then knows that no index is negative, and uses the vector
instructions wherever a row does not need the one before it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

SEED_RETURNS = 20  # an EWMA starts at the mean of its first 20 values
MAX_GAP_DAYS = 30  # a price change over a longer silence (suspension, reused ticker) is not a daily return
TINY_VARIANCE = 1e-14  # below: a series that does not move has no scale


def compiled(function: Callable) -> Callable:
    """``function`` compiled without the interpreter lock, kept on disk where some folder for that can be written.

    It may call only functions of its own file: what was kept is made anew when that file changes, not when another one does.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder beside the source, in the home or in NUMBA_CACHE_DIR: compile in each process
        return njit(**options)(function)


@compiled
def logarithm(x):
    """Natural logarithm; NaN where x is not a positive finite number.

    The polynomial of fdlibm's e_log.c (Sun Microsystems 1993; error below one unit in the last place), here because the
    mathematical library of each system rounds its own way, and this one is the same bits everywhere, and vectorises.
    """
    out, mantissa = np.empty(x.size), np.empty(x.size)
    bits, mantissa_bits = x.view(np.int64), mantissa.view(np.int64)
    for t in range(x.size):
        exponent = (bits[t] - 0x3FE6A09E667F3BCD) >> 52  # so that the mantissa lies between sqrt(1/2) and sqrt(2)
        mantissa_bits[t] = bits[t] - (exponent << 52)
        out[t] = exponent
    for t in range(x.size):
        k, f = out[t], mantissa[t] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        odd = z * (
            0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
        )
        even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
        half = 0.5 * f * f
        value = k * 6.93147180369123816490e-01 - ((half - (s * (half + odd + even) + k * 1.90821492927058770002e-10)) - f)
        out[t] = value if 2.3e-308 < x[t] < 1.7e308 else np.nan
    return out


@compiled
def log_returns(starts, day, close, split, dividend):
    """log((close + dividend) x split / previous close); NaN at a first row, after a gap or where a price is not known."""
    ratio = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        date, price, shares, cash, own = day[a:b], close[a:b], split[a:b], dividend[a:b], ratio[a:b]
        for t in range(1, own.size):
            value = (price[t] + cash[t]) * shares[t] / price[t - 1]
            own[t] = value if date[t] - date[t - 1] <= MAX_GAP_DAYS else np.nan
    return logarithm(ratio)


@compiled
def ewma_square(starts, x, lam):
    """EWMA of x squared: v = lam v + (1 - lam) x^2, started at the mean of the first 20 squares; NaN leaves v as it is."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        seen, v = 0, 0.0
        for t in range(starts[i], starts[i + 1]):
            if x[t] == x[t]:
                square = x[t] * x[t]
                if seen < SEED_RETURNS:
                    v += square / SEED_RETURNS
                    seen += 1
                else:
                    v = lam * v + (1.0 - lam) * square
            if seen == SEED_RETURNS and v > TINY_VARIANCE:
                out[t] = v
    return out


@compiled
def cumulative(starts, x):
    """Running sum of x from each symbol's first row; NaN counts as zero."""
    out = np.empty(x.size)
    for i in range(starts.size - 1):
        total = 0.0
        for t in range(starts[i], starts[i + 1]):
            if x[t] == x[t]:
                total += x[t]
            out[t] = total
    return out


@compiled
def forward_factor(starts, split):
    """Shares that one share of the first row has become by each row: the running product of the splits."""
    out = np.empty(split.size)
    for i in range(starts.size - 1):
        own, shares = split[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]]
        splits = 0
        for t in range(own.size):
            splits += own[t] != 1.0
            shares[t] = 1.0
        if splits > 0:  # most symbols have none, and then there is nothing to multiply row by row
            for t in range(1, own.size):
                shares[t] = shares[t - 1] * own[t]
    return out


@compiled
def difference(starts, x, n):
    """x now less x n rows ago."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        then, now, change = x[starts[i] : starts[i + 1]], x[starts[i] : starts[i + 1]][n:], out[starts[i] : starts[i + 1]][n:]
        for t in range(now.size):
            change[t] = now[t] - then[t]
    return out


@compiled
def lag(starts, x, n):
    """x n rows ago."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        then, earlier = x[starts[i] : starts[i + 1]], out[starts[i] : starts[i + 1]][n:]
        for t in range(earlier.size):
            earlier[t] = then[t]
    return out


@compiled
def log_ratio(numerator, denominator, otherwise):
    """log(numerator / denominator), ``otherwise`` where one of them is not a positive number."""
    ratio = np.empty(numerator.size)
    for t in range(numerator.size):
        ratio[t] = numerator[t] / denominator[t] if denominator[t] > 0.0 else np.nan
    out = logarithm(ratio)
    for t in range(out.size):
        if out[t] != out[t]:
            out[t] = otherwise
    return out


@compiled
def overnight(starts, day, open_, close, split, dividend):
    """log((open + dividend) x split / previous close); 0 where the open is not known, NaN where there is no return."""
    ratio = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        a, b = starts[i], starts[i + 1]
        date, first, last, shares, cash, own = day[a:b], open_[a:b], close[a:b], split[a:b], dividend[a:b], ratio[a:b]
        for t in range(1, own.size):
            value = (first[t] + cash[t]) * shares[t] / last[t - 1] if first[t] > 0.0 else 1.0
            own[t] = value if (last[t] > 0.0) & (last[t - 1] > 0.0) & (date[t] - date[t - 1] <= MAX_GAP_DAYS) else np.nan
    return logarithm(ratio)


@compiled
def surprise(starts, x, lam):
    """log x less the EWMA of the earlier logs; NaN for the first 20 rows, 0 where x is not positive or has no past yet."""
    out, logs = np.full(x.size, np.nan), logarithm(x)
    for i in range(starts.size - 1):
        seen, mean = 0, 0.0
        for t in range(starts[i], starts[i + 1]):
            value, log_x = 0.0, logs[t]
            if log_x == log_x:
                if seen < SEED_RETURNS:
                    mean += log_x / SEED_RETURNS
                    seen += 1
                else:
                    value = log_x - mean
                    mean = lam * mean + (1.0 - lam) * log_x
            if t >= starts[i] + SEED_RETURNS:
                out[t] = value
    return out


@compiled
def add_by_session(at, x, total, count):
    """Add each x to the total of its session, in row order; NaN and rows of no session are left out."""
    for t in range(x.size):
        if x[t] == x[t] and at[t] >= 0:
            total[at[t]] += x[t]
            count[at[t]] += 1


@compiled
def count_by_session(begin, end, at, x, count):
    """Count the known x of the rows begin:end by session."""
    for t in range(begin, end):
        if x[t] == x[t] and at[t] >= 0:
            count[at[t]] += 1


@compiled
def place_by_session(begin, end, at, x, free, out):
    """Write the known x of the rows begin:end where their session is free next."""
    for t in range(begin, end):
        if x[t] == x[t] and at[t] >= 0:
            out[free[at[t]]] = x[t]
            free[at[t]] += 1


@compiled
def sort_each(first, values):
    """Sort each session's values, ascending, in place."""
    for s in range(first.size - 1):
        values[first[s] : first[s + 1]].sort()


@compiled
def ranks(x, session, values, first):
    """The middle rank of each x among its session's sorted values, as a share less a half; NaN where either is not known."""
    out = np.full(x.size, np.nan)
    for t in range(x.size):
        begin, end = first[session[t]], first[session[t] + 1]
        if x[t] == x[t] and end > begin:
            here = values[begin:end]
            below, up_to = np.searchsorted(here, x[t], side="left"), np.searchsorted(here, x[t], side="right")
            out[t] = 0.5 * (below + up_to) / (end - begin) - 0.5
    return out


@compiled
def keep(x, out):
    """x as float32 in out; what is not finite in float32 becomes NaN."""
    for t in range(x.size):
        value = np.float32(x[t])
        out[t] = value if np.abs(value) < np.inf else np.float32(np.nan)


@compiled
def as_rows(columns, out):
    """Columns [F, rows] as the rows of out [rows, F]."""
    for t in range(out.shape[0]):
        row = out[t]
        for column in range(row.size):
            row[column] = columns[column, t]
