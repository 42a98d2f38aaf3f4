"""What does a whole day cost, and where does the time go?

The real ``daily`` flow on a synthetic market of 500 symbols and 1,260 sessions, from a source that behaves as a live one
(asked only for what is missing and the trailing sessions). The first day stores the history and trains; then one session
after the other is measured by stage in the same, warm process; then one in a fresh process, one from a source that sends
its whole history every day, as a file does, and one with a retraining. ``--profile`` adds where a warm day's time goes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measuring import Helper, Report, Requests, helper_settings, options, seconds_text

if TYPE_CHECKING:
    import pandas as pd

    from sources.base import Fetched

SIZE = {
    "small": dict(symbols=4, history=300, replay=2, days=2, lstm="members = 1\nmin_updates = 2\nepochs = 1\n"),
    "full": dict(symbols=500, history=1260, replay=25, days=7, lstm=""),
}
STAGES = (
    "fetch_prices", "store_prices", "settle_universe", "train", "evaluate", "gate", "store_features", "forecast", "score",
    "complete", "publish",
)  # fmt: skip
OUTSIDE = "between the steps"
RECENT = 40  # sessions that the file of a live source's answers holds
BAR, AMBITIOUS = 0.25, 0.15


# The helper: days run in a process of its own -----------------------------------------------------------------------


@lru_cache(maxsize=4)
def _held(path: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


class Feed:
    """Bars from a Parquet file: asked for a span as a live source is, or (``whole``) handing out everything each time."""

    name = "feed"

    def __init__(self, path: str, whole: bool = False) -> None:
        self.path, self.whole = path, whole

    def symbols(self) -> tuple[str, ...] | None:
        return tuple(sorted(_held(self.path)["symbol"].unique())) if self.whole else None

    def identity(self) -> str:
        return "feed"

    def fetch(self, symbols: Sequence[str], start: date | None, end: date | None) -> Fetched:
        from sources.base import ACTION_COLUMNS, Fetched, typed_frame, within

        return Fetched(within(_held(self.path), symbols, start, end), typed_frame(ACTION_COLUMNS))


def serve(settings: dict) -> None:
    """Run one day a request and answer with its stages; 'hold' reads a file into memory before a day is timed."""
    began = time.perf_counter()
    requests = Requests()
    from flows.daily import daily
    from flows.parameters import Daily
    from sources.registry import register_source
    from tasks.listening import Listener, heard_by

    register_source("feed", Feed)
    imports = time.perf_counter() - began

    class Stages(Listener):
        def __init__(self) -> None:
            self.seconds: dict[str, float] = {}

        def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds

    requests.answer(imports=imports)
    while (request := requests.next()) is not None:
        if request["do"] == "hold":
            _held(request["path"])
            requests.answer(held=True)
            continue
        asked = Daily(
            home=settings["home"], symbols=settings["symbols"], source="feed", origin=request["origin"],
            source_options={"path": request["path"], "whole": request.get("whole", False)},
            replay=request.get("replay", 0), retrain=request.get("retrain", False),
        )  # fmt: skip
        stages, profiler = Stages(), _profiler() if request.get("profile") else None
        begin = time.perf_counter()
        with heard_by(stages):
            report = profiler.runcall(daily, asked) if profiler else daily(asked)
        total = time.perf_counter() - begin
        requests.answer(
            total=total, stages=stages.seconds, status=report["status"], forecasts=len(report["forecasts"]),
            profile=_top(profiler) if profiler else [],
        )  # fmt: skip


def _profiler():
    import cProfile

    return cProfile.Profile()


def _top(profiler) -> list[list]:
    """The functions with the most time: cumulative for ours, own for everybody's; [what, calls, cumulative, own]."""
    import pstats

    root = str(Path(__file__).resolve().parents[1])
    found = []
    for (file, line, name), (_, calls, own, cumulative, _) in pstats.Stats(profiler).stats.items():
        ours = file.startswith(root) and ".venv" not in file
        place = f"{file.removeprefix(root + '/')}:{line} {name}" if ours else f"{Path(file).name}:{line} {name}"
        found.append([place, calls, cumulative, own, ours])
    mine = sorted((f for f in found if f[4]), key=lambda f: -f[2])[:45]
    return [f[:4] for f in mine] + [f[:4] for f in sorted(found, key=lambda f: -f[3])[:25]]


