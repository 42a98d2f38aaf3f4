"""How long does a person wait for a command that only reads?

Fresh processes, as a shell starts them, on a prepared home: the median of many, the cases taking turns; beside them a bare
``python -c pass`` and ``import duckdb``, which nothing written in Python on DuckDB can beat. Bytecode is kept, as it is
after the first use of an installation.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measuring import Report, child_environment, interleaved, options

SIZE = {
    "small": dict(symbols=3, sessions=300, replay=2, repeats=2),
    "full": dict(symbols=50, sessions=1260, replay=20, repeats=15),
}
HEAVY = ("tensorflow", "keras", "prefect", "sklearn", "pandas", "numba", "numpy", "pyarrow", "exchange_calendars", "yfinance")
QUICK_MODEL = "[lstm]\nmembers = 1\nmin_updates = 2\nepochs = 1\n"  # how good it is does not matter here
BARE, LIBRARY = "python -c pass", "python -c 'import duckdb'"


def start(*arguments: str) -> str:
    """Run Python with ``arguments`` in a process of its own; its standard error. RuntimeError where it fails."""
    done = subprocess.run([sys.executable, *arguments], env=child_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stderr


def heavy_imports(*arguments: str) -> list[str]:
    """Which of HEAVY the command loads, by ``-X importtime``."""
    loaded = set(re.findall(r"\| +([a-z_]+)(?:\.[\w.]+)?$", start("-X", "importtime", *arguments), re.MULTILINE))
    return [name for name in HEAVY if name in loaded]


def main(arguments: list[str] | None = None) -> Report:
    chosen = options(__doc__, arguments)
    size = SIZE[chosen.size]
    report = Report("startup", chosen.size)
    with tempfile.TemporaryDirectory(prefix="nextclose-bench-") as name:
        home = Path(name) / "home"
        home.mkdir()
        (home / "settings.toml").write_text(QUICK_MODEL, encoding="utf-8")
        where = ("--home", str(home))
        given = [part for key in ("symbols", "sessions") for part in ("--option", f"{key}={size[key]}")]
        ours = ("-m", "app.cli")
        start(*ours, "run", "--source", "synthetic", *given, "--replay", str(size["replay"]), "--json", *where)
        commands = {
            "nextclose --help": ("--help",),
            "nextclose status": ("status", *where),
            "nextclose forecast S0002": ("forecast", "S0002", *where),
            "nextclose scoreboard": ("scoreboard", *where),
            "nextclose sql 'FROM latest_forecasts'": ("sql", "FROM latest_forecasts", *where),
        }
        cases = {BARE: ("-c", "pass"), LIBRARY: ("-c", "import duckdb")}
        cases |= {command: (*ours, *typed) for command, typed in commands.items()}
        for typed in cases.values():
            start(*typed)  # writes the bytecode
        calls = {case: (lambda typed=typed: start(*typed)) for case, typed in cases.items()}
        times = interleaved(calls, chosen.repeats or size["repeats"])
        seconds = {case: median(taken) for case, taken in times.items()}
        for case, value in seconds.items():
            loads = "" if case in (BARE, LIBRARY) else "loads " + (", ".join(heavy_imports(*cases[case])) or "nothing heavy")
            ratio = None if case in (BARE, LIBRARY) else value / seconds[LIBRARY]
            report.add("fresh process", case, value, loads, ratio, "the time of import duckdb" if ratio else "")
    report.at_most("nextclose --help", seconds["nextclose --help"], 0.15, " s")
    reading = max(value for case, value in seconds.items() if case in commands)
    report.at_most("the slowest reading command (the issue's own goal)", reading, 0.5, " s")
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
