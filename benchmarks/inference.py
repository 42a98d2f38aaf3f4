"""How long does a day's forecast take?

``Forecasting`` (one compiled program in one fixed batch shape, windows gathered from the scaled block) against Keras
``predict`` on windows copied out beforehand, for 500 and for 8,000 windows; each in a process of its own with the
threads that its users get, in turns. The time of ours contains the gathering, that of Keras does not contain the copy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.measuring import Helper, Report, Requests, helper_settings, options

SIZE = {
    "small": dict(symbols=8, sessions=200, counts=(8, 40), repeats=3),
    "full": dict(symbols=500, sessions=1260, counts=(500, 8_000), repeats=15),
}
BARS = dict(zip(SIZE["full"]["counts"], (3.0, 1.8), strict=True))


def serve(settings: dict) -> None:
    """Time one call after another for one contender and one network."""
    from benchmarks.opponents import SPECS, Material

    requests = Requests()
    spec = SPECS[settings["spec"]]
    if settings["who"] == "ours":
        from forecasting.lstm.engine import configure_tensorflow

        configure_tensorflow()
    material = Material.of(spec, settings["symbols"], settings["sessions"], 40)
    make = ours if settings["who"] == "ours" else keras
    calls = {count: make(spec, material, material.rows("train", count)) for count in settings["counts"]}
    began = time.perf_counter()
    for call in calls.values():
        call()
    requests.answer(first=time.perf_counter() - began)
    while (request := requests.next()) is not None:
        began, spent = time.perf_counter(), time.process_time()
        calls[request["count"]]()
        requests.answer(seconds=time.perf_counter() - began, cpu=time.process_time() - spent)


def ours(spec, material, rows: np.ndarray) -> Callable[[], object]:
    from forecasting.lstm.inference import Forecasting
    from forecasting.lstm.network import Network

    run = Forecasting(Network(spec, material.x.shape[1], material.reference, seed=7), material.x.shape[1])
    return lambda: run(material.panel, material.x, rows)


def keras(spec, material, rows: np.ndarray) -> Callable[[], object]:
    from benchmarks.opponents import keras_model

    model, x = keras_model(spec, material.x.shape[1], material.reference), material.windows(rows, spec.lookback)
    return lambda: model.predict(x, batch_size=512, verbose=0)


def main(arguments: list[str] | None = None) -> Report:
    settings = helper_settings(arguments)
    if settings is not None:
        serve(settings)
        sys.exit(0)
    chosen = options(__doc__, arguments)
    size = SIZE[chosen.size]
    report = Report("inference", chosen.size)
    for spec in ("product", "lstm64") if chosen.size == "full" else ("product",):
        contenders = {"ours": {"who": "ours"}, "Keras predict": {"who": "keras"}}
        with (
            Helper("benchmarks.inference", {"who": "ours", "spec": spec, **size}) as first,
            Helper("benchmarks.inference", {"who": "keras", "spec": spec, **size}) as second,
        ):
            helpers = dict(zip(contenders, (first, second), strict=True))
            for name, helper in helpers.items():
                report.add(f"first calls, compilation included, network '{spec}'", name, helper.answer()["first"])
            for count in size["counts"]:
                times, spent = {name: [] for name in helpers}, {name: [] for name in helpers}
                for _ in range(chosen.repeats or size["repeats"]):
                    for name, helper in helpers.items():
                        got = helper.ask(count=count)
                        times[name].append(got["seconds"])
                        spent[name].append(got["cpu"])
                ratio, processor = (
                    median(b / a for a, b in zip(of["ours"], of["Keras predict"], strict=True)) for of in (times, spent)
                )
                section = f"{count:,} windows of 60 sessions, network '{spec}'"
                report.add(section, "ours", median(times["ours"]))
                slower = f"the time of ours ({processor:.3g}x the processor time)"
                report.add(section, "Keras predict", median(times["Keras predict"]), "", ratio, slower)
                report.at_least(f"{count:,} windows over Keras predict, network '{spec}'", ratio, BARS.get(count, 1.0))
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
