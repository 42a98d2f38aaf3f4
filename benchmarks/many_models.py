"""How fast are small models: one ticker's, and one for each of fifty?

A network of one symbol's own windows - LSTM 64, dropout, LSTM 32, ten epochs in batches of 64 - against plain Keras ``fit``
and, where torch is installed, an eager PyTorch loop: building, tracing and ten epochs. Then fifty of them as the product
trains `per_symbol` models, one process a core, against Keras one after the other (measured on a few, times fifty). Beside
each its validation loss; "sequences" is the same network with a loss at every session.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from contextlib import ExitStack
from statistics import mean, median

from benchmarks.measuring import Helper, Report, Requests, helper_settings, options

#: symbols, training sessions, validation sessions, epochs, models that stand for all of Keras', rounds
SIZE = {
    "small": dict(symbols=4, train=200, valid=60, epochs=1, few=1, rounds=1),
    "full": dict(symbols=50, train=2500, valid=250, epochs=10, few=3, rounds=3),
}
NETWORK = dict(
    features=("ret", "abs_ret", "range", "vol_level", "volume_surprise"), units=(64, 32), stem_units=0, head_units=0,
    skip=False, dropout=0.2, members=1, patience=1000, excess_weight=0.0, start="reference", weight_decay=0.0,
    optimizer="adam", min_updates=1,
)  # fmt: skip
WINDOWS, SEQUENCES, KERAS, TORCH = "ours, windows", "ours, sequences", "Keras fit", "PyTorch eager"
FORMS = {"windows": dict(labels_per_sequence=1, batch_size=64), "sequences": dict(labels_per_sequence=61, batch_size=8)}


def spec_of(form: str, epochs: int):
    from forecasting.lstm import LstmSpec

    # A sequence brings 61 labels at once: as many updates as windows need would read the market 30 times as often.
    updates = {"min_updates": 15 * epochs} if form == "sequences" else {}
    return LstmSpec(**NETWORK | FORMS[form] | updates, epochs=epochs)


# The helper: one contender in a process of its own --------------------------------------------------------------------


def serve(settings: dict) -> None:
    """Train the model of one symbol after the other, or all at once, and say how long it took and how good they are."""
    from benchmarks.opponents import Material

    requests = Requests()
    if settings["who"] == "ours":
        from forecasting.lstm.engine import configure_tensorflow

        configure_tensorflow()
    spec = spec_of(settings["form"], settings["epochs"])
    material = Material.of(spec, settings["symbols"], settings["train"], settings["valid"])
    train = {"ours": one_of_ours, "keras": one_of_keras, "torch": one_of_torch}[settings["who"]]
    requests.answer(ready=True)
    while (request := requests.next()) is not None:
        began, spent = time.perf_counter(), time.process_time()
        found = all_of_ours(material, spec) if request["symbol"] is None else train(material.only(request["symbol"]), spec)
        requests.answer(seconds=time.perf_counter() - began, cpu=time.process_time() - spent, losses=found)


def one_of_ours(material, spec) -> list[float]:
    """A training as of a universe of one symbol; compiled anew, as in a process of its own."""
    from forecasting.lstm.training import Trainer

    m = material
    history = Trainer(spec, 0, m.panel, m.x, m.y, m.train, m.valid, m.reference).run()
    return [min(history.valid_loss)]


def all_of_ours(material, spec) -> list[float]:
    """Every symbol's own network, as the product trains them; processes and their start included."""
    from forecasting.lstm.ensemble import Lesson, train_networks
    from tasks.settings_running import Running
    from tasks.spreading import spread

    m, own = material, spec.model_copy(update={"per_symbol": True})
    _, histories = train_networks(
        Lesson(own, None, m.panel, m.x, m.y, m.train, m.valid, (m.reference,)), spread=spread(Running())
    )
    return [min(history["valid_loss"]) for history in histories]


def one_of_keras(material, spec) -> list[float]:
    import keras

    from benchmarks.opponents import keras_loss, keras_model

    (x, y), valid = ((material.windows(rows, spec.lookback), material.y[rows][:, None]) for rows in
                     (material.rows("train"), material.rows("valid")))  # fmt: skip
    keras.utils.set_random_seed(7)
    model = keras_model(spec, x.shape[-1], material.reference)
    rate = keras.optimizers.schedules.CosineDecay(spec.learning_rate, decay_steps=spec.epochs * -(-len(x) // spec.batch_size))
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=spec.gradient_norm), keras_loss(spec))
    told = model.fit(x, y, batch_size=spec.batch_size, epochs=spec.epochs, verbose=0, validation_data=valid)
    return [min(told.history["val_loss"])]


