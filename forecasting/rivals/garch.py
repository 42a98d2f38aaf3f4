"""GJR-GARCH(1,1) with Student-t errors, one for each symbol (Glosten, Jagannathan and Runkle 1993; Bollerslev 1987).

    v(t+1) = omega + (alpha + gamma [e(t) < 0]) e(t)^2 + beta v(t),   e(t) = r(t) - mu

Fitted once by the package ``arch`` on the returns of the training rows; from then on filtered forward with fixed numbers,
and the variance over a horizon is the sum of the recursion's expectations. The quantiles are the pooled empirical ones of
the training moves in units of that volatility. A symbol that was too young to be fitted, or whose fit did not converge,
takes the median of the others' alpha, gamma and beta, and for its long-run variance the mean square of its moves so far.
"""

from __future__ import annotations

import warnings

import numpy as np

from forecasting.errors import SettingError
from forecasting.features.kernels import compiled
from forecasting.rivals.known import Known, Labels, Parts, around, quantile_table

FEWEST = 500  # returns that a symbol is fitted on at least
TYPICAL = (0.0, 0.0, 0.03, 0.06, 0.92, 0.0)  # where no symbol could be fitted: mu, omega, alpha, gamma, beta, start
PERSISTENCE = 0.9999  # alpha + gamma / 2 + beta at most, so that there is a long-run variance
PERCENT = 100.0  # the optimiser of arch wants returns of the size of one


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    """``parameters``: a line a symbol, mu, omega, alpha, gamma, beta and the variance that its filter starts from, in daily log
    returns, omega 0 where the long-run variance is the symbol's own so far; ``typical``: such a line for any other symbol."""
    from threadpoolctl import threadpool_limits

    panel = known.panel
    last = np.full(len(panel.symbols), -1, dtype=np.int64)
    for k in range(len(known.horizons)):
        own = labels.train(k)
        np.maximum.at(last, panel.symbol_index[own], own)
    found: list[tuple[float, ...] | None] = []
    with threadpool_limits(1):  # one thread, so that no sum depends on the number of cores
        for begin, end in zip(panel.starts[:-1], last, strict=True):
            returns = known.returns[begin : end + 1]
            found.append(maximum_likelihood(returns[np.isfinite(returns)]))
    fitted = np.array([line for line in found if line is not None])
    typical = np.array(TYPICAL)
    if len(fitted):
        typical[2:5] = np.median(fitted[:, 2:5], axis=0)
    parts = {"parameters": np.array([typical if line is None else line for line in found]), "typical": typical}
    values = []
    for k in range(len(known.horizons)):
        own = labels.train(k)
        center, unit = _ahead(parts, known, own)
        values.append((labels.outcome(own, k) - center[:, k]) / unit[:, k])
    return parts | {"table": quantile_table(values)}


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    return around(*_ahead(parts, known, rows), parts["table"])


def maximum_likelihood(returns: np.ndarray) -> tuple[float, ...] | None:
    """mu, omega, alpha, gamma, beta, start of daily log returns (float64 [N], no NaN); None where they cannot be told."""
    try:
        from arch import arch_model
    except ImportError as error:
        raise SettingError("rivals.garch", True, "false, or the package arch: pip install 'nextclose[garch]'") from error
    if len(returns) < FEWEST or not returns.std() > 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what did not converge is left out below
        model = arch_model(returns * PERCENT, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False)
        result = model.fit(disp="off", show_warning=False)
    mu, omega, alpha, gamma, beta, _ = result.params.to_numpy()
    sound = np.isfinite(result.params.to_numpy()).all() and omega > 0 and alpha + gamma / 2 + beta <= PERSISTENCE
    if result.convergence_flag != 0 or not sound:
        return None
    return mu / PERCENT, omega / PERCENT**2, alpha, gamma, beta, float(np.mean(returns * returns))


def _ahead(parts: Parts, known: Known, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The expected move and the volatility over each horizon, float64 [N, H] each."""
    position = {symbol: i for i, symbol in enumerate(known.trained)}
    lines = np.array(
        [parts["parameters"][position[s]] if s in position else parts["typical"] for s in known.panel.symbols]
    ).reshape(-1, len(TYPICAL))  # fmt: skip
    key = ("garch", lines.tobytes())
    if key not in known.memo:
        known.memo[key] = filtered(known.panel.starts, known.returns, known.moments.scale**2, lines)
    following, long_run = known.memo[key]
    line = lines[np.searchsorted(known.panel.starts, rows, side="right") - 1]
    horizons = np.asarray(known.horizons, dtype=np.float64)
    persistence = (line[:, 2] + line[:, 3] / 2 + line[:, 4])[:, None]
    # Expectations return to the long run by the factor ``persistence`` a session: a geometric sum over the horizon.
    summed = (1 - persistence**horizons) / (1 - persistence)
    total = horizons * long_run[rows, None] + (following[rows] - long_run[rows])[:, None] * summed
    return line[:, :1] * horizons, np.sqrt(np.maximum(total, 1e-12))


@compiled
def filtered(starts, returns, mean_square, lines):
    """The variance expected for the session after each row, and the long-run variance known at it; float64 [R] each.

    ``lines``: a line a symbol as ``fit`` describes it. ``mean_square``: of the symbol's returns up to each row; NaN: too few.
    """
    following, long_run = np.full(returns.size, np.nan), np.full(returns.size, np.nan)
    for i in range(starts.size - 1):
        mu, omega, alpha, gamma, beta, v = lines[i]
        persistence = alpha + gamma / 2 + beta
        known = omega > 0
        begun = known
        for t in range(starts[i], starts[i + 1]):
            level = omega / (1 - persistence) if known else mean_square[t]
            if not level == level:
                continue
            if not begun:
                v, begun = level, True
            elif returns[t] == returns[t]:
                error = returns[t] - mu
                v = (1 - persistence) * level + (alpha + (gamma if error < 0 else 0.0)) * error * error + beta * v
            following[t], long_run[t] = v, level
    return following, long_run
