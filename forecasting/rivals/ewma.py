"""EWMA volatility times the pooled empirical quantiles of the standardised training returns (RiskMetrics 1996).

The network starts from its table: it only learns what this rival misses.
"""

from __future__ import annotations

import numpy as np

from forecasting.rivals.known import Known, Labels, Parts, around, quantile_table


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    values = []
    for k in range(len(known.horizons)):
        own = labels.train(k)
        values.append(labels.outcome(own, k) / known.targets.unit[own, k])
    return {"table": quantile_table(values)}


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    return around(0.0, known.unit(rows), parts["table"])
