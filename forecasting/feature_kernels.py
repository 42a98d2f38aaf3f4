"""The compiled loops behind the features: plain recursions and windows over rows of one symbol after another.

Every kernel takes ``starts`` (int64 [S + 1]: the rows of symbol ``i`` are ``starts[i]:starts[i + 1]``) and float64 [R]
columns, and returns float64 [R], NaN before there is enough history. A row is computed from itself and earlier rows of
its symbol alone, always in the same order, so neither a later row nor another symbol nor the number of threads changes
a bit of it. Without fast-math the compiler may not reorder a sum, so the vector width of the machine does not either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

SEED_RETURNS = 20  # an EWMA starts at the mean of its first 20 values
MAX_GAP_DAYS = 30  # a price change over a longer silence (suspension, reused ticker) is not a daily return
TINY_VARIANCE = 1e-14  # below: a series that does not move has no scale


def compiled(function: Callable) -> Callable:
    """``function`` compiled without the interpreter lock, kept on disk where some folder for that can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder beside the source, in the home or in NUMBA_CACHE_DIR: compile in each process
        return njit(**options)(function)


@compiled
def log_returns(starts, day, close, split, dividend):
    """log((close + dividend) x split / previous close); NaN at a first row, after a gap or where a price is not known."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            now, before = (close[t] + dividend[t]) * split[t], close[t - 1]
            if now > 0.0 and before > 0.0 and day[t] - day[t - 1] <= MAX_GAP_DAYS:
                r = np.log(now / before)
                if np.isfinite(r):
                    out[t] = r
    return out


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
        factor = 1.0
        for t in range(starts[i], starts[i + 1]):
            if t > starts[i]:
                factor *= split[t]
            out[t] = factor
    return out


@compiled
def difference(starts, x, n):
    """x now less x n rows ago."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + n, starts[i + 1]):
            out[t] = x[t] - x[t - n]
    return out


@compiled
def lag(starts, x, n):
    """x n rows ago."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + n, starts[i + 1]):
            out[t] = x[t - n]
    return out


@compiled
def log_ratio(numerator, denominator, otherwise):
    """log(numerator / denominator), ``otherwise`` where one of them is not a positive number."""
    out = np.empty(numerator.size)
    for t in range(numerator.size):
        if numerator[t] > 0.0 and denominator[t] > 0.0:
            out[t] = np.log(numerator[t] / denominator[t])
        else:
            out[t] = otherwise
    return out


@compiled
def overnight(starts, day, open_, close, split, dividend):
    """log((open + dividend) x split / previous close); 0 where the open is not known, NaN where there is no return."""
    out = np.full(close.size, np.nan)
    for i in range(starts.size - 1):
        for t in range(starts[i] + 1, starts[i + 1]):
            if close[t] > 0.0 and close[t - 1] > 0.0 and day[t] - day[t - 1] <= MAX_GAP_DAYS:
                now = (open_[t] + dividend[t]) * split[t]
                out[t] = np.log(now / close[t - 1]) if open_[t] > 0.0 and now > 0.0 else 0.0
    return out


@compiled
def surprise(starts, x, lam):
    """log x less the EWMA of the earlier logs; NaN for the first 20 rows, 0 where x is not positive or has no past yet."""
    out = np.full(x.size, np.nan)
    for i in range(starts.size - 1):
        seen, mean = 0, 0.0
        for t in range(starts[i], starts[i + 1]):
            value = 0.0
            if x[t] > 0.0:
                log_x = np.log(x[t])
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
def add_by_session(begin, end, at, x, total, count):
    """Add x of the rows begin:end to the totals of their sessions, in row order; NaN is left out."""
    for t in range(begin, end):
        if x[t] == x[t]:
            total[at[t]] += x[t]
            count[at[t]] += 1


@compiled
def store(x, out, column):
    """Write x into one column of out, float32 [rows, F]; what is not finite in float32 becomes NaN."""
    for t in range(x.size):
        value = np.float32(x[t])
        out[t, column] = value if np.isfinite(value) else np.float32(np.nan)
