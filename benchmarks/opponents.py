"""The network of the product written the ordinary way, for comparison: as a Keras model and as a PyTorch module.

Both have the same layers, heads and loss, and read the same windows, copied out one by one as the usual project does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from forecasting.inputs import make_inputs, ready_rows
from forecasting.lstm import LstmSpec
from forecasting.panel import Panel
from forecasting.rivals import quantile_table
from forecasting.scaling import Scaler
from forecasting.sequences import windows
from forecasting.splits import Spans, label_masks
from sources.synthetic import SyntheticMarket

#: Two networks: the product's own (one member of it), and the one that the goals in the README were set with.
SPECS = {
    "product": LstmSpec(members=1),
    "lstm64": LstmSpec(stem_units=0, units=(64,), head_units=0, skip=False, dropout=0.0, labels_per_sequence=61, members=1),
}


@dataclass(frozen=True)
class Material:
    """What there is to learn from: a synthetic market as the product would see it, scaled, with train and valid labels."""

    panel: Panel
    x: np.ndarray  # float32 [R, F]
    y: np.ndarray  # float32 [R, H], standardised returns
    train: np.ndarray  # bool [R, H], all horizons of a row or none
    valid: np.ndarray
    reference: np.ndarray  # float32 [H, Q]

    @classmethod
    def of(cls, spec: LstmSpec, symbols: int, train: int, valid: int) -> Material:
        """``symbols`` with ``train`` + ``valid`` sessions each."""
        drawn = SyntheticMarket(seed=11, symbols=symbols, sessions=train + valid + 1, events=False).drawn
        panel = Panel.from_frames(drawn.bars)
        inputs = make_inputs(panel, spec.features, spec.horizons)
        day = panel.sessions.astype("datetime64[D]").astype(object)
        masks = label_masks(panel, inputs.targets, Spans(day[train - 1], day[train + valid - 1], day[-1]))
        ready = ready_rows(panel, inputs.targets, spec.lookback)[:, None]
        learnt, chosen = ((masks[name] & ready).all(axis=1, keepdims=True) for name in ("train", "valid"))
        y = np.clip(np.nan_to_num(inputs.targets.standardised, nan=0.0), -10, 10).astype(np.float32)
        x = Scaler.fit(inputs.values, learnt[:, 0], spec.scaling)(inputs.values)
        horizons = len(spec.horizons)
        table = quantile_table([inputs.targets.standardised[learnt[:, 0], k] for k in range(horizons)])
        return cls(panel, x, y, np.repeat(learnt, horizons, 1), np.repeat(chosen, horizons, 1), table)

    def only(self, symbol: int) -> Material:
        """The part of one symbol, by its position."""
        mine = slice(int(self.panel.starts[symbol]), int(self.panel.starts[symbol + 1]))
        parts = {name: getattr(self, name)[mine] for name in ("x", "y", "train", "valid")}
        return replace(self, panel=self.panel.only((self.panel.symbols[symbol],)), **parts)

    def rows(self, span: str, most: int | None = None) -> np.ndarray:
        """The labelled rows of 'train' or 'valid', int64; ``most`` of them, evenly spread."""
        found = np.flatnonzero(getattr(self, span)[:, 0])
        return found if most is None or len(found) <= most else found[np.linspace(0, len(found) - 1, most).astype(int)]

    def windows(self, rows: np.ndarray, lookback: int) -> np.ndarray:
        """The windows that end at ``rows``, copied out: float32 [N, lookback, F]."""
        return self.padded[windows(self.panel, rows, lookback) + 1]

    @cached_property
    def padded(self) -> np.ndarray:
        return np.concatenate([np.zeros((1, self.x.shape[1]), np.float32), self.x])


def pinball_loss(spec: LstmSpec, answer: np.ndarray, y: np.ndarray) -> float:
    """Mean pinball loss of ``answer`` [N, H, Q] for outcomes ``y`` [N, H]."""
    error = y[..., None].astype(np.float64) - answer
    level = np.array(spec.quantiles)
    return float(np.maximum(level * error, (level - 1) * error).mean())


def flops_a_window(spec: LstmSpec) -> int:
    """Multiplications and additions of a network of one LSTM layer alone for one window, forwards and backwards."""
    steps, features, units = spec.lookback, len(spec.features), spec.units[0]
    forwards = 2 * steps * (features + units) * 4 * units
    return 2 * forwards + 2 * steps * units * 4 * units  # the gradient of the weights costs as much, that of the state less


def keras_model(spec: LstmSpec, features: int, reference: np.ndarray, labels: int = 1) -> Any:
    """The network as a functional Keras model: windows [B, T, F] to quantiles [B, labels, H, Q] of the last steps."""
    import keras

    from_start = labels > 1
    inputs = keras.Input((None if from_start else spec.lookback, features))
    hidden = inputs
    if spec.stem_units:
        hidden = keras.layers.Dense(spec.stem_units, activation="tanh")(hidden)
        hidden = keras.layers.Dropout(spec.dropout)(hidden)
    for i, units in enumerate(spec.units):
        more = i < len(spec.units) - 1
        hidden = keras.layers.LSTM(units, return_sequences=more or from_start)(hidden)
        hidden = keras.layers.Dropout(spec.dropout)(hidden)
    hidden = hidden[:, -labels:] if from_start else hidden[:, None]
    if spec.skip:
        hidden = keras.layers.Concatenate()([hidden, inputs[:, -labels:]])
    if spec.head_units:
        hidden = keras.layers.Dense(spec.head_units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(spec.dropout)(hidden)
    horizons, levels = reference.shape
    raw = keras.layers.Dense(horizons * (2 + levels), kernel_initializer="zeros")(hidden)
    raw = keras.layers.Reshape((labels, horizons, 2 + levels))(raw)
    answer = keras.ops.exp(raw[..., :1]) * reference + raw[..., 1:2] + raw[..., 2:]
    return keras.Model(inputs, answer)


def keras_loss(spec: LstmSpec) -> Any:
    """Mean pinball loss as Keras takes it."""
    from keras import ops

    def pinball(y_true: Any, answer: Any) -> Any:
        error = y_true[..., None] - answer
        level = ops.convert_to_tensor(np.array(spec.quantiles, np.float32))
        return ops.mean(ops.maximum(level * error, (level - 1) * error))

    return pinball


def torch_module(spec: LstmSpec, features: int, reference: np.ndarray) -> Any:
    """The network as a PyTorch module, with ``nn.LSTM``: [B, T, F] to quantiles [B, labels, H, Q] of the last steps."""
    import torch
    from torch import nn

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = spec.stem_units or features
            self.stem = (
                nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Dropout(spec.dropout)) if spec.stem_units else None
            )
            sizes = (width, *spec.units)
            self.recurrent = nn.ModuleList(nn.LSTM(a, b, batch_first=True) for a, b in zip(sizes, spec.units, strict=False))
            self.drop = nn.Dropout(spec.dropout)
            last = spec.units[-1] + (features if spec.skip else 0)
            self.head = nn.Sequential(nn.Linear(last, spec.head_units), nn.ReLU()) if spec.head_units else None
            self.out = nn.Linear(spec.head_units or last, reference.shape[0] * (2 + reference.shape[1]))
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)
            self.register_buffer("reference", torch.tensor(reference))

        def forward(self, x: Any, labels: int = 1) -> Any:
            hidden = self.stem(x) if self.stem is not None else x
            for layer in self.recurrent:
                hidden = self.drop(layer(hidden)[0])
            hidden = hidden[:, -labels:]
            if spec.skip:
                hidden = torch.cat([hidden, x[:, -labels:]], dim=-1)
            if self.head is not None:
                hidden = self.drop(self.head(hidden))
            raw = self.out(hidden).view(-1, labels, reference.shape[0], 2 + reference.shape[1])
            return torch.exp(raw[..., :1]) * self.reference + raw[..., 1:2] + raw[..., 2:]

    return Plain()


def torch_loss(spec: LstmSpec) -> Any:
    """Pinball loss of each label, [B, labels, H]."""
    import torch

    level = torch.tensor(spec.quantiles, dtype=torch.float32)

    def pinball(y_true: Any, answer: Any) -> Any:
        error = y_true[..., None] - answer
        return torch.maximum(level * error, (level - 1) * error).mean(dim=-1)

    return pinball
