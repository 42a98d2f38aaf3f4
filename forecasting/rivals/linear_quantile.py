"""Linear quantiles: for each horizon and level a linear function of the network's own scaled features.

Quantile regression (Koenker and Bassett 1978) of the standardised return with a penalty on the coefficients, which the
validation labels choose. The pinball loss is smoothed with a uniform kernel of half-width BAND (Fernandes, Guerre and
Horta 2021, "Smoothing quantile regressions"): so a Newton step has a Hessian, and a dozen of them find the minimum.
"""

from __future__ import annotations

import numpy as np

from forecasting.features.kernels import compiled
from forecasting.metrics import LEVELS
from forecasting.rivals.known import OUTLIER, Known, Labels, Parts, loss_of, thinned

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # on half the squared coefficients, beside the mean loss of a label
BAND = 0.1  # standardised units; the smoothed minimum is off by some BAND^2
LABELS, CELLS = 200_000, 4_000_000  # labels to learn from at most, and numbers (labels x features) in all
STEPS = 40
CLOSE_ENOUGH = 1e-6  # largest change of a coefficient after which nothing moves any more


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    weights, penalties = [], []
    for k in range(len(known.horizons)):
        most = min(LABELS, CELLS // known.x.shape[1])
        own, choose = thinned(labels.train(k), most), thinned(labels.valid(k), LABELS)
        x = np.ascontiguousarray(known.x[own], dtype=np.float32)
        y = np.clip(labels.outcome(own, k) / known.targets.unit[own, k], -OUTLIER, OUTLIER)
        judged = np.clip(labels.outcome(choose, k) / known.targets.unit[choose, k], -OUTLIER, OUTLIER)
        best, start = None, np.zeros((len(LEVELS), x.shape[1] + 1))
        start[:, 0] = np.quantile(y, LEVELS)
        for penalty in PENALTIES[::-1]:  # from the stiffest, each from where the one before ended
            start = np.array([regression(x, y, level, penalty, beta) for level, beta in zip(LEVELS, start, strict=True)])
            found = start.astype(np.float32)
            loss = loss_of(judged, np.sort(_linear(known.x, choose, found), axis=1))
            if best is None or loss < best[0]:
                best = (loss, found, penalty)
        weights.append(best[1])
        penalties.append(best[2])
    return {"weights": np.array(weights), "penalties": np.array(penalties)}  # [H, Q, 1 + F]: the constant first; [H]


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    return standardised(parts["weights"], known.x, rows) * known.unit(rows)[..., None]


def standardised(weights: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Quantiles in units of the scale, float64 [N, H, Q], of ``rows`` of the scaled features ``x``; weights [H, Q, 1 + F]."""
    each = np.stack([_linear(x, rows, own) for own in weights], axis=1)
    return np.sort(each, axis=-1)  # quantiles never cross


def regression(x: np.ndarray, y: np.ndarray, level: float, penalty: float, start: np.ndarray) -> np.ndarray:
    """The coefficients (constant first) of the smoothed quantile regression of y on x, float64 [1 + F].

    x float32 [N, F], y float64 [N]. Newton steps, halved until the loss falls; the constant bears no penalty.
    """
    beta = start.copy()
    loss, slope, curve = _derivatives(x, y, level, penalty, BAND, beta)
    for _ in range(STEPS):
        curve[np.diag_indices_from(curve)] += 1e-6  # a feature that never moves, or no label within the band
        step = np.linalg.solve(curve, slope)
        share = 1.0
        while share > 1e-4:
            found = _derivatives(x, y, level, penalty, BAND, beta - share * step)
            if found[0] <= loss:
                break
            share /= 2
        else:
            break
        beta -= share * step
        loss, slope, curve = found
        if np.abs(share * step).max() < CLOSE_ENOUGH:
            break
    return beta


def _linear(x: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """weights [Q, 1 + F] applied to ``rows``, float64 [N, Q]; summed feature by feature, so that company changes no bit."""
    wide = weights.astype(np.float64)
    answer = np.zeros((len(rows), len(wide))) + wide[:, 0]
    for f in range(x.shape[1]):
        answer += x[rows, f, None] * wide[:, 1 + f]
    return answer


@compiled
def _derivatives(x, y, level, penalty, band, beta):
    """The mean smoothed loss with its penalty, its gradient and its Hessian, one pass over the labels in their order."""
    n, width = x.shape
    slope, curve, loss = np.zeros(width + 1), np.zeros((width + 1, width + 1)), 0.0
    row = np.empty(width + 1)
    row[0] = 1.0
    for i in range(n):
        error = y[i] - beta[0]
        for f in range(width):
            row[1 + f] = x[i, f]
            error -= row[1 + f] * beta[1 + f]
        if error >= band:
            push = level
            loss += level * error
        elif error <= -band:
            push = level - 1.0
            loss += (level - 1.0) * error
        else:
            push = level - 0.5 + 0.5 * error / band
            loss += (level - 0.5) * error + 0.25 * error * error / band + 0.25 * band
            for f in range(width + 1):
                part = row[f] * (0.5 / band)
                for g in range(f + 1):
                    curve[f, g] += part * row[g]
        for f in range(width + 1):
            slope[f] -= push * row[f]
    loss /= n
    for f in range(width + 1):
        slope[f] /= n
        for g in range(f + 1):
            curve[f, g] /= n
            curve[g, f] = curve[f, g]
    for f in range(1, width + 1):
        loss += 0.5 * penalty * beta[f] * beta[f]
        slope[f] += penalty * beta[f]
        curve[f, f] += penalty
    return loss, slope, curve
