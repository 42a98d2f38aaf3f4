"""Training and forecasting with one network: a loss at every session, two towers, the best validation loss kept.

The scaled panel lies on the device once, as a 2-D block; sequences are gathered from it by index inside the step. Each
batch is trained as two halves ("towers") whose gradients are added: the gradient of the whole batch, computed on two
cores without a barrier at every small operation (docs/decisions/0003-training-path.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from forecasting.lstm.network import TOWERS, LstmSpec, Network, configure_tensorflow, loss_values
from forecasting.panel import Panel
from forecasting.sequences import Sequences, training_sequences, windows

Progress = Callable[[str, int, int], None]  # stage, done, of how many
_SMALLEST_HALF = 4
_UPDATES_AN_EPOCH = 8
_LOOKS = 10  # at the validation span, in a training that goes to its end
FORECAST_BATCH = 512  # every forecast is made in a batch of exactly this shape, so that company changes no bit


@dataclass(frozen=True)
class History:
    """One row a validation look: updates made, mean training loss since the last look, validation loss, learning rate."""

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


def _padded(array: np.ndarray, multiple: int, value: object) -> np.ndarray:
    missing = -len(array) % multiple
    return array if not missing else np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])


def make_gather(block: np.ndarray):
    """A function from row indices (-1: zeros) to the rows of ``block`` (float32 [R, F]), on the device."""
    import tensorflow as tf

    table = tf.constant(np.concatenate([np.zeros((1, block.shape[1]), np.float32), block]))  # row -1 is row 0 of the table
    return lambda rows: tf.gather(table, rows + 1)


def _make_optimizer(spec: LstmSpec, updates: int):
    import keras

    rate = keras.optimizers.schedules.CosineDecay(spec.learning_rate, decay_steps=updates)
    if spec.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay)
    return {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}[spec.optimizer](
        rate
    )


def train_member(
    spec: LstmSpec, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
    reference: np.ndarray, progress: Progress | None = None,
) -> tuple[Network, History]:  # fmt: skip
    """Train one network of the ensemble; see ``Trainer`` for the arguments."""
    trainer = Trainer(spec, member, panel, x, y, train, valid, reference)
    return trainer.network, trainer.run(progress)


class Trainer:
    """Trains one network.

    ``x`` float32 [R, F] scaled inputs; ``y`` float32 [R, H] outcomes in the units of the answer; ``train`` and ``valid``
    bool [R, H] say which labels may be learnt from and which choose the weights that are kept; ``reference`` [H, Q].
    The labels of the test span are not among the arguments: nothing here could look at them.
    """

    def __init__(
        self, spec: LstmSpec, member: int, panel: Panel, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray,
        reference: np.ndarray,
    ) -> None:  # fmt: skip
        configure_tensorflow()
        import tensorflow as tf

        self.spec, self.member, self.panel = spec, member, panel
        self.burn_in, self.labels = spec.lookback - 1, spec.labels_per_sequence
        self.any_train, self.any_valid = train.any(axis=1), valid.any(axis=1)
        count = len(self._sequences(self.any_train))
        if not count:
            raise ValueError("no training sequence: the training span is shorter than the lookback")
        # Few sequences are read in smaller batches: an epoch of one or two updates teaches nothing.
        self.half = max(_SMALLEST_HALF, min(spec.batch_size // TOWERS, -(-count // (_UPDATES_AN_EPOCH * TOWERS))))
        self.batch = self.half * TOWERS
        self.per_epoch = -(-count // self.batch)
        self.updates = max(spec.epochs * self.per_epoch, spec.min_updates)
        self.draw = np.random.default_rng([spec.seed, member])
        self.network = Network(spec, x.shape[1], reference, seed=spec.seed * 1_000 + member)
        self._inputs = make_gather(x)
        self._outcomes = make_gather(np.nan_to_num(np.clip(y, -10, 10), nan=0.0).astype(np.float32))
        self._train_labels, self._valid_labels = make_gather(train.astype(np.float32)), make_gather(valid.astype(np.float32))
        shapes = [
            tf.TensorSpec((self.batch, self.burn_in + self.labels), tf.int32),
            tf.TensorSpec((self.batch, self.labels), tf.bool),
        ]
        self.gradients = tf.function(self._gradients, input_signature=[*shapes, tf.TensorSpec((), tf.int32)], autograph=False)
        self._valid_sums = tf.function(self._valid_sums_of, input_signature=shapes, autograph=False)

    def _forward(self, rows, mask, weights, seed):
        """Sum of the weighted losses and sum of the weights of some sequences."""
        import tensorflow as tf

        answer = self.network(self._inputs(rows), self.labels, seed)  # [b, K, H, Q] or [b, K, H]
        last = rows[:, -self.labels :]
        weight = weights(last) * tf.cast(mask, tf.float32)[..., None]  # [b, K, H]
        return tf.reduce_sum(loss_values(self.spec, answer, self._outcomes(last)) * weight), tf.reduce_sum(weight)

    def _gradients(self, rows, mask, step):
        """Clipped gradients of the mean loss of a batch, and that loss; each half is a computation of its own."""
        import tensorflow as tf

        parts, losses, counts = [], [], []
        for tower in range(TOWERS):
            mine = slice(tower * self.half, (tower + 1) * self.half)
            seed = tf.stack([self.network.seed * TOWERS + tower, step * 1000])
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

        halves = [slice(tower * self.half, (tower + 1) * self.half) for tower in range(TOWERS)]
        sums = [self._forward(rows[mine], mask[mine], self._valid_labels, None) for mine in halves]
        return tf.add_n([loss for loss, _ in sums]), tf.add_n([count for _, count in sums])

    def _sequences(self, labelled: np.ndarray, offset: int = 0) -> Sequences:
        return training_sequences(self.panel, labelled, self.burn_in, self.labels, offset)

    def batches(self, labelled: np.ndarray, offset: int = 0, shuffle: bool = False) -> Iterator[tuple]:
        """Rows int32 [batch, T] and loss mask bool [batch, K] of all sequences that hold a label; the last batch is padded."""
        import tensorflow as tf

        cut = self._sequences(labelled, offset)
        order = self.draw.permutation(len(cut)) if shuffle else np.arange(len(cut))
        for i in range(0, len(order), self.batch):
            rows, mask = cut.take(order[i : i + self.batch])
            yield tf.constant(_padded(rows, self.batch, -1)), tf.constant(_padded(mask, self.batch, False))

    def valid_loss(self) -> float:
        """Mean loss of the validation labels; NaN where there are none."""
        sums = np.array([[float(part) for part in self._valid_sums(*batch)] for batch in self.batches(self.any_valid)])
        return float(sums[:, 0].sum() / sums[:, 1].sum()) if len(sums) and sums[:, 1].sum() else float("nan")

    def run(self, progress: Progress | None = None) -> History:
        """Train to the end or until validation stops getting better; the network then has its best weights."""
        import tensorflow as tf

        optimizer = _make_optimizer(self.spec, self.updates)
        variables = self.network.trainable_variables
        optimizer.build(variables)
        apply = tf.function(
            lambda gradients: optimizer.apply_gradients(zip(gradients, variables, strict=True)), autograph=False
        )
        look_every = max(1, self.updates // _LOOKS)
        best, best_weights = self.valid_loss(), self.network.get_weights()
        looks, running, done, since, kept = [(0, float("nan"), best)], [], 0, 0, 0
        while done < self.updates and since < self.spec.patience:
            offset = int(self.draw.integers(self.labels)) if self.labels > 1 else 0
            for rows, mask in self.batches(self.any_train, offset, shuffle=True):
                gradients, loss = self.gradients(rows, mask, tf.constant(done, tf.int32))
                apply(gradients)
                running.append(loss)
                done += 1
                if progress:
                    progress(f"training {self.member + 1}/{self.spec.members}", done, self.updates)
                if done % look_every == 0 or done == self.updates:
                    now = self.valid_loss()
                    looks.append((done, float(np.mean([float(value) for value in running])), now))
                    running, since = [], since + 1
                    if now < best or np.isnan(best) and np.isfinite(now):
                        best, best_weights, kept, since = now, self.network.get_weights(), len(looks) - 1, 0
                if done >= self.updates or since >= self.spec.patience:
                    break
        if np.isfinite(best):  # without a validation label the last weights stand
            self.network.set_weights(best_weights)
        return History(*zip(*looks, strict=True), kept)


class Forecasting:
    """Forecasts of one network from the last ``lookback`` sessions, in one fixed batch shape, compiled once."""

    def __init__(self, network: Network, n_features: int) -> None:
        configure_tensorflow()
        import tensorflow as tf

        self.lookback, self.width = network.spec.lookback, n_features

        @tf.function(
            jit_compile=True,
            autograph=False,
            input_signature=[tf.TensorSpec((FORECAST_BATCH, self.lookback, n_features), tf.float32)],
        )
        def run(x):
            return network(x, labels=1)[:, 0]

        self._run = run

    def __call__(self, panel: Panel, x: np.ndarray, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """The network's answers for ``rows`` (int [N]) of the scaled block ``x`` (float32 [R, F]): float32 [N, H(, Q)].

        Batches run on two threads; each is a computation of its own, so the order cannot change a bit.
        """
        padded = np.concatenate([np.zeros((1, self.width), np.float32), x])
        starts = range(0, len(rows), FORECAST_BATCH)

        def one(begin: int) -> np.ndarray:
            mine = rows[begin : begin + FORECAST_BATCH]
            index = _padded(windows(panel, mine, self.lookback), FORECAST_BATCH, -1)
            return self._run(padded[index + 1]).numpy()[: len(mine)]

        parts = []
        with ThreadPoolExecutor(TOWERS) as pool:
            for done, part in enumerate(pool.map(one, starts)):
                parts.append(part)
                if progress:
                    progress("forecasting", done + 1, len(starts))
        return (
            np.concatenate(parts)
            if parts
            else self._run(np.zeros((FORECAST_BATCH, self.lookback, self.width), np.float32)).numpy()[:0]
        )
