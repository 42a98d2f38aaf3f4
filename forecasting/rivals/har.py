"""HAR: the log variance ahead is linear in the log variance of the last day, week, month and year, for all symbols alike.

Corsi (2009, "A simple approximate long-memory model of realized volatility") in logs, with what daily bars know of a
session's variance: the square of the overnight move plus the range of Parkinson (1980), and the squared return. Least
squares for each horizon, pooled over symbols; the forecast is the fitted volatility times the pooled empirical
quantiles of the training moves in units of it.
"""

from __future__ import annotations

import numpy as np

from forecasting.rivals.known import Known, Labels, Parts, around, quantile_table

WINDOWS = (1, 5, 22, 66, 252)  # sessions; fewer where a symbol is younger
FLOOR = 1e-8  # a daily move of 0.01 %: below it a session says no more than "nothing moved"
TERMS = 2 * len(WINDOWS)  # a constant, the range of each window, the squared return of each but the single day


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    from threadpoolctl import threadpool_limits

    variance = _running(known)[0]
    coefficients, tables = [], []
    for k, horizon in enumerate(known.horizons):
        own = labels.train(k)
        x = _terms(known, own)
        # A session without a bar would move the sum past the outcome's session: such rows teach the table alone.
        ahead = np.minimum(own + horizon, known.panel.rows - 1)
        whole = known.panel.ordinal[ahead] - known.panel.ordinal[own] == horizon
        whole &= known.first(ahead) == known.first(own)
        future = (variance[ahead] - variance[own]) / horizon
        y = np.log(np.maximum(future, FLOOR))
        with threadpool_limits(1):  # one thread, so that no sum depends on the number of cores
            gram, moment = x[whole].T @ x[whole], x[whole].T @ y[whole]
            beta = np.linalg.solve(gram + 1e-6 * len(y) * np.eye(TERMS), moment)
        coefficients.append(beta.astype(np.float32))
        scale = _scale(x, coefficients[-1])
        tables.append(labels.outcome(own, k) / (scale * known.root[k]))
    return {"table": quantile_table(tables), "coefficients": np.array(coefficients)}  # [H, Q], [H, TERMS]


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    x = _terms(known, rows)
    scale = np.stack([_scale(x, beta) for beta in parts["coefficients"]], axis=1)
    return around(0.0, scale * known.root, parts["table"])


def _running(known: Known) -> tuple[np.ndarray, np.ndarray]:
    """Running sums of each session's variance as its range tells it, and of its squared return; float64 [R]."""
    if "har" not in known.memo:
        panel = known.panel
        before = np.append(np.nan, panel.close[:-1])
        before[panel.starts[:-1]] = np.nan
        overnight = np.log(panel.open * panel.split / before)
        parkinson = np.log(panel.high / panel.low) ** 2 / (4 * np.log(2))
        ranged = np.nan_to_num(overnight) ** 2 + np.nan_to_num(parkinson)
        known.memo["har"] = panel.cumsum(ranged), panel.cumsum(known.returns**2)
    return known.memo["har"]


def _terms(known: Known, rows: np.ndarray) -> np.ndarray:
    """What the log variance ahead is made of, float64 [N, TERMS]."""
    ranged, squared = _running(known)
    terms = np.ones((len(rows), TERMS))
    for i, window in enumerate(WINDOWS):
        held = np.minimum(window, known.nth[rows])  # the first row of a symbol has no return
        begin = rows - held
        for column, running in ((1 + i, ranged), (len(WINDOWS) + i, squared)):
            if column == len(WINDOWS) and running is squared:
                continue
            mean = (running[rows] - running[begin]) / np.maximum(held, 1)
            terms[:, column] = np.log(np.maximum(mean, FLOOR))
    return terms


def _scale(terms: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The fitted daily volatility, float64 [N]; summed term by term, so that no row depends on its company."""
    logarithm = np.zeros(len(terms))
    for i, b in enumerate(beta.astype(np.float64)):
        logarithm += terms[:, i] * b
    return np.exp(0.5 * np.clip(logarithm, np.log(FLOOR), 2.0))
