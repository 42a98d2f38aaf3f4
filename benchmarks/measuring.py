"""What the benchmarks share: interleaved repeats, ratios round by round, one table, the machine in words."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("small", "full")
_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "numba", "duckdb", "pandera", "pyarrow", "TA-Lib", "polars", "torch")


@dataclass(frozen=True)
class Row:
    """One measured case. ``ratio``: how many times faster (or smaller) than ``against``; None for the opponent itself."""

    section: str
    case: str
    seconds: float | None = None
    amount: str = ""  # what was done in that time, or per second
    ratio: float | None = None
    against: str = ""


@dataclass(frozen=True)
class Bar:
    """A goal of the project and what was found. ``met`` is None where this run or machine cannot say."""

    goal: str
    found: str
    met: bool | None


@dataclass
class Report:
    """The answer of one script."""

    benchmark: str
    size: str
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=lambda: machine())

    def add(self, *row: object, **values: object) -> None:
        self.rows.append(Row(*row, **values))  # type: ignore[arg-type]

    def at_least(self, goal: str, ratio: float | None, bar: float, unit: str = "x") -> None:
        """A goal of the form 'at least ``bar``'; judged in the full size only."""
        judged = ratio is not None and self.size == "full"
        found = "not measured" if ratio is None else f"{ratio:.3g}{unit}"
        self.bars.append(Bar(f"{goal} >= {bar:g}{unit}", found, ratio >= bar if judged else None))

    def at_most(self, goal: str, value: float | None, bar: float, unit: str = "") -> None:
        """A goal of the form 'at most ``bar``'; judged in the full size only."""
        judged = value is not None and self.size == "full"
        found = "not measured" if value is None else f"{value:.3g}{unit}"
        self.bars.append(Bar(f"{goal} <= {bar:g}{unit}", found, value <= bar if judged else None))

    def show(self, as_json: bool) -> None:
        if as_json:
            print(json.dumps(asdict(self), allow_nan=False))
            return
        print(f"{self.benchmark} ({self.size})")
        print("; ".join(f"{name} {value}" for name, value in self.machine.items()))
        for section in dict.fromkeys(row.section for row in self.rows):
            print(f"\n{section}")
            lines = [_cells(row) for row in self.rows if row.section == section]
            widths = [max(len(line[i]) for line in lines) for i in range(3)]
            for case, seconds, amount, ratio in lines:
                print(f"  {case:<{widths[0]}}  {seconds:>{widths[1]}}  {amount:>{widths[2]}}  {ratio}".rstrip())
        if self.bars:
            print("\ngoals" + ("" if self.size == "full" else " (judged in the full size only)"))
            for bar in self.bars:
                verdict = {True: "met", False: "MISSED", None: "-"}[bar.met]
                print(f"  {verdict:<6}  {bar.goal}: {bar.found}")
        for note in self.notes:
            print(f"\n{note}")


def _cells(row: Row) -> tuple[str, str, str, str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}x {row.against}"
    return row.case, "" if row.seconds is None else seconds_text(row.seconds), row.amount, ratio


def seconds_text(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def count_text(count: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def options(question: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """``--size small|full``, ``--json``, ``--repeats N`` of a script whose module text is ``question``."""
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="full", help="small: seconds, to see that it runs; full: the figures")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    parser.add_argument("--repeats", type=int, default=None, help="rounds; each measures every case once")
    return parser.parse_args(arguments)


def interleaved(
    cases: Mapping[str, Callable[[], object]], repeats: int, before: Mapping[str, Callable[[], object]] | None = None
) -> dict[str, list[float]]:
    """Seconds of each case in each round; a round measures every case once, so that a busy minute hits all of them.

    ``before``: what a case needs done right before it, outside of the time.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            if before and name in before:
                before[name]()
            gc.collect()
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return times


def speedup(times: Mapping[str, Sequence[float]], ours: str, other: str) -> float:
    """How many times faster ``ours`` is than ``other``: the median over the rounds of the ratio within a round."""
    return median(slow / fast for slow, fast in zip(times[other], times[ours], strict=True))


def child_environment(**changes: str) -> dict[str, str]:
    """The environment of a child process as a person has it: bytecode is kept, our packages are found, no home is set."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEXTCLOSE_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without kept bytecode `import tensorflow` takes three times as long
    path = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {"PYTHONPATH": os.pathsep.join(path), "TF_CPP_MIN_LOG_LEVEL": "3"} | changes


def machine() -> dict[str, object]:
    """The machine in words, and how busy it was when the script began."""
    facts: dict[str, object] = {
        "cpu": _from_file("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{round(int((_from_file('/proc/meminfo', 'MemTotal') or '0 kB').split()[0]) / 2**20)} GB",
        "load before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def _from_file(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


class Helper:
    """A process of its own that measures on request: libraries whose threads are set once a process need one each.

    The script is started again with ``--helper``; it answers one line of JSON for each line of JSON (see ``serve``).
    """

    def __init__(self, module: str, settings: Mapping[str, object], **environment: str) -> None:
        self.name = " ".join(map(str, settings.values()))
        self.log = tempfile.TemporaryFile("w+")  # TensorFlow chats while it loads; shown only when something went wrong
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--helper", json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True, cwd=ROOT, env=child_environment(**environment),
        )  # fmt: skip

    def tell(self, **request: object) -> None:
        """Send a request without waiting for the answer (to let several helpers set themselves up at once)."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait(30)
            self.log.seek(0)
            raise RuntimeError(f"the helper {self.name} ended with code {code}:\n{self.log.read()[-4000:]}")
        return json.loads(line)

    def ask(self, **request: object) -> dict:
        self.tell(**request)
        return self.answer()

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # the helper ends at the end of its input
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Requests:
    """The helper's side: requests as they come, answers on what was standard output (now closed to prints of libraries)."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def next(self) -> dict | None:
        """The next request; None when there will be no more."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    def answer(self, **values: object) -> None:
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()


def helper_settings(arguments: Sequence[str] | None = None) -> dict | None:
    """The settings of a script that was started as a helper; None where it was started by a person."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return json.loads(given[1]) if given[:1] == ["--helper"] else None
