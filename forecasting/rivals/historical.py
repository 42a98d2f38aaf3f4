"""Historical quantiles: those of the symbol's own last WINDOW moves over the same horizon (historical simulation).

Overlapping moves, as they came, none weighted. A symbol with fewer than ENOUGH moves over a horizon answers as
persistence does: its volatility so far times the pooled quantiles of the training moves.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled
from forecasting.metrics import LEVELS
from forecasting.rivals.known import Known, Labels, Parts, around, quantile_table

WINDOW = 500
ENOUGH = 60


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    values = []
    for k in range(len(known.horizons)):
        own = labels.train(k)
        values.append(labels.outcome(own, k) / (known.moments.scale[own] * known.root[k]))
    return {"table": quantile_table(values)}


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    answer = around(0.0, known.slow(rows), parts["table"])
    for k, horizon in enumerate(known.horizons):
        own = np.ascontiguousarray(answer[:, k])
        _fill(known.level, rows.astype(np.int64), known.first(rows), horizon, WINDOW, ENOUGH, LEVELS, own)
        answer[:, k] = own
    return answer


@compiled
def _fill(level, rows, first, horizon, window, enough, levels, out):
    """Empirical quantiles (linear between order statistics) of the last moves at each row, where there are enough."""
    held, count = np.empty(window + 1), 0  # the moves in ascending order
    previous, previous_first = -2, -1
    for n in range(rows.size):
        t, begin = rows[n], first[n]
        oldest = max(begin + horizon, t - window + 1)  # the moves are those that end at the rows oldest..t
        if t - oldest + 1 < enough:
            continue
        if t != previous + 1 or begin != previous_first:  # the next row of a symbol only adds one move and drops one
            count, previous = 0, oldest - 1
        for end in range(previous + 1, t + 1):
            move = level[end] - level[end - horizon]
            at = count
            while at > 0 and held[at - 1] > move:
                held[at] = held[at - 1]
                at -= 1
            held[at] = move
            count += 1
        if count > t - oldest + 1:
            gone, at = level[oldest - 1] - level[oldest - 1 - horizon], 0
            while at < count - 1 and held[at] != gone:
                at += 1
            for i in range(at, count - 1):
                held[i] = held[i + 1]
            count -= 1
        previous, previous_first = t, begin
        for q in range(levels.size):
            place = levels[q] * (count - 1)
            low = int(place)
            high = min(low + 1, count - 1)
            out[n, q] = held[low] + (place - low) * (held[high] - held[low])
