"""One training run's outcome: the network's members and the rivals, fitted on the same rows, as plain arrays and a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from forecasting import calibration
from forecasting.drift import fit_population
from forecasting.errors import NotEnoughHistory, UntrustedModel
from forecasting.features.user import check_user_features, require_user_features, user_digests
from forecasting.inputs import Inputs, learnable_rows, make_inputs, ready_rows
from forecasting.intact import check_intact
from forecasting.lstm.ensemble import Ensemble, Lesson, Spread, train_networks
from forecasting.lstm.machine import machine_class
from forecasting.lstm.network import LstmSpec, Network
from forecasting.metrics import LEVELS
from forecasting.panel import Panel
from forecasting.rivals import (
    FIRST_RIVALS,
    REFERENCE,
    RIVALS,
    Known,
    fit_rivals,
    linear_quantile,
    quantile_table,
    rival_quantiles,
)
from forecasting.rivals.own import own_digests, require_own_rivals
from forecasting.scaling import Scaler
from forecasting.splits import Spans, label_masks
from forecasting.targets import excess_returns

FORMAT = 1
LINEAR = "linear_quantile"
Progress = Callable[[str, int, int], None]
Looked = Callable[[int, int, float], None]  # member, look, validation loss; what it raises ends the training


@dataclass
class Fitted:
    """A fitted model. ``arrays`` and ``card`` are all of it: ``rebuild(arrays, card)`` makes the same forecasts."""

    spec: LstmSpec
    arrays: dict[str, np.ndarray]
    card: dict = field(default_factory=dict)

    @property
    def forecasters(self) -> tuple[str, ...]:
        return ("lstm", *self.card.get("rivals", FIRST_RIVALS))

    @property
    def market_symbols(self) -> tuple[str, ...]:
        return tuple(self.card["market_symbols"])

    def inputs(self, panel: Panel, macro: pd.DataFrame | None = None) -> Inputs:
        """The model's inputs on ``panel``, with the market made of the symbols it was trained on. UntrustedModel where a
        feature or forecaster of a person's own is missing or was changed since."""
        require_user_features(self.card)
        require_own_rivals(self.card)
        return make_inputs(panel, self.spec.features, self.spec.horizons, self.market_symbols, macro)

    def scaled(self, inputs: Inputs) -> np.ndarray:
        """Scaled features, float32 [R, F]."""
        scaler = Scaler(self.arrays["scaler/center"], self.arrays["scaler/width"])
        return scaler(inputs.values, _groups(self.spec, inputs.panel, self.market_symbols))

    def quantiles(
        self, inputs: Inputs, rows: np.ndarray, names: tuple[str, ...] | None = None, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """For each forecaster the quantiles of the log return of ``rows`` over each horizon, float64 [N, H, Q]."""
        x = self.scaled(inputs)
        known, answer = Known(inputs, x, self.market_symbols), {}
        for name in names or self.forecasters:
            if name == "lstm":
                standard = self._calibrated(inputs, x, rows, self._standardised(inputs, x, rows, progress))
                answer[name] = standard * inputs.targets.unit[rows][..., None]
            else:
                answer[name] = rival_quantiles(name, self.arrays, inputs, x, rows, known)
        return answer

    def _standardised(self, inputs: Inputs, x: np.ndarray, rows: np.ndarray, progress: Progress | None) -> np.ndarray:
        """The mean of the members' quantiles, and the linear model's with its share, in units of the scale, ascending,
        float64 [N, H, Q]."""
        if not self.spec.members:  # an audit fits everything but the network, which has then learnt nothing
            return self._unlearnt(len(rows))
        mean = self._ensemble.answers(inputs.panel, x, rows, progress)
        if self.spec.output == "point":
            point = _point_as_return(self.spec, self.arrays, inputs, rows, mean, self.market_symbols)
            mean = point[..., None] + self.arrays["lstm/residuals"]
        if share := linear_share(self.spec):
            mean = (1 - share) * mean + share * linear_quantile.standardised(self.arrays[f"{LINEAR}/weights"], x, rows)
        return np.sort(mean, axis=-1)  # quantiles never cross

    def _calibrated(self, inputs: Inputs, x: np.ndarray, rows: np.ndarray, standard: np.ndarray) -> np.ndarray:
        """Standardised quantiles with their width corrected, where the card says so (see ``calibration``)."""
        form = self.card.get("calibration")
        if form is None:
            return standard
        if form != calibration.FORM:
            raise UntrustedModel(f"calibration {form!r} is not {calibration.FORM!r}; type `nextclose retrain`")
        return calibration.correct(
            lambda past: self._standardised(inputs, x, past, None), inputs,
            ready_rows(inputs.panel, inputs.targets, self.spec.lookback), self.market_symbols,
            self.card["spans"]["train_end"], rows, standard,
        )  # fmt: skip

    def knows(self, symbol: str) -> bool:
        """Whether there is a network, and where closes are scaled a scaler, for ``symbol``."""
        return self._ensemble.knows(symbol) and (self.spec.target != "close" or symbol in self.market_symbols)

    def networks(self, symbol: str) -> Iterator[Network]:
        """The members that answer for ``symbol``, one after the other."""
        return self._ensemble.networks(symbol)

    def number(self, symbol: str) -> int:
        """The symbol's number in the network's embedding; 0 for a stranger, and where there is none."""
        return self._ensemble.number(symbol)

    def _unlearnt(self, rows: int) -> np.ndarray:
        """What a network answers before its first update, float64 [rows, H, Q]: the reference."""
        table = self.arrays[f"{REFERENCE}/table"].astype(np.float64)
        return np.broadcast_to(table, (rows, *table.shape)).copy()

    @cached_property
    def _ensemble(self) -> Ensemble:
        return Ensemble(self.spec, self.arrays, _starts(self.spec, self.arrays), self.market_symbols)


def fit_model(
    spec: LstmSpec, panel: Panel, macro: pd.DataFrame | None, spans: Spans, progress: Progress | None = None,
    data_digest: str = "", rivals: tuple[str, ...] = RIVALS, looked: Looked | None = None, spread: Spread = map,
) -> Fitted:  # fmt: skip
    """Fit scaler, rivals and network members on the training span; the validation span chooses when to stop.

    Nothing of the test span reaches any fitted number. ``rivals``: the names to fit beside the network.
    ``looked``: told the member, look and loss of each look at the validation span. ``spread``: trains networks of one symbol
    each, as ``map`` would; the bits are the same wherever it does.
    Raises NotEnoughHistory where no training sequence exists.
    """
    seen = panel.until(spans.valid_end)  # later rows are not even in memory for the code below
    check_user_features(spec.features, seen, macro)
    inputs = make_inputs(seen, spec.features, spec.horizons, seen.symbols, macro)
    masks = label_masks(seen, inputs.targets, spans)
    ready = (ready_rows(seen, inputs.targets, spec.lookback) & learnable_rows(seen, spec.lookback))[:, None]
    train, valid = masks["train"] & ready, masks["valid"] & ready
    learnt = len(np.unique(seen.at[train.any(axis=1)]))
    if learnt < 2 * spec.lookback:
        raise NotEnoughHistory("the universe", learnt, 2 * spec.lookback, "training after the first lookback", spans.train_end)
    groups = _groups(spec, seen, seen.symbols)
    scaler = Scaler.fit(inputs.values, train.any(axis=1), spec.scaling, groups)
    arrays = {"scaler/center": scaler.center, "scaler/width": scaler.width}
    arrays |= fit_population(inputs.values, seen.at, train.any(axis=1))
    x = scaler(inputs.values, groups)
    needed = {*_started_from(spec), *([LINEAR] if linear_share(spec) else [])}
    arrays |= fit_rivals(inputs, x, train, valid, (*rivals, *sorted(needed - {*rivals})))
    y = _answers(spec, inputs, scaler, groups)
    excess = excess_returns(seen, inputs.targets, train) if spec.excess_weight else None
    lesson = Lesson(spec, None, seen, x, y, train, valid, _starts(spec, arrays), excess)
    weights, histories = train_networks(lesson, progress, looked, spread)
    arrays |= weights
    fitted = Fitted(spec, arrays, _card(spec, seen, spans, histories, data_digest) | {"rivals": list(rivals)})
    fitted.card["user_features"], fitted.card["own_rivals"] = user_digests(spec.features), own_digests(rivals)
    fitted.card["calibration"] = calibration.FORM if spec.calibration == "conformal" else None
    if spec.output == "point":
        _fit_residuals(fitted, inputs, valid, train)
    return fitted


def rebuild(arrays: dict[str, np.ndarray], card: dict) -> Fitted:
    """The fitted model of a stored folder; UntrustedModel where the card is not one of ours, or its parts do not belong
    together."""
    if card.get("format") != FORMAT or tuple(card.get("levels", ())) != tuple(LEVELS):
        raise UntrustedModel(f"model format {card.get('format')!r} is not {FORMAT}; type `nextclose retrain`")
    require_user_features(card)
    require_own_rivals(card)
    check_intact(arrays, card)
    # A card from before there was a share has none.
    return Fitted(LstmSpec.model_validate({"linear_share": 0.0, **card["spec"]}), dict(arrays), card)


def _card(spec: LstmSpec, panel: Panel, spans: Spans, histories: list[dict], data_digest: str) -> dict:
    def day(value: date) -> str:
        return str(value)[:10]

    return {
        "format": FORMAT, "spec": spec.model_dump(mode="json"), "levels": list(LEVELS), "market_symbols": list(panel.symbols),
        "spans": {
            "train_end": day(spans.train_end), "valid_end": day(spans.valid_end), "test_end": day(spans.test_end),
            "embargo": spans.embargo, "train_begin": None if spans.train_begin is None else day(spans.train_begin),
        },
        "history": histories, "data_digest": data_digest, "machine_class": machine_class(),
    }  # fmt: skip


def _started_from(spec: LstmSpec) -> tuple[str, ...]:
    """The rivals that the networks begin with, in turn. Points begin anywhere, and tables are easiest."""
    names = {"reference": (REFERENCE,), "linear": (LINEAR,), "both": (REFERENCE, LINEAR)}[spec.start]
    return names if spec.output == "quantiles" else (REFERENCE,)


def linear_share(spec: LstmSpec) -> float:
    """The weight of the linear quantile model in the answer; none in a point's."""
    return spec.linear_share if spec.output == "quantiles" and spec.members else 0.0


def _starts(spec: LstmSpec, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(arrays[f"{name}/{'table' if name == REFERENCE else 'weights'}"] for name in _started_from(spec))


def _groups(spec: LstmSpec, panel: Panel, known: tuple[str, ...]) -> np.ndarray | None:
    """Scaler group of each row: one for all, or the symbol where closes themselves are the input (0 for a stranger, whose
    rows nobody may ask for: see ``Fitted.knows``)."""
    if spec.target != "close":
        return None
    position = {symbol: i for i, symbol in enumerate(known)}
    return np.array([position.get(symbol, 0) for symbol in panel.symbols], dtype=np.int64)[panel.symbol_index]


def _answers(spec: LstmSpec, inputs: Inputs, scaler: Scaler, groups: np.ndarray | None) -> np.ndarray:
    """What the network is asked for, float32 [R, H]: the standardised return, or the scaled close at the target session."""
    if spec.target == "return":
        return inputs.targets.standardised.astype(np.float32)
    f = inputs.names.index("close")
    close = inputs.values[:, f, None].astype(np.float64) * np.exp(inputs.targets.returns)
    return ((close - scaler.center[groups, f, None]) / scaler.width[groups, f, None]).astype(np.float32)


def _point_as_return(
    spec: LstmSpec, arrays: dict[str, np.ndarray], inputs: Inputs, rows: np.ndarray, answer: np.ndarray, known: tuple[str, ...]
) -> np.ndarray:
    """Point answers [N, H] as standardised log returns."""
    if spec.target == "return":
        return answer
    f, groups = inputs.names.index("close"), _groups(spec, inputs.panel, known)[rows]
    close = answer * arrays["scaler/width"][groups, f, None] + arrays["scaler/center"][groups, f, None]
    ratio = np.maximum(close / inputs.values[rows, f, None], 1e-3)  # a network can answer a negative close
    return np.log(ratio) / inputs.targets.unit[rows]


def _fit_residuals(fitted: Fitted, inputs: Inputs, valid: np.ndarray, train: np.ndarray) -> None:
    """Around a point forecast: the quantiles of its validation residuals (training residuals would be too narrow)."""
    chosen = valid if valid.any(axis=0).all() else train
    fitted.arrays["lstm/residuals"] = np.zeros((len(fitted.spec.horizons), len(LEVELS)), np.float32)
    rows = np.flatnonzero(chosen.any(axis=1))
    point = fitted._standardised(inputs, fitted.scaled(inputs), rows, None)[..., 0]
    residual = inputs.targets.standardised[rows] - point
    fitted.arrays["lstm/residuals"] = quantile_table([residual[chosen[rows, k], k] for k in range(residual.shape[1])])
