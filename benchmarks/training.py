"""How fast is training, against the way it is usually written?

Ours (a loss at every session, two towers, sequences gathered on the device) against plain Keras ``fit`` on 60-session
windows copied out one by one - same data, layers, heads and loss - and against an eager PyTorch loop where torch is
installed. A prediction is one labelled session of one symbol, all horizons at once. Each contender runs in a process of
its own with the threads that its users get; they take turns of some seconds.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.measuring import Helper, Report, Requests, count_text, helper_settings, options

#: symbols, training sessions, validation sessions, windows copied out for the speed measurements, seconds a turn, rounds
SIZE = {
    "small": dict(symbols=4, train=260, valid=80, most=400, turn=0.3, rounds=2),
    "full": dict(symbols=500, train=1260, valid=250, most=60_000, turn=5.0, rounds=5),
}
KERAS_BATCHES = (1024, 32)  # a good one for a CPU, and the one that Keras takes when nobody says otherwise
OURS, WINDOWED = "ours", "Keras fit, windows, batch {}"
JUDGED = 20_000  # validation windows that say how good a training is
BUDGETS = (1, 2, 4, 8)  # epochs of ours that are tried, shortest first, until the loss of the windowed training is reached


# The helper: one contender in a process of its own --------------------------------------------------------------------


class Stop(Exception):
    """Raised out of a training that has served its purpose; carries the request that is to be answered next."""


@dataclass
class Turns:
    """Lets a training run for a turn and hold still in between: call it after each update."""

    requests: Requests
    predictions: float  # a update
    seconds: float = 0.0
    began: float = 0.0
    updates: int = 0

    def __call__(self) -> None:
        now = time.perf_counter()
        self.updates += 1
        if now - self.began < self.seconds:
            return
        elapsed = now - self.began
        self.requests.answer(updates=self.updates, seconds=elapsed, predictions=self.updates * self.predictions)
        request = self.requests.next()
        if request is None or request["do"] != "turn":
            raise Stop(request)
        self.seconds, self.updates, self.began = request["seconds"], 0, time.perf_counter()


def serve(settings: dict) -> None:
    """Answer 'turn' (train for some seconds), 'epoch', 'to_loss' and 'gradients' requests for one contender."""
    requests = Requests()
    contender = {"ours": Ours, "keras": Keras, "torch": Torch}[settings["who"]](settings)
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
    def __init__(self, settings: dict) -> None:
        from benchmarks.opponents import SPECS, Material

        self.spec, self.batch, self.most = SPECS[settings["spec"]], settings["batch"], settings["most"]
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
        predictions = sum(int(mask.numpy().sum()) for _, mask in trainer.batches(trainer.any_train))
        turns = Turns(requests, predictions / trainer.per_epoch)
        trainer.run(lambda *_: turns())

    def to_loss(self, target: float) -> dict:
        """Seconds of training until the loss on 60-session windows is ``target``; tracing included, judging not."""
        from benchmarks.opponents import pinball_loss
        from forecasting.lstm.inference import Forecasting

        rows, y = self.judged()
        tried = []
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
            tried.append({"epochs": epochs, "looks": looks})
            reached = [seconds for seconds, loss in looks[1:] if loss <= target]
            if reached:
                return {"seconds": reached[0], "best": min(loss for _, loss in looks), "tried": tried}
        return {"seconds": None, "best": min(loss for t in tried for _, loss in t["looks"]), "tried": tried}

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

    def epoch(self) -> dict:
        """One epoch over all windows: seconds (tracing included), and the loss it ends with."""
        from benchmarks.opponents import pinball_loss

        x, y = self.data(None)
        model = self.compiled(-(-len(x) // self.batch))
        began = time.perf_counter()
        model.fit(x, y, batch_size=self.batch, epochs=1, verbose=0)
        seconds = time.perf_counter() - began
        rows, outcome = self.judged()
        answer = model.predict(self.material.windows(rows, self.spec.lookback), batch_size=1024, verbose=0)[:, 0]
        return {"seconds": seconds, "loss": pinball_loss(self.spec, answer, outcome), "predictions": len(x)}


class Torch(Contender):
    def keep_training(self, requests: Requests) -> None:
        import torch

        from benchmarks.opponents import torch_loss, torch_module

        rows = self.material.rows("train", self.most)
        x = torch.from_numpy(self.material.windows(rows, self.spec.lookback))
        y = torch.from_numpy(self.material.y[rows])
        module, loss_of = torch_module(self.spec, x.shape[-1], self.material.reference), torch_loss(self.spec)
        optimizer = torch.optim.AdamW(module.parameters(), lr=self.spec.learning_rate, weight_decay=self.spec.weight_decay)
        turns = Turns(requests, min(self.batch, len(x)))
        while True:
            order = torch.randperm(len(x))
            for begin in range(0, len(x) - self.batch + 1, self.batch) if len(x) >= self.batch else [0]:
                mine = order[begin : begin + self.batch]
                optimizer.zero_grad()
                loss_of(y[mine], module(x[mine])).backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), self.spec.gradient_norm)
                optimizer.step()
                turns()


# The script: who takes part, in which order, and what is said about it -------------------------------------------------


@contextmanager
def helpers_for(contenders: dict[str, dict], spec: str, size: dict) -> Iterator[dict[str, Helper]]:
    """One process a contender; all set themselves up at once."""
    with ExitStack() as stack:
        helpers = {
            name: stack.enter_context(Helper("benchmarks.training", {**settings, "spec": spec, **size}))
            for name, settings in contenders.items()
        }
        for helper in helpers.values():
            helper.answer()  # ready
        yield helpers


def speeds(helpers: dict[str, Helper], turn: float, rounds: int) -> dict[str, list[float]]:
    """Predictions per second of each contender in each round."""
    for helper in helpers.values():
        helper.ask(do="turn")  # the first update traces; not counted
        helper.ask(do="turn", seconds=0.0)
    found: dict[str, list[float]] = {name: [] for name in helpers}
    for _ in range(rounds):
        for name, helper in helpers.items():
            got = helper.ask(do="turn", seconds=turn)
            found[name].append(got["predictions"] / got["seconds"])
    return found


def against(found: dict[str, list[float]], ours: str, other: str) -> float:
    return median(a / b for a, b in zip(found[ours], found[other], strict=True))


def times_to_loss(report: Report, ours: Helper, keras: Helper, batch: int) -> float | None:
    """Seconds of ours over those of one epoch of windowed training, to the loss that the latter ends with."""
    section = "time to the loss of one windowed epoch, network 'product'"
    epoch = keras.ask(do="epoch")
    got = ours.ask(do="to_loss", **{"with": {"target": epoch["loss"]}})
    amount = f"loss {epoch['loss']:.5f} on {count_text(epoch['predictions'])} windows"
    report.add(section, f"Keras fit, batch {batch}, one epoch", epoch["seconds"], amount)
    if got["seconds"] is None:
        report.add(section, "ours: not reached", None, f"best loss {got['best']:.5f}")
        return None
    ratio = epoch["seconds"] / got["seconds"]
    report.add(section, "ours, the same loss or less", got["seconds"], f"goes on to {got['best']:.5f}", ratio, "faster")
    return 1 / ratio


def main(arguments: list[str] | None = None) -> Report:
    settings = helper_settings(arguments)
    if settings is not None:
        serve(settings)
        sys.exit(0)
    chosen = options(__doc__, arguments)
    size, full = SIZE[chosen.size], chosen.size == "full"
    report = Report("training", chosen.size)
    contenders = {OURS: {"who": "ours", "batch": 0}}
    contenders |= {WINDOWED.format(b): {"who": "keras", "batch": b} for b in KERAS_BATCHES[: None if full else 1]}
    if importlib.util.find_spec("torch"):
        contenders["PyTorch nn.LSTM eager, windows, batch 1024"] = {"who": "torch", "batch": 1024}
    else:
        report.notes.append("torch is not installed, so PyTorch was skipped (it is no dependency of ours)")
    for spec in ("lstm64", "product") if full else ("product",):
        with helpers_for(contenders, spec, size) as helpers:
            found = speeds(helpers, size["turn"], chosen.repeats or size["rounds"])
            for name, rates in found.items():
                ratio = None if name == OURS else against(found, OURS, name)
                amount, slower = f"{count_text(median(rates))}/s", "the time of ours"
                report.add(f"predictions per second, network '{spec}'", name, None, amount, ratio, slower if ratio else "")
            goal = f"predictions/s over windowed Keras, network '{spec}'"
            report.at_least(goal, against(found, OURS, WINDOWED.format(KERAS_BATCHES[0])), 15)
            if spec != "product":
                continue
            errors = helpers[OURS].ask(do="gradients")
            shares = {
                batch: times_to_loss(report, helpers[OURS], helpers[WINDOWED.format(batch)], batch)
                for batch in KERAS_BATCHES
                if WINDOWED.format(batch) in helpers
            }
    for name, error in errors.items():
        report.add("gradient, difference from the plain Keras model's, relative", name, None, f"{error:.1e}")
    report.at_most("time to the loss of one windowed epoch, as a share of it", shares[KERAS_BATCHES[0]], 0.25)
    report.at_most("gradient difference, relative", max(errors.values()), 1e-5)
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