# The script -----------------------------------------------------------------------------------------------------------


def market(folder: Path, size: dict) -> tuple[list[str], list[date], Path, Path]:
    """The symbols, the sessions, a file with all bars and one with the recent ones."""
    from sources.synthetic import SyntheticMarket

    drawn = SyntheticMarket(seed=21, symbols=size["symbols"], sessions=size["history"] + size["days"] + 5, events=False)
    bars, days = drawn.drawn.bars, drawn.days
    everything, recent = folder / "everything.parquet", folder / "recent.parquet"
    bars.to_parquet(everything)
    bars[bars["session"] >= days[-RECENT - size["days"]]].to_parquet(recent)
    return list(drawn.names), list(days.astype("datetime64[D]").astype(object)), everything, recent


def add_stages(report: Report, section: str, runs: list[dict], imports: float | None = None) -> dict[str, float]:
    """The median of each stage over ``runs``; returns them with the total."""
    found = {name: median(run["stages"].get(name, 0.0) for run in runs) for name in STAGES if name in runs[0]["stages"]}
    found[OUTSIDE] = median(run["total"] - sum(run["stages"].values()) for run in runs)
    if imports is not None:
        report.add(section, "starting Python and importing the flow", imports)
    for name, seconds in found.items():
        report.add(section, name, seconds)
    found["sum"] = median(run["total"] for run in runs) + (imports or 0.0)
    found["without publish"] = found["sum"] - median(run["stages"].get("publish", 0.0) for run in runs)
    report.add(section, "sum", found["sum"])
    report.add(section, "sum without publish", found["without publish"])
    return found


def main(arguments: list[str] | None = None) -> Report:
    settings = helper_settings(arguments)
    if settings is not None:
        serve(settings)
        sys.exit(0)
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = options(__doc__, [a for a in given if a != "--profile"])
    size = SIZE[chosen.size]
    report = Report("day", chosen.size)
    with tempfile.TemporaryDirectory(prefix="nextclose-bench-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        if size["lstm"]:
            (home / "settings.toml").write_text(f"[lstm]\n{size['lstm']}\n[gate]\n", encoding="utf-8")
        symbols, days, everything, recent = market(folder, size)
        told = {"home": str(home), "symbols": symbols}
        day = iter(str(session) for session in days[size["history"] - 1 :])
        with Helper("benchmarks.day", told) as helper:
            helper.answer()
            for path in (everything, recent):
                helper.ask(do="hold", path=str(path))
            first = helper.ask(do="day", origin=next(day), path=str(everything), replay=size["replay"])
            add_stages(report, f"the first day: history, training, {size['replay']} sessions replayed", [first])
            warm = [helper.ask(do="day", origin=next(day), path=str(recent)) for _ in range(chosen.repeats or size["days"])]
            sums = add_stages(report, "a warm day without retraining", warm)
            if "--profile" in given:
                profiled = helper.ask(do="day", origin=next(day), path=str(recent), profile=True)
            again = helper.ask(do="day", origin=next(day), path=str(everything), whole=True)
            trained = helper.ask(do="day", origin=next(day), path=str(recent), retrain=True)
        began = time.perf_counter()
        with Helper("benchmarks.day", told) as helper:
            helper.answer()
            started = time.perf_counter() - began
            cold = helper.ask(do="day", origin=next(day), path=str(recent))
        add_stages(report, "the same in a fresh process", [cold], started)
        add_stages(report, "a warm day from a source that sends its whole history", [again])
        add_stages(report, "a warm day with a retraining", [trained])
    report.notes.append(f"{warm[-1]['forecasts']} served forecasts a day; warm days took " + ", ".join(
        seconds_text(run["total"]) for run in warm
    ))  # fmt: skip
    report.at_most("a warm day without retraining", sums["sum"], BAR, " s")
    report.at_most("a warm day without retraining and without publishing", sums["without publish"], BAR, " s")
    report.at_most("a warm day without retraining (ambitious)", sums["sum"], AMBITIOUS, " s")
    report.show(chosen.json)
    if "--profile" in given:
        print(f"\nprofile of one warm day ({profiled['total']:.2f} s under the profiler): calls, cumulative, own")
        for place, calls, cumulative, own in profiled["profile"]:
            print(f"  {calls:>8}  {seconds_text(cumulative):>8}  {seconds_text(own):>8}  {place}")
    return report


if __name__ == "__main__":
    main()
