"""A linear forecast of the mean on the network's own scaled features, with the quantiles of its residuals.

Least squares with a penalty on the coefficients (Hoerl and Kennard 1970); the validation labels choose the penalty.
"""

from __future__ import annotations

import numpy as np

from forecasting.metrics import LEVELS
from forecasting.rivals.known import OUTLIER, Known, Labels, Parts, around, loss_of

ALPHAS = (1e2, 1e3, 1e4, 1e5, 1e6)


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    from threadpoolctl import threadpool_limits

    coefficients, intercepts, tables = [], [], []
    for k in range(len(known.horizons)):
        own, choose = labels.train(k), labels.valid(k)
        y = np.clip(labels.outcome(own, k) / known.targets.unit[own, k], -OUTLIER, OUTLIER)
        judged = np.clip(labels.outcome(choose, k) / known.targets.unit[choose, k], -OUTLIER, OUTLIER)
        x = known.x[own].astype(np.float64)
        center = x.mean(axis=0)
        x -= center
        with threadpool_limits(1):  # one thread, so that no sum depends on the number of cores
            gram, moment = x.T @ x, x.T @ (y - y.mean())
            best = None
            for alpha in ALPHAS:
                slope = np.linalg.solve(gram + alpha * np.eye(len(gram)), moment)
                constant = y.mean() - center @ slope
                table = np.quantile(y - y.mean() - x @ slope, LEVELS)
                fitted = constant + known.x[choose] @ slope
                loss = loss_of(judged, fitted[:, None] + table) if len(choose) else alpha
                if best is None or loss < best[0]:
                    best = (loss, slope, constant, table)
        coefficients.append(best[1])
        intercepts.append(best[2])
        tables.append(best[3])
    return {
        "table": np.array(tables, dtype=np.float32),
        "coefficients": np.array(coefficients, dtype=np.float32).T.copy(),  # [F, H]
        "intercepts": np.array(intercepts, dtype=np.float32),
    }


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    unit = known.unit(rows)
    center = np.zeros_like(unit) + parts["intercepts"]
    # Summed feature by feature: a matrix product may round a row differently in different company.
    for f, line in enumerate(parts["coefficients"].astype(np.float64)):
        center += known.x[rows, f, None] * line
    return around(center * unit, unit, parts["table"])
