"""Is one forecaster better than another by more than luck? Diebold and Mariano's test on per-session mean differences.

All symbols share a session's market move, so rows are no independent evidence: the loss differences are first averaged
over the symbols of a session, and the variance of that series allows for autocorrelation (Newey and West 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """``t`` > 0: the first forecaster had the lower loss. ``p`` is the one-sided chance of such a t without an edge."""

    difference: float  # mean over sessions of (loss of the other - loss of ours)
    t: float
    p: float
    sessions: int


def long_run_variance(series: np.ndarray, lags: int, kernel: str = "bartlett") -> float:
    """Variance of the mean of ``series`` times its length, with autocovariances up to ``lags``.

    kernel 'bartlett' (never negative) or 'rectangular' (Diebold and Mariano 1995, may be negative).
    """
    x = series - series.mean()
    n = len(x)
    total = float(x @ x) / n
    for lag in range(1, min(lags, n - 1) + 1):
        weight = 1 - lag / (lags + 1) if kernel == "bartlett" else 1.0
        total += 2 * weight * float(x[lag:] @ x[:-lag]) / n
    return total


def lags_for(horizon: int, sessions: int) -> int:
    """Overlapping h-session outcomes are autocorrelated over h - 1 sessions; half as many again for the kernel's taper,
    and at least Newey and West's automatic 4 (n/100)^(2/9)."""
    return max(horizon + horizon // 2, int(4 * (sessions / 100) ** (2 / 9)))


def diebold_mariano(
    ours: np.ndarray, other: np.ndarray, horizon: int, lags: int | None = None, kernel: str = "bartlett"
) -> Comparison:
    """Compare per-session mean losses (float [T] each, same sessions, oldest first).

    Uses the small-sample factor of Harvey, Leybourne and Newbold (1997) and Student's t with T - 1 degrees of freedom.
    A series of differences without any variance answers t = 0 (no evidence either way), as do fewer than 10 sessions.
    """
    from scipy import stats

    d = np.asarray(other, dtype=np.float64) - np.asarray(ours, dtype=np.float64)
    n = len(d)
    mean = float(d.mean()) if n else float("nan")
    if n < 10:
        return Comparison(mean, 0.0, 1.0, n)
    variance = long_run_variance(d, lags_for(horizon, n) if lags is None else lags, kernel)
    if not variance > 1e-30:
        return Comparison(mean, 0.0, 1.0, n)
    harvey = max((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n, 1.0 / n)
    t = mean / np.sqrt(variance / n) * np.sqrt(harvey)
    return Comparison(mean, float(t), float(stats.t.sf(t, n - 1)), n)


def corrected(p: Sequence[float], trials: int = 1) -> list[float]:
    """The chances ``p`` of one comparison at several horizons, corrected for their number and for the ``trials`` made.

    Holm's step-down over the horizons (1979), times the number of specifications that were tried on the way (Bonferroni): the
    chance that any horizon of any trial falls below alpha by luck is at most alpha, whatever depends on what.
    """
    order = np.argsort(p, kind="stable")
    result, largest = np.ones(len(p)), 0.0
    for place, i in enumerate(order):
        largest = max(largest, (len(p) - place) * p[i])
        result[i] = min(1.0, trials * largest)
    return result.tolist()
