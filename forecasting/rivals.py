"""The rivals: simple forecasters that the LSTM has to beat, and that serve under their own name when it does not.

Each answers quantiles of the log return over each horizon, from what was known at the row:

    persistence   the last close, give or take what the symbol's moves have been so far
    drift         the last close plus the symbol's average move so far
    ewma          EWMA volatility times the pooled empirical quantiles of the standardised training returns
    ridge         a linear forecast of the mean on the network's own features, with the quantiles of its residuals
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.inputs import Inputs
from forecasting.metrics import LEVELS, pinball
from forecasting.targets import log_returns

RIVALS = ("persistence", "drift", "ewma", "ridge")
REFERENCE = "ewma"  # the rival whose quantile table the network starts from
_ALPHAS = (1e2, 1e3, 1e4, 1e5, 1e6)
_LABELS_AT_MOST = 400_000  # quantile tables and the ridge need no more rows than this to be as good


@dataclass(frozen=True)
class Moments:
    """Running mean and root mean square of a symbol's daily log returns up to each row, float64 [R]; NaN before 20."""

    mean: np.ndarray
    scale: np.ndarray


def running_moments(inputs: Inputs) -> Moments:
    panel = inputs.panel
    returns = log_returns(panel)
    count = panel.cumsum(np.isfinite(returns).astype(np.float64))
    enough = np.where(count >= 20, count, np.nan)
    return Moments(panel.cumsum(returns) / enough, np.sqrt(panel.cumsum(returns * returns) / enough))


def quantile_table(values: list[np.ndarray]) -> np.ndarray:
    """Empirical quantiles at LEVELS of one array a horizon, float32 [H, Q]."""
    return np.array([np.quantile(v, LEVELS) for v in values], dtype=np.float32)


def fit_rivals(inputs: Inputs, x: np.ndarray, train: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Fit all rivals on the labels ``train`` (bool [R, H]); ``valid`` only chooses the ridge's penalty.

    ``x``: scaled features float32 [R, F]. Returns the arrays that a model folder keeps, named 'rival/part'.
    """
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    targets, moments = inputs.targets, running_moments(inputs)
    root = np.sqrt(np.asarray(targets.horizons, dtype=np.float64))
    tables: dict[str, list[np.ndarray]] = {"persistence": [], "drift": [], "ewma": [], "ridge": []}
    coefficients, intercepts = [], []
    for k, horizon in enumerate(targets.horizons):
        own = np.flatnonzero(train[:, k] & np.isfinite(moments.scale) & (moments.scale > 0))
        own = own[:: max(1, len(own) // _LABELS_AT_MOST)]
        outcome, unit = targets.returns[own, k], targets.unit[own, k]
        slow = moments.scale[own] * root[k]
        tables["persistence"].append(outcome / slow)
        tables["drift"].append((outcome - horizon * moments.mean[own]) / slow)
        tables["ewma"].append(outcome / unit)
        y = np.clip(outcome / unit, -10, 10)
        choose = np.flatnonzero(valid[:, k])
        choose = choose[:: max(1, len(choose) // _LABELS_AT_MOST)]
        judged = np.clip(targets.returns[choose, k] / targets.unit[choose, k], -10, 10)
        best = None
        with threadpool_limits(1):  # one thread, so that no sum depends on the number of cores
            for alpha in _ALPHAS:
                ridge = Ridge(alpha=alpha, solver="cholesky").fit(x[own].astype(np.float64), y)
                residual = y - ridge.predict(x[own].astype(np.float64))
                table = np.quantile(residual, LEVELS)
                fitted = ridge.predict(x[choose].astype(np.float64)) if len(choose) else np.empty(0)
                loss = float(pinball(judged, fitted[:, None] + table).mean()) if len(choose) else alpha
                if best is None or loss < best[0]:
                    best = (loss, ridge, residual)
        coefficients.append(best[1].coef_)
        intercepts.append(best[1].intercept_)
        tables["ridge"].append(best[2])
    arrays = {f"{name}/table": quantile_table(values) for name, values in tables.items()}
    arrays["persistence/table"][:, len(LEVELS) // 2] = 0.0  # persistence means: the last close is the median
    arrays["ridge/coefficients"] = np.array(coefficients, dtype=np.float32).T.copy()  # [F, H]
    arrays["ridge/intercepts"] = np.array(intercepts, dtype=np.float32)
    return arrays


def rival_quantiles(
    name: str, arrays: dict[str, np.ndarray], inputs: Inputs, x: np.ndarray, rows: np.ndarray, moments: Moments
) -> np.ndarray:
    """Quantiles of the log return of ``rows`` (int [N]) over each horizon, float64 [N, H, Q], ascending in Q."""
    horizons = np.asarray(inputs.targets.horizons, dtype=np.float64)
    table = arrays[f"{name}/table"].astype(np.float64)
    unit = inputs.targets.unit[rows]  # [N, H]
    if name in ("persistence", "drift"):
        unit = moments.scale[rows, None] * np.sqrt(horizons)
    center = np.zeros_like(unit)
    if name == "drift":
        center = moments.mean[rows, None] * horizons
    if name == "ridge":
        # Summed feature by feature: a matrix product may round a row differently in different company.
        center += arrays["ridge/intercepts"]
        for f, line in enumerate(arrays["ridge/coefficients"].astype(np.float64)):
            center += x[rows, f, None] * line
        center *= unit
    return center[..., None] + unit[..., None] * table
