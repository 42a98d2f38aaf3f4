"""Leaks planted on purpose, and their honest twins: what the audit must name, and what it must let pass.

The first ten are the classical ones (X1 to X10): tomorrow's value, a centred window, a scaler fitted on all rows or on
training and validation rows, backward filling, interpolation, a z-score with the mean of the whole series, a week labelled by
its first day, a random split, a purge short by one session. The others are what a project like this one could do to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd

from forecasting.audit.features import AuditReport, audit
from forecasting.audit.known_markets import ar1_market
from forecasting.panel import Panel
from forecasting.splits import Spans, label_masks
from forecasting.targets import Targets, make_targets

_HORIZONS = (1, 5)
_SPANS = Spans(date(2012, 11, 30), date(2013, 3, 15), date(2013, 6, 28))  # of the market below: 240, 75 and 75 sessions
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Planted:
    """``kind``: feature, fit or split; ``make``: what takes the place of the product's own."""

    kind: str
    make: Callable


@cache
def market() -> tuple[Panel, pd.DataFrame]:
    """Four symbols over 390 sessions with unknown opens, sessions without volume and a split, and a macro series."""
    panel, draw = ar1_market(11, symbols=4, sessions=390), np.random.default_rng(11)
    split = np.ones(panel.rows)
    split[[100, 500]] = 2.0
    panel = replace(
        panel, open=np.where(draw.random(panel.rows) < 0.03, np.nan, panel.open), split=split,
        volume=np.where(draw.random(panel.rows) < 0.03, 0.0, panel.volume),
    )  # fmt: skip
    value = 20 * np.exp(draw.normal(0, 0.2, len(panel.sessions)))
    return panel, pd.DataFrame({"series": "VIX", "session": pd.DatetimeIndex(panel.sessions), "value": value})


def caught(name: str) -> AuditReport:
    """What the audit says of one of LEAKS or HONEST."""
    from forecasting.audit.training import audit_fits, audit_masks

    planted, (panel, macro) = (LEAKS | HONEST)[name], market()
    if planted.kind == "feature":
        return audit(planted.make, panel, macro, [name])
    if planted.kind == "fit":
        return audit_fits(planted.make, panel, _SPANS, 420)
    return audit_masks(planted.make, panel, _HORIZONS, _SPANS)


def _each(transform: Callable[[pd.DataFrame], pd.Series]) -> Planted:
    """A feature from a function of one symbol's bars (a frame indexed by session)."""

    def compute(panel: Panel, _: pd.DataFrame | None = None) -> np.ndarray:
        parts = [np.empty(0)]
        for i in range(len(panel.symbols)):
            rows = slice(panel.starts[i], panel.starts[i + 1])
            columns = {c: getattr(panel, c)[rows] for c in ("open", "high", "low", "close", "volume", "split")}
            frame = pd.DataFrame(columns, index=pd.DatetimeIndex(panel.session_of(i)))
            parts.append(np.asarray(transform(frame), dtype=np.float64))
        return np.concatenate(parts)[:, None]

    return Planted("feature", compute)


def _log_return(frame: pd.DataFrame) -> pd.Series:
    return np.log(frame["close"]).diff()


def _week(label: str) -> Planted:
    def transform(frame: pd.DataFrame) -> pd.Series:
        weekly = frame["close"].resample("W-FRI", label=label, closed="right").last()
        return weekly.reindex(frame.index, method="ffill")

    return _each(transform)


