"""The network: its specification, and right below it the thing specified.

The network reads scaled features and answers, for each horizon, how the quantiles of the standardised return differ
from those of a simple forecaster: ``quantile = start * exp(a) + b + c_level``. The output layer is zero at first, so training
starts at that forecaster - the table of the EWMA rival, or the linear quantile model on the same inputs - and only learns
what that one misses.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from forecasting import metrics
from forecasting.errors import SettingError
from forecasting.features.sets import DEFAULT_FEATURES, expand
from forecasting.lstm.engine import configure_tensorflow
from forecasting.lstm.fused import loop_knows, lstm_layer, on_gpu
from forecasting.scaling import Scaling

if TYPE_CHECKING:
    import tensorflow as tf

LEVELS = tuple(metrics.LEVELS.tolist())
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear",
    "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus",
    "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
)  # fmt: skip
OPTIMIZERS = {
    "adadelta": "Adadelta", "adafactor": "Adafactor", "adagrad": "Adagrad", "adam": "Adam", "adamax": "Adamax",
    "adamw": "AdamW", "ftrl": "Ftrl", "lion": "Lion", "nadam": "Nadam", "rmsprop": "RMSprop", "sgd": "SGD",
}  # fmt: skip


class LstmSpec(BaseModel):
    """Everything that decides what is learnt. Same spec, data, code and machine class: the same bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...] = Field(
        DEFAULT_FEATURES,
        min_length=1,
        description="names from the feature registry and sets of them ('set:volatility'), in order",
    )
    horizons: tuple[int, ...] = Field((1, 5, 20), min_length=1, description="sessions ahead of the origin")
    quantiles: tuple[float, ...] = Field(LEVELS, description="levels of the forecast distribution")
    target: Literal["return", "close"] = Field("return", description="'close' regresses the scaled close, as tutorials do")
    output: Literal["quantiles", "point"] = "quantiles"
    loss: Literal["pinball", "mse", "mae", "huber"] = "pinball"
    scaling: Scaling = "standard"

    stem_units: int = Field(32, ge=0, le=1024, description="dense layer before the LSTM; 0: none")
    units: tuple[int, ...] = Field((32,), min_length=1, max_length=8, description="units of each LSTM layer")
    head_units: int = Field(32, ge=0, le=1024, description="dense layer after the LSTM; 0: none")
    skip: bool = Field(True, description="the head also sees the inputs of the last session")
    activation: Literal[ACTIVATIONS] = Field("tanh", description="activation of the LSTM; tanh is the one with fast kernels")
    bidirectional: bool = Field(False, description="read each window both ways; needs labels_per_sequence = 1")
    normalisation: Literal["none", "layer", "batch"] = "none"
    dropout: float = Field(0.3, ge=0, lt=1)
    recurrent_dropout: float = Field(0.0, ge=0, lt=1)
    start: Literal["reference", "linear", "both"] = Field(
        "both", description="what training starts from: EWMA's quantiles, the linear quantile model, or members of either kind"
    )
    linear_share: float = Field(
        0.25, ge=0, lt=1, description="weight of the linear quantile model beside the networks, where quantiles are forecast"
    )
    embedding_units: int = Field(0, ge=0, le=64, description="learnt numbers of each symbol that the head sees; 0: none")
    per_symbol: bool = Field(False, description="a network of its own for each symbol instead of one for all")

    lookback: int = Field(60, ge=2, le=1000, description="sessions that a forecast is made from")
    labels_per_sequence: int = Field(190, ge=1, le=2000, description="1: classical windows; more: a loss at every session")
    batch_size: int = Field(64, ge=2, le=4096, description="sequences in a batch")
    excess_weight: float = Field(
        1.0, ge=0, description="how much the shift of the quantiles shall also fit what a symbol does beyond the market"
    )
    epochs: int = Field(5, ge=1, le=1000)
    min_updates: int = Field(300, ge=1, description="small data sets are read again until this many gradient steps")
    patience: int = Field(4, ge=1, description="validation looks without a better loss before training ends")
    optimizer: Literal[tuple(OPTIMIZERS)] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, description="of adamw; the other optimizers decay no weight")
    gradient_norm: float = Field(1.0, gt=0)
    calibration: Literal["none", "conformal"] = Field(
        "conformal", description="correct the width of the quantiles by how the model's own forecasts settled"
    )
    members: int = Field(4, ge=1, le=20, description="networks from different seeds whose quantiles are averaged")
    seed: int = Field(7, ge=0)

    @field_validator("features")
    @classmethod
    def _sets_spelt_out(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return expand(value)
        except SettingError as error:
            raise ValueError(str(error)) from error

    @field_validator("horizons")
    @classmethod
    def _ascending_horizons(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(h < 1 or h > 250 for h in value) or list(value) != sorted(set(value)):
            raise ValueError("horizons must be whole numbers from 1 to 250, ascending, none twice")
        return value

    @field_validator("quantiles")
    @classmethod
    def _symmetric_quantiles(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value != LEVELS:
            raise ValueError(f"the ledger stores the levels {LEVELS}")
        return value

    @model_validator(mode="after")
    def _causal_and_consistent(self) -> LstmSpec:
        if self.bidirectional and self.labels_per_sequence != 1:
            raise ValueError(
                "bidirectional reads later sessions: it needs labels_per_sequence = 1, one label at the window's end"
            )
        if self.normalisation == "batch" and self.labels_per_sequence != 1:
            raise ValueError("batch normalisation mixes sessions of one sequence: it needs labels_per_sequence = 1")
        if (self.output == "quantiles") != (self.loss == "pinball"):
            raise ValueError("output 'quantiles' goes with loss 'pinball', output 'point' with mse, mae or huber")
        if self.target == "close" and self.output != "point":
            raise ValueError("target 'close' needs output 'point'")
        if self.per_symbol and self.embedding_units:
            raise ValueError("a network of each symbol's own needs no embedding: per_symbol goes with embedding_units = 0")
        return self

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def classical_spec(**changes: object) -> LstmSpec:
    """The tutorial network as a configuration: scaled closes in, one scaled close out a horizon, squared error."""
    values: dict[str, object] = dict(
        features=("close",), target="close", output="point", loss="mse", scaling="minmax", stem_units=0, units=(50,),
        head_units=0,
        skip=False, dropout=0.2, labels_per_sequence=1, optimizer="adam", weight_decay=0.0, members=1, epochs=10,
    )  # fmt: skip
    return LstmSpec(**{**values, **changes})


class Network:
    """The layers of one member. ``weights`` are plain variables in a fixed order; nothing is ever loaded from Keras files."""

    def __init__(self, spec: LstmSpec, n_features: int, start: np.ndarray, seed: int, symbols: int = 0) -> None:
        """``start``: quantiles of the standardised return to begin with, a table [H, Q] or the weights of a linear model of
        the last session's inputs [H, Q, 1 + F], the constant first; ``seed`` decides the initial weights.

        ``symbols``: how many are told apart by an embedding, where the spec has one; a stranger's embedding is zero.
        """
        configure_tensorflow()
        import keras
        import tensorflow as tf

        self.spec, self.seed = spec, seed
        self.looped = not on_gpu()
        self.fused = self.looped and loop_knows(spec.activation, spec.recurrent_dropout)
        self.horizons, self.levels = start.shape[:2]
        self.start = tf.Variable(start.astype(np.float32), trainable=False)  # another one asks for no new compilation
        counter = iter(range(10_000))

        def init(kind: str):
            cls = {"glorot": keras.initializers.GlorotUniform, "orthogonal": keras.initializers.Orthogonal}[kind]
            return cls(seed=seed * 10_007 + next(counter))

        def lstm(units: int, sequences: bool):
            layer = lstm_layer(
                units, self.fused, activation=spec.activation, return_sequences=sequences,
                recurrent_dropout=spec.recurrent_dropout,
                kernel_initializer=init("glorot"), recurrent_initializer=init("orthogonal"), seed=seed,
            )  # fmt: skip
            return keras.layers.Bidirectional(layer) if spec.bidirectional else layer

        self.stem = (
            keras.layers.Dense(spec.stem_units, activation="tanh", kernel_initializer=init("glorot"))
            if spec.stem_units
            else None
        )
        last = len(spec.units) - 1
        self.recurrent = [lstm(u, sequences=i < last or spec.labels_per_sequence > 1) for i, u in enumerate(spec.units)]
        norm = {"layer": keras.layers.LayerNormalization, "batch": keras.layers.BatchNormalization, "none": None}[
            spec.normalisation
        ]
        self.norms = [norm() if norm else None for _ in spec.units]
        self.head = (
            keras.layers.Dense(spec.head_units, activation="relu", kernel_initializer=init("glorot"))
            if spec.head_units
            else None
        )
        self.embedding = (
            keras.layers.Embedding(symbols + 1, spec.embedding_units, embeddings_initializer="zeros")
            if spec.embedding_units
            else None
        )
        outputs = self.horizons * (2 + self.levels) if spec.output == "quantiles" else self.horizons
        zero = "zeros" if spec.output == "quantiles" else init("glorot")
        self.out = keras.layers.Dense(outputs, kernel_initializer=zero, dtype="float32")
        self(np.zeros((2, spec.lookback, n_features), np.float32), labels=1)  # builds the variables

    @property
    def layers(self) -> list:
        recurrent = (x for pair in zip(self.recurrent, self.norms, strict=True) for x in pair)
        parts = [self.stem, *recurrent, self.embedding, self.head, self.out]
        return [layer for layer in parts if layer is not None]

    @property
    def weights(self) -> list:
        seeds = ("seed_generator_state", "seed_state")
        return [w for layer in self.layers for w in layer.weights if not w.path.endswith(seeds)]

    @property
    def trainable_variables(self) -> list:
        return [w for layer in self.layers for w in layer.trainable_weights]

    @property
    def trainable(self) -> list:
        return [w.value for w in self.trainable_variables]

    def get_weights(self) -> list[np.ndarray]:
        return [np.asarray(w) for w in self.weights]

    def set_weights(self, arrays: list[np.ndarray]) -> None:
        for weight, array in zip(self.weights, arrays, strict=True):
            weight.assign(array)

    def begin(self, fresh: Network) -> None:
        """Become what ``fresh``, a network of the same shape, is: its weights, its start and its seeds."""
        self.seed = fresh.seed
        self.start.assign(fresh.start)
        for mine, other in zip(self.layers, fresh.layers, strict=True):
            for weight, value in zip(mine.variables, other.variables, strict=True):  # the seeds of random layers among them
                weight.assign(value)

    def __call__(self, x: tf.Tensor, labels: int, seed: tf.Tensor | None = None, who: tf.Tensor | None = None) -> tf.Tensor:
        """Scaled features [B, T, F] to standardised quantiles [B, labels, H, Q] (or points [B, labels, H]) of the last steps.

        ``seed`` (int32 [2]): train with dropout drawn from it, statelessly, so that towers may run in any order.
        ``who`` (int32 [B]): for the embedding, 1 for the first symbol learnt from, 0 for a stranger.
        """
        return self.answer(self.raw(x, labels, seed, who), x[:, -labels:])

    def answer(self, raw: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """What the raw outputs mean: start x exp(log scale) + shift + a correction a level; points stay as they are.

        ``inputs`` [B, labels, F]: the scaled features at the sessions that are answered for.
        """
        import tensorflow as tf

        if self.spec.output == "point":
            return raw
        start = self.start
        if len(start.shape) == 3:
            start = tf.einsum("bkf,hqf->bkhq", inputs, start[..., 1:]) + start[..., 0]
        log_scale, shift, corrections = tf.split(raw, [1, 1, self.levels], axis=-1)  # slices have a slow gradient
        return start * tf.exp(log_scale) + shift + corrections

    def raw(self, x: tf.Tensor, labels: int, seed: tf.Tensor | None = None, who: tf.Tensor | None = None) -> tf.Tensor:
        """The last layer's outputs: log scale, shift and corrections [B, labels, H, 2 + Q], or points [B, labels, H]."""
        import tensorflow as tf

        from forecasting.lstm.dropout import dropped

        draws = iter(range(1, 1000))

        def drop(value: tf.Tensor) -> tf.Tensor:
            if seed is None or not self.spec.dropout:
                return value
            return dropped(value, self.spec.dropout, seed + [0, next(draws)], self.looped)

        training = seed is not None
        inputs = x[:, -labels:]  # [B, K, F]
        hidden = drop(self.stem(x)) if self.stem else x  # [B, T, D]
        for layer, norm in zip(self.recurrent, self.norms, strict=True):
            hidden = layer(hidden, training=training)  # [B, T, U], or [B, U] in the last layer of a window
            hidden = drop(norm(hidden, training=training) if norm else hidden)
        if len(hidden.shape) == 3:
            hidden = tf.split(hidden, [hidden.shape[1] - labels, labels], axis=1)[1]  # [B, K, U]
        else:
            hidden = hidden[:, None]
        if self.spec.skip:
            hidden = tf.concat([hidden, inputs], axis=-1)
        if self.embedding:
            own = drop(self.embedding(tf.zeros_like(x[:, 0, 0], tf.int32) if who is None else who))  # [B, E]
            hidden = tf.concat([hidden, tf.repeat(own[:, None], labels, axis=1)], axis=-1)
        if self.head:
            hidden = drop(self.head(hidden))
        raw = self.out(hidden)  # [B, K, H * (2 + Q)]
        return raw if self.spec.output == "point" else tf.reshape(raw, (-1, labels, self.horizons, 2 + self.levels))


def loss_values(spec: LstmSpec, answer: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Loss of each label, [..., H]; ``target`` float32 [..., H] in the units of the answer."""
    import tensorflow as tf

    if spec.loss == "pinball":
        error = target[..., None] - answer
        level = tf.constant(spec.quantiles, tf.float32)
        return tf.reduce_mean(tf.maximum(level * error, (level - 1) * error), axis=-1)
    error = tf.abs(target - answer)
    if spec.loss == "mae":
        return error
    if spec.loss == "mse":
        return tf.square(error)
    return tf.where(error <= 1.0, 0.5 * tf.square(error), error - 0.5)