def one_of_torch(material, spec) -> list[float]:
    import torch

    from benchmarks.opponents import torch_loss, torch_module

    torch.manual_seed(7)
    (x, y), (valid_x, valid_y) = (
        [torch.from_numpy(part) for part in (material.windows(rows, spec.lookback), material.y[rows][:, None])]
        for rows in (material.rows("train"), material.rows("valid"))
    )
    module, loss_of, losses = torch_module(spec, x.shape[-1], material.reference), torch_loss(spec), []
    optimizer = torch.optim.Adam(module.parameters(), lr=spec.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, spec.epochs * -(-len(x) // spec.batch_size))
    for _ in range(spec.epochs):
        module.train()
        for mine in torch.randperm(len(x)).split(spec.batch_size):
            optimizer.zero_grad()
            loss_of(y[mine], module(x[mine])).mean().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), spec.gradient_norm)
            optimizer.step()
            schedule.step()
        module.eval()
        with torch.no_grad():
            losses.append(float(loss_of(valid_y, module(valid_x)).mean()))
    return [min(losses)]


# The script ------------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> Report:
    settings = helper_settings(arguments)
    if settings is not None:
        serve(settings)
        sys.exit(0)
    chosen = options(__doc__, arguments)
    size, report = SIZE[chosen.size], Report("many_models", chosen.size)
    names = {WINDOWS: ("ours", "windows"), SEQUENCES: ("ours", "sequences"), KERAS: ("keras", "windows")}
    if importlib.util.find_spec("torch"):
        names[TORCH] = ("torch", "windows")
    else:
        report.notes.append("torch is not installed, so PyTorch was skipped (it is no dependency of ours)")
    took: dict[str, list[float]] = {name: [] for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}  # processor time of all threads
    losses: dict[str, list[float]] = {name: [] for name in names}
    rounds = chosen.repeats or size["rounds"]
    with ExitStack() as stack:
        helpers = {name: stack.enter_context(Helper("benchmarks.many_models", {"who": who, "form": form, **size}))
                   for name, (who, form) in names.items()}  # fmt: skip
        for helper in helpers.values():
            helper.answer()  # ready
        for symbol in range(max(rounds, size["few"])):
            for name, helper in helpers.items():
                got = helper.ask(symbol=symbol)
                took[name].append(got["seconds"])
                spent[name].append(got["cpu"])
                losses[name] += got["losses"]
        together = {name: helpers[name].ask(symbol=None) for name in (WINDOWS, SEQUENCES)}
    one = {name: median(seconds) for name, seconds in took.items()}
    section = f"one ticker: build, trace, {size['epochs']} epochs; mean of the best validation losses of {len(took[KERAS])}"
    for name in names:
        ratio = None if name == WINDOWS else one[name] / one[WINDOWS]
        processor = median(spent[name]) / median(spent[WINDOWS])
        slower = f"the time of ours on windows ({processor:.3g}x the processor time)" if ratio else ""
        report.add(section, name, one[name], f"loss {mean(losses[name]):.5f}", ratio, slower)
    report.at_least("one ticker, windows, over Keras fit", one[KERAS] / one[WINDOWS], 1.9)
    report.at_least("one ticker, sequences, over Keras fit", one[KERAS] / one[SEQUENCES], 5)
    report.at_least("one ticker, windows, over PyTorch eager", _over(one, TORCH, WINDOWS), 1)
    report.at_least("one ticker, sequences, over PyTorch eager", _over(one, TORCH, SEQUENCES), 2.5)

    keras = mean(took[KERAS]) * size["symbols"]
    section = f"{size['symbols']} models, one a ticker"
    case = f"{KERAS}, one after the other ({len(took[KERAS])} measured)"
    report.add(section, case, keras, f"loss {mean(losses[KERAS]):.5f}")
    for name, bar in ((WINDOWS, 3), (SEQUENCES, 10)):
        got = together[name]
        amount = f"loss {mean(got['losses'][: len(losses[KERAS])]):.5f} of the same, {mean(got['losses']):.5f} of all"
        report.add(section, f"{name}, one process a core", got["seconds"], amount, keras / got["seconds"], "faster")
        report.at_least(f"{size['symbols']} models, {name}, over Keras fit one by one", keras / got["seconds"], bar)
    report.show(chosen.json)
    return report


def _over(one: dict[str, float], other: str, ours: str) -> float | None:
    return one[other] / one[ours] if other in one else None


if __name__ == "__main__":
    main()