def _low_pass(frame: pd.DataFrame) -> np.ndarray:
    """A smooth line through the whole series."""
    waves = np.fft.rfft(np.nan_to_num(frame["close"].to_numpy()))
    waves[len(waves) // 10 :] = 0
    return np.fft.irfft(waves, len(frame))


def _peer_tomorrow(shift: int) -> Planted:
    """The mean return of all symbols on a session near the row's own."""

    def compute(panel: Panel, _: pd.DataFrame | None = None) -> np.ndarray:
        returns = np.diff(np.log(panel.close), prepend=np.nan)
        returns[panel.starts[:-1]] = np.nan
        known = np.isfinite(returns)
        total = np.bincount(panel.at[known], returns[known], len(panel.sessions))
        count = np.bincount(panel.at[known], minlength=len(panel.sessions))
        mean = pd.Series(total / np.maximum(count, 1)).shift(shift).to_numpy()
        return mean[panel.at][:, None]

    return Planted("feature", compute)


def _macro(ahead: int) -> Planted:
    """The macro value of the session, or of one that was published later."""

    def compute(panel: Panel, macro: pd.DataFrame) -> np.ndarray:
        if not len(macro):
            return np.full((panel.rows, 1), np.nan)
        at = np.searchsorted(macro["session"].to_numpy().astype("datetime64[D]"), panel.session, side="right") - 1 + ahead
        value = macro["value"].to_numpy()[np.clip(at, 0, len(macro) - 1)]
        return np.where(at >= 0, value, np.nan)[:, None]

    return Planted("feature", compute)


def _usual_outcome(panel: Panel, _: pd.DataFrame | None = None) -> np.ndarray:
    """What the symbol's return used to be after such a row, later rows included."""
    outcome = make_targets(panel, (1,)).returns[:, 0]
    total = np.bincount(panel.symbol_index, np.nan_to_num(outcome), len(panel.symbols))
    return (total / np.diff(panel.starts))[panel.symbol_index][:, None]


def _default_features(panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
    from forecasting.features import DEFAULT_FEATURES, compute_features

    return compute_features(panel, DEFAULT_FEATURES, macro=macro, threads=1).values


def _fit(part: str, rows: str, kind: str = "mean") -> Planted:
    """Numbers named ``part`` from the standardised returns one session ahead of the labels of some spans."""

    def fit(panel: Panel, spans: Spans) -> Columns:
        targets = make_targets(panel, _HORIZONS)
        masks = label_masks(panel, targets, spans)
        known = np.isfinite(targets.standardised[:, 0])
        spanned = {"train": masks["train"], "train+valid": masks["train"] | masks["valid"], "all": known[:, None]}
        use = spanned[rows][:, 0] & known
        values = targets.standardised[use, 0]
        if kind == "mean":
            return {part: np.array([values.mean(), values.std()])}
        if kind == "quantiles":
            return {part: np.quantile(values, (0.05, 0.5, 0.95))}
        best = np.bincount(panel.symbol_index[use], np.abs(values), len(panel.symbols))
        return {part: np.argsort(best)}

    return Planted("fit", fit)


def _own_fit(panel: Panel, spans: Spans) -> Columns:
    from forecasting.audit.controls import QUICK
    from forecasting.audit.training import fitted_numbers

    small = QUICK.model_copy(update={"features": ("ret", "abs_ret"), "horizons": _HORIZONS})
    return fitted_numbers(small, panel, None, spans, ["persistence", "drift", "ewma", "ridge"])


def _split(change: Callable[[Panel, Targets, dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Planted:
    return Planted("split", lambda panel, targets, spans: change(panel, targets, dict(label_masks(panel, targets, spans))))


def _at_random(panel: Panel, targets: Targets, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    known = masks["train"] | masks["valid"]
    chosen = np.random.default_rng(0).random(panel.rows)[:, None] < 0.8
    return masks | {"train": known & chosen, "valid": known & ~chosen}


def _by_symbol(panel: Panel, targets: Targets, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    known, first = masks["train"] | masks["valid"], (panel.symbol_index < 2)[:, None]
    return masks | {"train": known & first, "valid": known & ~first}


def _by_origin(short: int) -> Callable:
    """Labels go by their origin; ``short``: by how many sessions the purge falls short of the horizon (0: not at all)."""

    def change(panel: Panel, targets: Targets, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        first = panel.at[masks["valid"].any(axis=1)].min()
        reach = panel.at[:, None] + np.asarray(targets.horizons) - short
        return masks | {"train": np.isfinite(targets.returns) & (panel.at < first)[:, None] & (reach < first)}

    return change


def _own_split(panel: Panel, targets: Targets, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return masks


LEAKS: dict[str, Planted] = {
    "X1 tomorrow's return": _each(lambda f: _log_return(f).shift(-1)),
    "X2 centred window": _each(lambda f: f["close"].rolling(5, center=True).mean()),
    "X3 scaler on all rows": _fit("scaler/center", "all"),
    "X4 scaler on training and validation rows": _fit("scaler/center", "train+valid"),
    "X5 filled backwards": _each(lambda f: f["open"].bfill()),
    "X6 interpolated": _each(lambda f: f["open"].interpolate()),
    "X7 mean of the whole series": _each(lambda f: (f["close"] - f["close"].mean()) / f["close"].std()),
    "X8 week by its first day": _week("left"),
    "X9 random split": _split(_at_random),
    "X10 purge short by one session": _split(_by_origin(1)),
    "back-adjusted closes": _each(lambda f: f["close"] * f["split"].cumprod() / f["split"].prod()),
    "smoothed by waves": _each(_low_pass),
    "clipped at quantiles of the whole series": _each(lambda f: _log_return(f).clip(*_log_return(f).quantile([0.01, 0.99]))),
    "rank in the whole series": _each(lambda f: f["close"].rank(pct=True)),
    "volatility of the whole series": _each(lambda f: _log_return(f) / _log_return(f).std()),
    "high of the next session": _each(lambda f: f["high"].shift(-1) / f["close"]),
    "the market's next return": _peer_tomorrow(-1),
    "macro by its own day": _macro(1),
    "usual outcome of the symbol": Planted("feature", _usual_outcome),
    "outcome quantiles of all rows": _fit("ewma/table", "all", "quantiles"),
    "rival fitted on validation rows": _fit("persistence/table", "train+valid", "quantiles"),
    "features chosen on all rows": _fit("chosen", "all", "order"),
    "calibration on the test span": _fit("calibration/shift", "all", "quantiles"),
    "split by symbol": _split(_by_symbol),
    "no purge": _split(_by_origin(99)),
}

HONEST: dict[str, Planted] = {
    "yesterday's return": _each(lambda f: _log_return(f).shift(1)),
    "trailing window": _each(lambda f: f["close"].rolling(5).mean()),
    "filled forwards": _each(lambda f: f["open"].ffill()),
    "mean so far": _each(lambda f: (f["close"] - f["close"].expanding().mean()) / f["close"].expanding().std()),
    "week by its last day": _week("right"),
    "the market's return": _peer_tomorrow(0),
    "macro when published": _macro(0),
    "the default features": Planted("feature", _default_features),
    "scaler on training rows": _fit("scaler/center", "train"),
    "calibration on validation rows": _fit("calibration/shift", "train+valid", "quantiles"),
    "all that a model fits": Planted("fit", _own_fit),
    "the product's split": _split(_own_split),
    "a purge of the whole horizon": _split(_by_origin(0)),
}
