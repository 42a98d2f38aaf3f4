"""The last close plus the symbol's average move so far, give or take what its moves have been."""

from __future__ import annotations

import numpy as np

from forecasting.rivals.known import Known, Labels, Parts, around, quantile_table


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    values = []
    for k, horizon in enumerate(known.horizons):
        own = labels.train(k)
        moved = labels.outcome(own, k) - horizon * known.moments.mean[own]
        values.append(moved / (known.moments.scale[own] * known.root[k]))
    return {"table": quantile_table(values)}


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    center = known.moments.mean[rows, None] * np.asarray(known.horizons, dtype=np.float64)
    return around(center, known.slow(rows), parts["table"])
