"""Who takes part in `training.py`: each in a process of its own, with the threads that its users get.

A contender trains in turns of some seconds (`keep_training`), or to an end (`to_loss`, `whole`). All read the same market;
a prediction is one labelled session of one symbol, all horizons at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.measuring import Requests

JUDGED = 20_000  # validation windows that say how good a training is
BUDGETS = (1, 2, 4)  # epochs of ours that are tried, shortest first, until the loss of the windowed training is reached


class Stop(Exception):
    """Raised out of a training that has served its purpose; carries the request that is to be answered next."""


@dataclass
class Turns:
    """Lets a training run for a turn and hold still in between: call it after each update."""

    requests: Requests
    predictions: float  # an update
    seconds: float = 0.0
    began: float = 0.0
    spent: float = 0.0  # processor time of all threads when the turn began
    updates: int = 0

    def __call__(self) -> None:
        now = time.perf_counter()
        self.updates += 1
        if now - self.began < self.seconds:
            return
        done = {"seconds": now - self.began, "cpu": time.process_time() - self.spent}
        self.requests.answer(**done, updates=self.updates, predictions=self.updates * self.predictions)
        request = self.requests.next()
        if request is None or request["do"] != "turn":
            raise Stop(request)
        self.seconds, self.updates = request["seconds"], 0
        self.began, self.spent = time.perf_counter(), time.process_time()


def serve(settings: dict) -> None:
    """Answer 'turn' (train for some seconds) and whatever else a contender can do, until there are no more requests."""
    from benchmarks.peers import NeuralForecast, Torch

    requests = Requests()
    contender = {"ours": Ours, "keras": Keras, "torch": Torch, "neuralforecast": NeuralForecast}[settings["who"]](settings)
    requests.answer(ready=True)
    request = requests.next()
    while request is not None:
        if request["do"] == "turn":
            try:
                contender.keep_training(requests)
            except Stop as stop:
                (request,) = stop.args
        else:
            requests.answer(**getattr(contender, request["do"])(**request.get("with", {})))
            request = requests.next()


class Contender:
    """``settings``: who, spec (a name), labels (of a sequence; 1: windows), batch, and the size of the market."""

    def __init__(self, settings: dict) -> None:
        from benchmarks.opponents import SPECS, Material

        spec = SPECS[settings["spec"]]
        self.batch, self.most = settings["batch"] or spec.batch_size, settings["most"]
        labels = spec.labels_per_sequence if settings["labels"] is None else settings["labels"]
        self.spec = spec.model_copy(update={"batch_size": self.batch, "labels_per_sequence": labels})
        self.prepare()
        self.material = Material.of(self.spec, settings["symbols"], settings["train"], settings["valid"])

    def prepare(self) -> None:
        """What must be set before the library is used."""

    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        rows = self.material.rows("valid", JUDGED)
        return rows, self.material.y[rows]


class Ours(Contender):
    def prepare(self) -> None:
        from forecasting.lstm.engine import configure_tensorflow

        configure_tensorflow()

    def trainer(self, **changes: object):
        from forecasting.lstm.training import Trainer

        m, spec = self.material, self.spec.model_copy(update=changes)
        return Trainer(spec, 0, m.panel, m.x, m.y, m.train, m.valid, m.reference)

    def keep_training(self, requests: Requests) -> None:
        trainer = self.trainer(epochs=1000, patience=1000)
        trainer.any_valid = np.zeros_like(trainer.any_valid)  # only training is timed
        turns = Turns(requests, trainer.any_train.sum() / trainer.per_epoch)
        trainer.run(lambda *_: turns())

    def to_loss(self, target: float) -> dict:
        """Seconds of training until the loss on 60-session windows is ``target``; tracing included, judging not.

        Also the seconds and the loss of the longest training that was tried, at its end and its best look.
        """
        from benchmarks.opponents import pinball_loss
        from forecasting.lstm.inference import Forecasting

        rows, y = self.judged()
        found: dict = {"seconds": None}
        for epochs in BUDGETS:
            began = time.perf_counter()
            trainer = self.trainer(epochs=epochs, min_updates=1, patience=1000)
            judge, looks, judging = Forecasting(trainer.network, self.material.x.shape[1]), [], 0.0

            def look() -> float:
                nonlocal judging
                start = time.perf_counter()
                loss = pinball_loss(self.spec, judge(self.material.panel, self.material.x, rows), y)  # noqa: B023
                looks.append((start - began - judging, loss))  # noqa: B023
                judging += time.perf_counter() - start
                return loss

            trainer.valid_loss = look
            trainer.run()
            reached = [seconds for seconds, loss in looks[1:] if loss <= target]
            found |= {"epochs": epochs, "whole": looks[-1][0], "best": min(loss for _, loss in looks)}
            if reached:
                return found | {"seconds": reached[0]}
        return found

    def whole(self, epochs: int) -> dict:
        """Seconds of a training of ``epochs``, tracing included, and the loss of the last weights."""
        from benchmarks.opponents import pinball_loss
        from forecasting.lstm.inference import Forecasting

        began = time.perf_counter()
        trainer = self.trainer(epochs=epochs, min_updates=1)
        trainer.any_valid = np.zeros_like(trainer.any_valid)  # no look, the last weights stand
        trainer.run()
        seconds = time.perf_counter() - began
        rows, y = self.judged()
        answer = Forecasting(trainer.network, self.material.x.shape[1])(self.material.panel, self.material.x, rows)
        return {"seconds": seconds, "loss": pinball_loss(self.spec, answer, y)}

    def gradients(self) -> dict:
        """Relative difference of our gradients from those of the plain Keras model, for windows and for sequences."""
        return {name: self._gradient_error(labels) for name, labels in (("windows", 1), ("sequences", 40))}

    def _gradient_error(self, labels: int) -> float:
        import tensorflow as tf

        from benchmarks.opponents import keras_loss, keras_model

        trainer = self.trainer(labels_per_sequence=labels, dropout=0.0, gradient_norm=1e9, batch_size=32)
        m = self.material
        model = keras_model(trainer.spec, m.x.shape[1], m.reference, labels)
        draw = np.random.default_rng(3)  # the output layer begins at zero, which would hide most of the gradient
        weights = [w + 0.05 * draw.standard_normal(w.shape).astype(np.float32) for w in trainer.network.get_weights()]
        trainer.network.set_weights(weights)
        model.set_weights(weights)
        rows, mask = next(iter(trainer.batches(trainer.any_train)))
        whole = mask.numpy().all(axis=1)  # sequences that are labelled throughout, so that the plain mean is the loss
        chosen = np.flatnonzero(whole)[np.arange(trainer.batch) % whole.sum()]
        rows, mask = rows.numpy()[chosen], mask.numpy()[chosen]
        ours, _ = trainer.gradients(tf.constant(rows), tf.constant(mask), tf.constant(0))
        x, y = tf.constant(m.padded[rows + 1]), tf.constant(m.y[rows[:, -labels:]])
        with tf.GradientTape() as tape:
            loss = keras_loss(trainer.spec)(y, model(x, training=False))
        theirs = tape.gradient(loss, model.trainable_variables)
        a, b = (np.concatenate([np.asarray(g).ravel() for g in gradients]) for gradients in (ours, theirs))
        return float(np.linalg.norm(a - b) / np.linalg.norm(b))


class Keras(Contender):
    """Windows copied out one by one, and ``fit``."""

    def compiled(self, updates: int):
        import keras

        from benchmarks.opponents import keras_loss, keras_model

        keras.utils.set_random_seed(7)
        model = keras_model(self.spec, self.material.x.shape[1], self.material.reference)
        rate = keras.optimizers.schedules.CosineDecay(self.spec.learning_rate, decay_steps=updates)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=self.spec.weight_decay, global_clipnorm=self.spec.gradient_norm)
        model.compile(optimizer, keras_loss(self.spec))
        return model

    def data(self, most: int | None) -> tuple[np.ndarray, np.ndarray]:
        rows = self.material.rows("train", most)
        return self.material.windows(rows, self.spec.lookback), self.material.y[rows][:, None]

    def keep_training(self, requests: Requests) -> None:
        import keras

        x, y = self.data(self.most)
        turns = Turns(requests, min(self.batch, len(x)))
        after = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: turns())
        self.compiled(100_000).fit(x, y, batch_size=self.batch, epochs=10_000, verbose=0, callbacks=[after])

    def whole(self, epochs: int) -> dict:
        """Seconds of ``epochs`` over all windows, tracing included, and the loss that they end with."""
        from benchmarks.opponents import pinball_loss

        x, y = self.data(None)
        model = self.compiled(epochs * -(-len(x) // self.batch))
        began = time.perf_counter()
        model.fit(x, y, batch_size=self.batch, epochs=epochs, verbose=0)
        seconds = time.perf_counter() - began
        rows, outcome = self.judged()
        answer = model.predict(self.material.windows(rows, self.spec.lookback), batch_size=1024, verbose=0)[:, 0]
        return {"seconds": seconds, "loss": pinball_loss(self.spec, answer, outcome)}

    def peak(self, size: int) -> dict:
        """FLOP/s of TensorFlow's product of two square matrices with all threads: what could be reached at most."""
        import tensorflow as tf

        a, times = tf.random.normal((size, size)), []
        for _ in range(6):
            began = time.perf_counter()
            (a @ a)[0, 0].numpy()
            times.append(time.perf_counter() - began)
        return {"flops": 2 * size**3 / min(times)}
