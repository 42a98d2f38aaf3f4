"""Files with a forecaster as somebody could bring them along: a network of scikit-learn, a plain table, and one that cheats."""

NET = '''
"""A small neural network and the quantiles of its residuals; a network of PyTorch would stand here in the same way."""
import warnings

import numpy as np
from sklearn.neural_network import MLPRegressor

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def fit(known, labels):
    parts = {}
    for k in range(len(known.horizons)):
        rows = labels.train(k)
        x, y = known.x[rows].astype(float), labels.outcome(rows, k) / known.unit(rows)[:, k]
        net = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=15, random_state=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fifteen steps are meant to be too few
            net.fit(x, y)
        for i, (weights, bias) in enumerate(zip(net.coefs_, net.intercepts_)):
            parts |= {f"{k}/weights{i}": weights, f"{k}/bias{i}": bias}
        parts[f"{k}/table"] = np.quantile(y - net.predict(x), LEVELS)
    return parts


def quantiles(parts, known, rows):
    unit, x = known.unit(rows), known.x[rows].astype(float)
    out = np.empty((len(rows), len(known.horizons), len(LEVELS)))
    for k in range(len(known.horizons)):
        hidden = np.maximum(x @ parts[f"{k}/weights0"] + parts[f"{k}/bias0"], 0)
        center = hidden @ parts[f"{k}/weights1"] + parts[f"{k}/bias1"]
        out[:, k] = unit[:, k, None] * (center + parts[f"{k}/table"])
    return out
'''

PLAIN = """import numpy as np


def fit(known, labels):
    moves = [labels.outcome(labels.train(k), k) for k in range(len(known.horizons))]
    table = np.array([np.quantile(m, (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)) for m in moves])
    return {"table": table}


def quantiles(parts, known, rows):
    out = np.broadcast_to(parts["table"], (len(rows), *parts["table"].shape))
    return out
"""

AHEAD = PLAIN.replace(
    "    return out",
    "    return out + 0.1 * np.nan_to_num(known.targets.returns[rows])[..., None]  # what will happen, where it is known",
)
