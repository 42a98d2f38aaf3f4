"""One training run's outcome: the network's members and the rivals, fitted on the same rows, as plain arrays and a card."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from forecasting.errors import NotEnoughHistory, UntrustedModel
from forecasting.inputs import Inputs, learnable_rows, make_inputs, ready_rows
from forecasting.lstm.network import LstmSpec, Network
from forecasting.metrics import LEVELS
from forecasting.panel import Panel
from forecasting.rivals import REFERENCE, RIVALS, fit_rivals, quantile_table, rival_quantiles, running_moments
from forecasting.scaling import Scaler
from forecasting.splits import Spans, label_masks

FORMAT = 1
Progress = Callable[[str, int, int], None]


@dataclass
class Fitted:
    """A fitted model. ``arrays`` and ``card`` are all of it: ``rebuild(arrays, card)`` makes the same forecasts."""

    spec: LstmSpec
    arrays: dict[str, np.ndarray]
    card: dict = field(default_factory=dict)

    @property
    def forecasters(self) -> tuple[str, ...]:
        return ("lstm", *RIVALS)

    @property
    def market_symbols(self) -> tuple[str, ...]:
        return tuple(self.card["market_symbols"])

    def inputs(self, panel: Panel, macro: pd.DataFrame | None = None) -> Inputs:
        """The model's inputs on ``panel``, with the market made of the symbols it was trained on."""
        return make_inputs(panel, self.spec.features, self.spec.horizons, self.market_symbols, macro)

    def scaled(self, inputs: Inputs) -> np.ndarray:
        """Scaled features, float32 [R, F]."""
        scaler = Scaler(self.arrays["scaler/center"], self.arrays["scaler/width"])
        return scaler(inputs.values, _groups(self.spec, inputs.panel, self.market_symbols))

    def quantiles(
        self, inputs: Inputs, rows: np.ndarray, names: tuple[str, ...] | None = None, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """For each forecaster the quantiles of the log return of ``rows`` over each horizon, float64 [N, H, Q]."""
        x, moments = self.scaled(inputs), running_moments(inputs)
        answer = {}
        for name in names or self.forecasters:
            if name == "lstm":
                answer[name] = self._standardised(inputs, x, rows, progress) * inputs.targets.unit[rows][..., None]
            else:
                answer[name] = rival_quantiles(name, self.arrays, inputs, x, rows, moments)
        return answer

    def _standardised(self, inputs: Inputs, x: np.ndarray, rows: np.ndarray, progress: Progress | None) -> np.ndarray:
        """The mean of the members' quantiles in units of the scale, ascending, float64 [N, H, Q]."""
        network, run = self._compiled
        parts = []
        for weights in self._members:  # one network, compiled once, takes on one member after the other
            network.set_weights(weights)
            parts.append(run(inputs.panel, x, rows, progress).astype(np.float64))
        mean = np.sum(parts, axis=0) / len(parts)
        if self.spec.output == "point":
            point = _point_as_return(self.spec, self.arrays, inputs, rows, mean, self.market_symbols)
            mean = point[..., None] + self.arrays["lstm/residuals"]
        return np.sort(mean, axis=-1)  # quantiles never cross

    @cached_property
    def _compiled(self) -> tuple:
        """A network of the spec and its forecasting function."""
        from forecasting.lstm.training import Forecasting

        width = len(self.spec.features)
        network = Network(self.spec, width, self.arrays[f"{REFERENCE}/table"], self.spec.seed)
        return network, Forecasting(network, width)

    @cached_property
    def _members(self) -> list[list[np.ndarray]]:
        """The weights of each member, in the network's order."""
        expected = [tuple(w.shape) for w in self._compiled[0].weights]
        members = []
        for member in range(self.spec.members):
            names = [f"lstm/{member}/{i:02d}" for i in range(len(expected))]
            stored = [self.arrays[name] for name in names if name in self.arrays]
            if [a.shape for a in stored] != expected:
                raise UntrustedModel(
                    "the stored weights do not fit the network that the card describes; type `nextclose retrain`"
                )
            members.append(stored)
        return members


def fit_model(
    spec: LstmSpec, panel: Panel, macro: pd.DataFrame | None, spans: Spans, progress: Progress | None = None,
    data_digest: str = "",
) -> Fitted:  # fmt: skip
    """Fit scaler, rivals and network members on the training span; the validation span chooses when to stop.

    Nothing of the test span reaches any fitted number. Raises NotEnoughHistory where no training sequence exists.
    """
    from forecasting.lstm.training import train_member

    seen = panel.until(spans.valid_end)  # later rows are not even in memory for the code below
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
    x = scaler(inputs.values, groups)
    arrays |= fit_rivals(inputs, x, train, valid)
    y = _answers(spec, inputs, scaler, groups)
    histories = []
    for member in range(spec.members):
        network, history = train_member(spec, member, seen, x, y, train, valid, arrays[f"{REFERENCE}/table"], progress)
        arrays |= {f"lstm/{member}/{i:02d}": w for i, w in enumerate(network.get_weights())}
        histories.append(history.as_card())
    fitted = Fitted(spec, arrays, _card(spec, seen, spans, histories, data_digest))
    if spec.output == "point":
        _fit_residuals(fitted, inputs, valid, train)
    return fitted


def rebuild(arrays: dict[str, np.ndarray], card: dict) -> Fitted:
    """The fitted model of a stored folder; UntrustedModel where the card is not one of ours."""
    if card.get("format") != FORMAT or tuple(card.get("levels", ())) != tuple(LEVELS):
        raise UntrustedModel(f"model format {card.get('format')!r} is not {FORMAT}; type `nextclose retrain`")
    return Fitted(LstmSpec.model_validate(card["spec"]), dict(arrays), card)


def machine_class() -> str:
    """What the bits of a training run depend on besides data, spec and code."""
    import keras
    import tensorflow as tf

    device = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    return f"{platform.machine()}/{device}/tensorflow-{tf.__version__}/keras-{keras.__version__}/numpy-{np.__version__}"


def _card(spec: LstmSpec, panel: Panel, spans: Spans, histories: list[dict], data_digest: str) -> dict:
    def day(value: date) -> str:
        return str(value)[:10]

    return {
        "format": FORMAT, "spec": spec.model_dump(mode="json"), "levels": list(LEVELS), "market_symbols": list(panel.symbols),
        "spans": {"train_end": day(spans.train_end), "valid_end": day(spans.valid_end), "test_end": day(spans.test_end)},
        "history": histories, "data_digest": data_digest, "machine_class": machine_class(),
    }  # fmt: skip


def _groups(spec: LstmSpec, panel: Panel, known: tuple[str, ...]) -> np.ndarray | None:
    """Scaler group of each row: one for all, or the symbol where closes themselves are the input."""
    if spec.target != "close":
        return None
    position = {symbol: i for i, symbol in enumerate(known)}
    missing = [symbol for symbol in panel.symbols if symbol not in position]
    if missing:
        raise NotEnoughHistory(missing[0], 0, spec.lookback, "its own close scaler; type `nextclose retrain`")
    return np.array([position[symbol] for symbol in panel.symbols], dtype=np.int64)[panel.symbol_index]


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
