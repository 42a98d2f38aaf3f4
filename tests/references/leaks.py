"""Ten planted leaks and their honest twins: what an audit must catch, and what it must let pass.

X1 shift(-1), X2 centred window, X3 scaler on all rows, X4 scaler on training and validation rows, X5 backward fill,
X6 interpolation over gaps, X7 z-score with the mean of the whole series, X8 a week labelled by its first day, X9 random
split, X10 purge short by one session.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.audit.features import LabelSpans
from forecasting.panel import Panel


def by_symbol(transform):
    """A feature from a function of one symbol's bars (a frame indexed by session)."""

    def compute(panel: Panel, macro: pd.DataFrame | None = None) -> np.ndarray:
        parts = [np.empty(0)]
        for i in range(len(panel.symbols)):
            rows = slice(panel.starts[i], panel.starts[i + 1])
            columns = ("open", "high", "low", "close", "volume")
            frame = pd.DataFrame({c: getattr(panel, c)[rows] for c in columns}, index=pd.DatetimeIndex(panel.session_of(i)))
            parts.append(transform(frame).to_numpy(dtype=np.float64))
        return np.concatenate(parts)[:, None]

    return compute


def _week(label: str):
    def transform(frame: pd.DataFrame) -> pd.Series:
        weekly = frame["close"].resample("W-FRI", label=label, closed="right").last()
        return weekly.reindex(frame.index, method="ffill")

    return transform


FEATURES = {
    "X1": by_symbol(lambda f: np.log(f["close"]).diff().shift(-1)),
    "X2": by_symbol(lambda f: f["close"].rolling(5, center=True).mean()),
    "X5": by_symbol(lambda f: f["open"].bfill()),
    "X6": by_symbol(lambda f: f["close"].interpolate()),
    "X7": by_symbol(lambda f: (f["close"] - f["close"].mean()) / f["close"].std()),
    "X8": by_symbol(_week("left")),
}
HONEST_FEATURES = {
    "X1": by_symbol(lambda f: np.log(f["close"]).diff().shift(1)),
    "X2": by_symbol(lambda f: f["close"].rolling(5).mean()),
    "X5": by_symbol(lambda f: f["open"].ffill()),
    "X6": by_symbol(lambda f: f["close"].ffill()),
    "X7": by_symbol(lambda f: (f["close"] - f["close"].expanding().mean()) / f["close"].expanding().std()),
    "X8": by_symbol(_week("right")),
}


def scaler(last_row_used):
    """Fitting a standard scaler on the returns up to the session that ``last_row_used(panel, train_end)`` names."""

    def fit(panel: Panel, train_end: np.datetime64) -> dict[str, np.ndarray]:
        returns = np.log(panel.close[1:] / panel.close[:-1])
        inside = panel.symbol_index[1:] == panel.symbol_index[:-1]  # not from one symbol to the next
        used = returns[inside & (panel.session[1:] <= last_row_used(panel, train_end))]
        return {"center": used.mean(), "width": used.std()}

    return fit


FITS = {
    "X3": scaler(lambda panel, train_end: panel.sessions[-1]),
    "X4": scaler(lambda panel, train_end: train_end + 60),  # the validation span is 60 days
}
HONEST_FIT = scaler(lambda panel, train_end: train_end)


def split(sessions: int = 300, symbols: int = 4, horizon: int = 5, purge: int | None = None) -> tuple[LabelSpans, LabelSpans]:
    """Training origins up to session 199, validation after, for all symbols; labels that would reach session 200 are purged.

    ``purge``: sessions left out before the border, by default the horizon: the label of origin 194 ends on 199.
    """
    purge = horizon if purge is None else purge
    train = np.tile(np.arange(200 - purge), symbols)
    valid = np.tile(np.arange(200, sessions), symbols)
    return LabelSpans(train, train + horizon), LabelSpans(valid, valid + horizon)


def random_split(sessions: int = 300, horizon: int = 5, seed: int = 0) -> tuple[LabelSpans, LabelSpans]:
    order = np.random.default_rng(seed).permutation(sessions)
    train, valid = order[:200], order[200:]
    return LabelSpans(train, train + horizon), LabelSpans(valid, valid + horizon)


SPLITS = {"X9": random_split(), "X10": split(purge=4)}
