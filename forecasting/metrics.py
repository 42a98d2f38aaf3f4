"""Scores, each small enough to check by eye. All take actuals and forecasts and answer one number an entry.

Errors are in units of the origin's close (0.01 is one percent of it), so that symbols of different price can be averaged.
"""

from __future__ import annotations

import numpy as np

LEVELS = np.array((0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95))


def pinball(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Quantile loss averaged over the levels: actual [...], quantiles [..., Q] -> [...] (Koenker and Bassett 1978)."""
    error = actual[..., None] - quantiles
    return np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)


def inside(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether the outcome fell into the interval, borders included."""
    return (actual >= low) & (actual <= high)


def mae(actual: np.ndarray, point: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(actual - point)))


def mse(actual: np.ndarray, point: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.mean(np.square(actual - point)))


def rmse(actual: np.ndarray, point: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(actual, point)))


def mape(actual: np.ndarray, point: np.ndarray) -> float:
    """Mean absolute percentage error as a fraction; actual and point are prices (or prices over one common price)."""
    return float(np.mean(np.abs(actual - point) / np.abs(actual)))


def mase(actual: np.ndarray, point: np.ndarray, naive: np.ndarray) -> float:
    """Mean absolute error over that of the last close on the same rows (below 1: better than persistence)."""
    return mae(actual, point) / max(mae(actual, naive), 1e-300)


def direction_hit_rate(actual_return: np.ndarray, p_up: np.ndarray) -> float:
    """Share of moves whose sign the forecast called; unchanged closes and undecided forecasts do not count."""
    return mean_known(sign_called(actual_return, p_up))


def sign_called(actual_return: np.ndarray, p_up: np.ndarray) -> np.ndarray:
    """1.0 where the forecast called the sign of the move, 0.0 where not, NaN where there was no sign or no opinion."""
    return np.where((actual_return == 0) | (p_up == 0.5), np.nan, (actual_return > 0) == (p_up > 0.5))


def mean_known(values: np.ndarray) -> float:
    """The mean of the values that are numbers; NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def probability_up(quantiles: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """P(return > 0) from quantiles of the return [..., Q], linear between them and capped at the outer levels' halves.

    Beyond the outer quantiles nothing is known but that little mass is left: the answer stays in [q/2, 1 - q/2] of the
    outermost level q.
    """
    below = np.empty(quantiles.shape[:-1])
    flat, out = quantiles.reshape(-1, quantiles.shape[-1]), below.reshape(-1)
    position = (flat <= 0).sum(axis=1)
    first, last = position == 0, position == flat.shape[1]
    middle = ~(first | last)
    left, right = np.maximum(position - 1, 0), np.minimum(position, flat.shape[1] - 1)
    rows = np.arange(len(flat))
    low, high = flat[rows, left], flat[rows, right]
    share = np.where(high > low, -low / np.where(high > low, high - low, 1.0), 0.5)
    out[middle] = (levels[left] + (levels[right] - levels[left]) * share)[middle]
    out[first], out[last] = levels[0] / 2, (1 + levels[-1]) / 2
    return 1 - below


def rank_correlation_by_session(actual: np.ndarray, point: np.ndarray, session: np.ndarray, minimum: int = 5) -> float:
    """Mean over sessions of Spearman's correlation across symbols; NaN where no session has ``minimum`` symbols."""
    return mean_known(rank_correlations(actual, point, session, minimum)[1])


def rank_correlations(
    actual: np.ndarray, point: np.ndarray, session: np.ndarray, minimum: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """The sessions that have ``minimum`` symbols and something to rank, and Spearman's correlation across symbols in each."""
    sessions, group = np.unique(session, return_inverse=True)
    a, b = _centred_ranks(actual, group), _centred_ranks(point, group)
    both, own, other = (np.bincount(group, product, len(sessions)) for product in (a * b, a * a, b * b))
    ranked = (np.bincount(group, minlength=len(sessions)) >= minimum) & (own > 0) & (other > 0)
    return sessions[ranked].astype(np.int64), both[ranked] / np.sqrt(own[ranked] * other[ranked])


def _centred_ranks(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Ranks within each group, ties sharing their mean, less the mean rank of the group: halves, so that sums are exact."""
    order = np.lexsort((values, group))
    values, group = values[order], group[order]
    alike = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    tie = np.cumsum(np.append(True, ~alike | (group[1:] != group[:-1]))[: len(values)]) - 1
    count, size = np.bincount(tie), np.bincount(group)
    place = np.cumsum(count) - (count - 1) / 2  # from 1 through all groups
    centred = np.empty(len(values))
    centred[order] = place[tie] - (np.cumsum(size) - (size - 1) / 2)[group]
    return centred
