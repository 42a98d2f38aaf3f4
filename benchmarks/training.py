"""How fast is training, against the way it is usually written?

Ours (a loss at every session, two towers, a compiled recurrence, sequences gathered on the device) against plain Keras
``fit`` on 60-session windows copied out one by one - same data, layers, heads and loss - and, where they are installed,
against eager PyTorch loops on windows and, by hand, on the same sequences, and against neuralforecast. A prediction is one
labelled session of one symbol, all horizons at once. Each contender runs in a process of its own with the threads that its
users get; they take turns of some seconds.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from benchmarks.contenders import serve
from benchmarks.measuring import Helper, Report, count_text, helper_settings, options

#: symbols, training sessions, validation sessions, windows copied out for the speed measurements, seconds a turn, rounds
SIZE = {
    "small": dict(symbols=4, train=260, valid=80, most=400, turn=0.3, rounds=2, peak=256),
    "full": dict(symbols=500, train=1260, valid=250, most=30_000, turn=3.0, rounds=4, peak=2048),
}
OURS, WINDOWS = "ours, sequences", "ours, windows, batch 1024"
KERAS, KERAS_SMALL = "Keras fit, windows, batch 1024", "Keras fit, windows, batch 32"  # a good batch, and Keras' own
TORCH, TORCH_BY_HAND = "PyTorch nn.LSTM eager, windows, batch 1024", "PyTorch by hand, sequences, batch {}"
PACKAGE, PACKAGE_RECURRENT = "neuralforecast fit", "neuralforecast fit, recurrent, h_train 61"


def contenders_for(spec: str, full: bool) -> dict[str, dict]:
    """Name -> who, labels of a sequence (None: the spec's) and batch (0: the spec's)."""
    found = {OURS: dict(who="ours", labels=None, batch=0), KERAS: dict(who="keras", labels=1, batch=1024)}
    by_hand = [64]
    if spec == "lstm64":
        found[WINDOWS] = dict(who="ours", labels=1, batch=1024)
        found[f"{OURS}, batch 256"] = dict(who="ours", labels=None, batch=256)
        by_hand.append(256)
    elif full:
        found[KERAS_SMALL] = dict(who="keras", labels=1, batch=32)
    if importlib.util.find_spec("torch"):
        found[TORCH] = dict(who="torch", labels=1, batch=1024)
        found |= {TORCH_BY_HAND.format(batch): dict(who="torch", labels=None, batch=batch) for batch in by_hand}
    if spec == "lstm64" and importlib.util.find_spec("neuralforecast"):
        found[PACKAGE] = dict(who="neuralforecast", labels=1, batch=0)
        found[PACKAGE_RECURRENT] = dict(who="neuralforecast", labels=61, batch=0)
    return found


@contextmanager
def helpers_for(contenders: dict[str, dict], spec: str, size: dict) -> Iterator[dict[str, Helper]]:
    """One process a contender; two at a time set themselves up."""
    with ExitStack() as stack:
        helpers: dict[str, Helper] = {}
        for name, settings in contenders.items():
            helpers[name] = stack.enter_context(Helper("benchmarks.training", {**settings, "spec": spec, **size}))
            if len(helpers) % 2 == 0 or len(helpers) == len(contenders):
                for helper in list(helpers.values())[-2 if len(helpers) % 2 == 0 else -1 :]:
                    helper.answer()  # ready
        yield helpers


Speeds = dict[str, list[float]]  # of each contender, in each round


def speeds(helpers: dict[str, Helper], turn: float, rounds: int) -> tuple[Speeds, Speeds]:
    """Predictions per second, and per second of processor time, which says more where others keep the cores busy."""
    for helper in helpers.values():
        helper.ask(do="turn")  # the first update traces; not counted
        helper.ask(do="turn", seconds=0.0)
    found: Speeds = {name: [] for name in helpers}
    alone: Speeds = {name: [] for name in helpers}
    for _ in range(rounds):
        for name, helper in helpers.items():
            got = helper.ask(do="turn", seconds=turn)
            found[name].append(got["predictions"] / got["seconds"])
            alone[name].append(got["predictions"] / max(got["cpu"], 1e-9))
    return found, alone


def against(found: Speeds, ours: str | None, other: str | None) -> float | None:
    """How many times as many predictions a second; None where one of the two is not there."""
    if ours not in found or other not in found:
        return None
    return median(a / b for a, b in zip(found[ours], found[other], strict=True))


def best_of(found: Speeds, name: str) -> str | None:
    """The fastest of the contenders whose names begin so."""
    return max((key for key in found if key.startswith(name)), key=lambda key: median(found[key]), default=None)


def speed_goals(report: Report, found: Speeds, alone: Speeds, spec: str) -> None:
    """The speeds, and the goals about them."""
    for name, rates in found.items():
        ratio, processor = (None if name == OURS else against(of, OURS, name) for of in (found, alone))
        amount, slower = f"{count_text(median(rates))}/s", f"the time of ours ({processor or 1:.3g}x the processor time)"
        report.add(f"predictions per second, network '{spec}'", name, None, amount, ratio, slower if ratio else "")
    report.at_least(f"predictions/s over windowed Keras, network '{spec}'", against(found, OURS, KERAS), 15)
    if spec != "lstm64":
        return
    ours, by_hand = (best_of(found, name) for name in (OURS, TORCH_BY_HAND.removesuffix("{}")))
    report.at_least("sequences over PyTorch's by hand, best batch of each", against(found, ours, by_hand), 0.9)
    report.at_least("windows over PyTorch's on windows", against(found, WINDOWS, TORCH), 2.0)
    report.at_least("windows over neuralforecast's fit", against(found, WINDOWS, PACKAGE), 4)
    report.at_least("sequences over neuralforecast's fit", against(found, OURS, PACKAGE), 45)
    report.at_least("sequences over neuralforecast's recurrent fit", against(found, OURS, PACKAGE_RECURRENT), 5)


def share_of_peak(report: Report, found: Speeds, keras: Helper, size: int) -> None:
    """How much of what this machine can multiply our training on windows uses."""
    from benchmarks.opponents import SPECS, flops_a_window

    spec = SPECS["lstm64"]
    peak = keras.ask(do="peak", **{"with": {"size": size}})["flops"]
    share = median(found[WINDOWS]) * flops_a_window(spec) / peak
    report.add(
        f"arithmetic, network 'lstm64', product of two {size} x {size} matrices",
        "both cores",
        None,
        f"{peak / 1e9:.0f} GFLOP/s",
    )
    report.at_least("training on windows, share of that", share, 0.45, "")


def losses(report: Report, helpers: dict[str, Helper]) -> float | None:
    """Validation losses on 60-session windows beside the seconds that they take; the share of a windowed epoch's time in which
    ours has its loss."""
    section = "seconds and the loss that they lead to, network 'product', tracing included"
    epoch = helpers[KERAS].ask(do="whole", **{"with": {"epochs": 1}})
    report.add(section, f"{KERAS}, one epoch", epoch["seconds"], f"loss {epoch['loss']:.5f}")
    got = helpers[OURS].ask(do="to_loss", **{"with": {"target": epoch["loss"]}})
    if got["seconds"] is not None:
        ratio = epoch["seconds"] / got["seconds"]
        report.add(section, f"{OURS}, that loss or less", got["seconds"], f"loss {epoch['loss']:.5f}", ratio, "faster")
    report.add(section, f"{OURS}, {got['epochs']} epochs", got["whole"], f"loss {got['best']:.5f} at its best look")
    for name in (OURS, TORCH_BY_HAND.format(64)):
        if name in helpers:
            done = helpers[name].ask(do="whole", **{"with": {"epochs": 2}})
            report.add(section, f"{name}, two epochs, the last weights", done["seconds"], f"loss {done['loss']:.5f}")
    return None if got["seconds"] is None else got["seconds"] / epoch["seconds"]


def main(arguments: list[str] | None = None) -> Report:
    settings = helper_settings(arguments)
    if settings is not None:
        serve(settings)
        sys.exit(0)
    chosen = options(__doc__, arguments)
    size, full = SIZE[chosen.size], chosen.size == "full"
    report = Report("training", chosen.size)
    for package in ("torch", "neuralforecast"):
        if not importlib.util.find_spec(package):
            report.notes.append(f"{package} is not installed, so it was skipped (it is no dependency of ours)")
    for spec in ("lstm64", "product") if full else ("product",):
        with helpers_for(contenders_for(spec, full), spec, size) as helpers:
            found, alone = speeds(helpers, size["turn"], chosen.repeats or size["rounds"])
            speed_goals(report, found, alone, spec)
            if spec == "lstm64":
                share_of_peak(report, found, helpers[KERAS], size["peak"])
                continue
            errors = helpers[OURS].ask(do="gradients")
            share = losses(report, helpers)
    for name, error in errors.items():
        report.add("gradient, difference from the plain Keras model's, relative", name, None, f"{error:.1e}")
    report.at_most("time to the loss of one windowed epoch, as a share of it", share, 0.25)
    report.at_most("gradient difference, relative", max(errors.values()), 1e-5)
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
