"""Training one network: a loss at every session, two towers, the best validation loss kept.

The scaled panel lies on the device once, as a 2-D block; sequences are gathered from it by index inside the step. Each
batch is trained as two halves ("towers") whose gradients are added: the gradient of the whole batch, computed on two
cores without a barrier at every small operation. Networks of one symbol each are many: their batches are one tower, and
the cores train different symbols (docs/decisions/0003-training-path.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from forecasting.lstm.engine import TOWERS, configure_tensorflow
from forecasting.lstm.network import OPTIMIZERS, LstmSpec, Network, loss_values
from forecasting.lstm.table import Table
from forecasting.panel import Panel
from forecasting.sequences import Sequences, padded, training_sequences

Progress = Callable[[str, int, int], None]  # stage, done, of how many
Looked = Callable[[int, int, float], None]  # member, look, validation loss; what it raises ends the training
_SMALLEST_BATCH = 8
_UPDATES_AN_EPOCH = 8
_LOOKS = 10  # at the validation span, in a training that goes to its end


@dataclass(frozen=True)
class History:
    """One row a validation look: updates made, mean training loss since the last look, validation loss."""

    updates: tuple[int, ...]
    train_loss: tuple[float, ...]
    valid_loss: tuple[float, ...]
    kept: int  # position of the look whose weights were kept

    def as_card(self) -> dict:
        """JSON-able; a loss that was not computed is None."""

        def known(values: tuple[float, ...]) -> list[float | None]:
            return [value if np.isfinite(value) else None for value in values]

        return {"updates": list(self.updates), "train_loss": known(self.train_loss), "valid_loss": known(self.valid_loss),
                "kept": self.kept}  # fmt: skip


_IDLE: dict[Hashable, Trainer] = {}  # trainers whose compiled steps wait for the next training of the same shapes
_IDLE_MOST = 2
_TAKING = threading.Lock()


def towers_of(spec: LstmSpec) -> int:
    """Parts of a batch that are computed side by side; part of the lineage, since a sum is rounded by its order."""
    return 1 if spec.per_symbol else TOWERS


def _make_optimizer(spec: LstmSpec):
    import keras

    chosen = getattr(keras.optimizers, OPTIMIZERS[spec.optimizer])
    more = {"weight_decay": spec.weight_decay} if spec.optimizer == "adamw" else {}
    return chosen(spec.learning_rate, **more)


def train_member(
    spec: LstmSpec, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
    start: np.ndarray, progress: Progress | None = None, looked: Looked | None = None, excess: np.ndarray | None = None,
) -> tuple[list[np.ndarray], History]:  # fmt: skip
    """The weights of one network of the ensemble, trained; see ``Trainer`` for the arguments.

    Compiling the step takes longer than a small training. So a trainer is kept for the next one of the same spec and
    shapes, be it another member or another market; what it learns does not depend on what it learnt before, to the bit.
    """
    configure_tensorflow()
    part, _ = _batches(spec, panel, train)
    symbols = len(panel.symbols) if spec.embedding_units else 0
    key = (spec, x.shape[1], y.shape[1], start.shape, part, symbols, excess is None)
    with _TAKING:
        trainer = _IDLE.pop(key, None)  # taken out while it works, so that no two threads share one
    if trainer is None:
        trainer = Trainer(spec, member, panel, x, y, train, valid, start, excess)
    else:
        trainer.begin(member, panel, x, y, train, valid, start, excess)
    history = trainer.run(progress, looked)
    weights = trainer.network.get_weights()
    trainer.let_go()
    with _TAKING:
        while len(_IDLE) >= _IDLE_MOST:
            _IDLE.pop(next(iter(_IDLE)), None)
        _IDLE[key] = trainer
    return weights, history


def _batches(spec: LstmSpec, panel: Panel, train: np.ndarray) -> tuple[int, int]:
    """Sequences in a tower's part of a batch, and gradient steps of a training to its end."""
    count = len(training_sequences(panel, train.any(axis=1), spec.lookback - 1, spec.labels_per_sequence))
    if not count:
        raise ValueError("no training sequence: the training span is shorter than the lookback")
    # Few sequences are read in smaller batches: an epoch of one or two updates teaches nothing.
    towers = towers_of(spec)
    part = max(_SMALLEST_BATCH // towers, min(spec.batch_size // towers, -(-count // (_UPDATES_AN_EPOCH * towers))))
    return part, max(spec.epochs * -(-count // (part * towers)), spec.min_updates)


class Trainer:
    """Trains one network.

    ``x`` float32 [R, F] scaled inputs; ``y`` float32 [R, H] outcomes in the units of the answer; ``train`` and ``valid``
    bool [R, H] say which labels may be learnt from and which choose the weights that are kept; ``start``: see ``Network``;
    ``excess`` float32 [R, H] what the outcome was beyond the market's (see ``excess_returns``), for ``spec.excess_weight``;
    None: without.
    The labels of the test span are not among the arguments: nothing here could look at them.
    """

    def __init__(
        self, spec: LstmSpec, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
        start: np.ndarray, excess: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        configure_tensorflow()
        import tensorflow as tf

        self.spec = spec
        self.burn_in, self.labels = spec.lookback - 1, spec.labels_per_sequence
        self.towers = towers_of(spec)
        self.part, _ = _batches(spec, panel, train)
        self.batch = self.part * self.towers
        self.network = Network(spec, x.shape[1], start, spec.seed * 1_000 + member, len(panel.symbols))
        self._seed = tf.Variable(self.network.seed, trainable=False, dtype=tf.int32)
        self._inputs, self._outcomes = Table(x[:0]), Table(np.zeros((0, y.shape[1]), np.float32))
        self._train_labels, self._valid_labels = (Table(np.zeros((0, y.shape[1]), np.float32)) for _ in range(2))
        self._who = Table(np.zeros((0, 1), np.float32)) if spec.embedding_units else None
        with_excess = excess is not None and spec.excess_weight and spec.output == "quantiles"
        self._excess = Table(np.zeros((0, y.shape[1]), np.float32)) if with_excess else None
        self._take(member, panel, x, y, train, valid, excess)
        self._optimizer = None
        shapes = [
            tf.TensorSpec((self.batch, self.burn_in + self.labels), tf.int32),
            tf.TensorSpec((self.batch, self.labels), tf.bool),
        ]
        self.gradients = tf.function(self._gradients, input_signature=[*shapes, tf.TensorSpec((), tf.int32)], autograph=False)
        self._valid_sums = tf.function(self._valid_sums_of, input_signature=shapes, autograph=False)

    def begin(
        self, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
        start: np.ndarray, excess: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Start anew with other data of the same shapes, as a new trainer would."""
        fresh = Network(self.spec, x.shape[1], start, self.spec.seed * 1_000 + member, len(panel.symbols))
        self.network.begin(fresh)
        self._seed.assign(fresh.seed)
        self._take(member, panel, x, y, train, valid, excess)

    def let_go(self) -> None:
        """Forget the data; the compiled steps stay."""
        self.panel = self.any_train = self.any_valid = None
        for table in (self._inputs, self._outcomes, self._train_labels, self._valid_labels, self._who, self._excess):
            if table is None:
                continue
            table.fill(np.zeros((0, table.width), np.float32))

    def _take(
        self, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
        excess: np.ndarray | None,
    ) -> None:  # fmt: skip
        self.member, self.panel = member, panel
        _, self.updates = _batches(self.spec, panel, train)
        self.any_train, self.any_valid = train.any(axis=1), valid.any(axis=1)
        self.per_epoch = -(-len(self._sequences(self.any_train)) // self.batch)
        self.draw = np.random.default_rng([self.spec.seed, member])
        if self._who is not None:
            self._who.fill((panel.symbol_index[:, None] + 1).astype(np.float32))
        self._inputs.fill(x)
        self._outcomes.fill(np.nan_to_num(np.clip(y, -10, 10), nan=0.0).astype(np.float32))
        if self._excess is not None:
            self._excess.fill(excess)
        self._train_labels.fill(train.astype(np.float32))
        self._valid_labels.fill(valid.astype(np.float32))

    def _forward(self, rows, mask, weights, seed):
        """Sum of the weighted losses and sum of the weights of some sequences."""
        import tensorflow as tf

        who = None if self._who is None else tf.cast(tf.reduce_max(self._who(rows)[..., 0], axis=1), tf.int32)  # [b]
        given = self._inputs(rows)  # [b, T, F]
        raw = self.network.raw(given, self.labels, seed, who)  # [b, K, H, 2 + Q] or [b, K, H]
        last = rows[:, -self.labels :]
        weight = weights(last) * tf.cast(mask, tf.float32)[..., None]  # [b, K, H]
        loss = loss_values(self.spec, self.network.answer(raw, given[:, -self.labels :]), self._outcomes(last))
        if self._excess is not None and seed is not None:
            # The shift shall also fit what the outcome was beyond the market's: that part repeats over some hundred symbols
            # a session, while the market's own moves, some 5,000 of them, teach little but themselves.
            loss += self.spec.excess_weight * 0.5 * tf.abs(self._excess(last) - raw[..., 1])
        return tf.reduce_sum(loss * weight), tf.reduce_sum(weight)

    def _gradients(self, rows, mask, step):
        """Clipped gradients of the mean loss of a batch, and that loss; each tower is a computation of its own."""
        import tensorflow as tf

        parts, losses, counts = [], [], []
        for tower, mine in enumerate(self._parts()):
            seed = tf.stack([self._seed * TOWERS + tower, step * 1000])
            with tf.GradientTape() as tape:
                loss, count = self._forward(rows[mine], mask[mine], self._train_labels, seed)
            parts.append(tape.gradient(loss, self.network.trainable))
            losses.append(loss)
            counts.append(count)
        total = tf.maximum(tf.add_n(counts), 1.0)
        gradients = [tf.add_n(list(pair)) / total for pair in zip(*parts, strict=True)]
        gradients, _ = tf.clip_by_global_norm(gradients, self.spec.gradient_norm)
        return gradients, tf.add_n(losses) / total

    def _valid_sums_of(self, rows, mask):
        import tensorflow as tf

        sums = [self._forward(rows[mine], mask[mine], self._valid_labels, None) for mine in self._parts()]
        return tf.add_n([loss for loss, _ in sums]), tf.add_n([count for _, count in sums])

    def _parts(self) -> list[slice]:
        """The sequences of a batch that each tower reads."""
        return [slice(tower * self.part, (tower + 1) * self.part) for tower in range(self.towers)]

    def _sequences(self, labelled: np.ndarray, offset: int = 0) -> Sequences:
        return training_sequences(self.panel, labelled, self.burn_in, self.labels, offset)

    def batches(self, labelled: np.ndarray, offset: int = 0, shuffle: bool = False) -> Iterator[tuple]:
        """Rows int32 [batch, T] and loss mask bool [batch, K] of all sequences that hold a label; the last batch is padded."""
        import tensorflow as tf

        cut = self._sequences(labelled, offset)
        order = self.draw.permutation(len(cut)) if shuffle else np.arange(len(cut))
        for i in range(0, len(order), self.batch):
            rows, mask = cut.take(order[i : i + self.batch])
            yield tf.constant(padded(rows, self.batch, -1)), tf.constant(padded(mask, self.batch, False))

    def valid_loss(self) -> float:
        """Mean loss of the validation labels; NaN where there are none."""
        sums = np.array([[float(part) for part in self._valid_sums(*batch)] for batch in self.batches(self.any_valid)])
        return float(sums[:, 0].sum() / sums[:, 1].sum()) if len(sums) and sums[:, 1].sum() else float("nan")

    def run(self, progress: Progress | None = None, looked: Looked | None = None) -> History:
        """Train to the end or until validation stops getting better; the network then has its best weights.

        ``looked`` is told each look at the validation span, 0 is before the first update.
        """
        import tensorflow as tf

        apply = self._fresh_optimizer()
        look_every = max(1, self.updates // _LOOKS)
        best, best_weights = self.valid_loss(), self.network.get_weights()
        looks, running, done, since, kept = [(0, float("nan"), best)], [], 0, 0, 0
        if looked:
            looked(self.member, 0, best)
        while done < self.updates and since < self.spec.patience:
            offset = int(self.draw.integers(self.labels)) if self.labels > 1 else 0
            for rows, mask in self.batches(self.any_train, offset, shuffle=True):
                gradients, loss = self.gradients(rows, mask, tf.constant(done, tf.int32))
                apply(gradients, self.spec.learning_rate * 0.5 * (1 + np.cos(np.pi * done / self.updates)))
                running.append(loss)
                done += 1
                if progress:
                    progress(f"training {self.member + 1}/{self.spec.members}", done, self.updates)
                if done % look_every == 0 or done == self.updates:
                    now = self.valid_loss()
                    looks.append((done, float(np.mean([float(value) for value in running])), now))
                    running, since = [], since + 1
                    if looked:
                        looked(self.member, len(looks) - 1, now)
                    if now < best or np.isnan(best) and np.isfinite(now):
                        best, best_weights, kept, since = now, self.network.get_weights(), len(looks) - 1, 0
                if done >= self.updates or since >= self.spec.patience:
                    break
        if np.isfinite(best):  # without a validation label the last weights stand
            self.network.set_weights(best_weights)
        return History(*zip(*looks, strict=True), kept)

    def _fresh_optimizer(self) -> Callable:
        """A function that applies gradients at a learning rate, with an optimizer that has seen none yet."""
        import tensorflow as tf

        if self._optimizer is None:
            optimizer, variables = _make_optimizer(self.spec), self.network.trainable_variables
            optimizer.build(variables)
            apply = tf.function(
                lambda gradients: optimizer.apply_gradients(zip(gradients, variables, strict=True)), autograph=False
            )
            self._optimizer = optimizer, [np.array(v) for v in optimizer.variables], apply
        optimizer, at_first, apply = self._optimizer
        for variable, value in zip(optimizer.variables, at_first, strict=True):
            variable.assign(value)

        def step(gradients: list, rate: float) -> None:
            optimizer.learning_rate = rate  # a variable: no length of training asks for a compilation of its own
            apply(gradients)

        return step
