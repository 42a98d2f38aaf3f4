"""One seed is one short life of a home: a few sessions with failing providers, full and broken disks, processes that die,
clocks that jump and runs that collide, each followed by a calm run of the same evening. All invariants are looked at after
every event.

    python -m tests.faults.simulator                        # 1,000 seeds
    python -m tests.faults.simulator --seeds 200 --from 1000
    python -m tests.faults.simulator --seed 123             # one of them again, with its story
    python -m tests.faults.simulator --plant "not atomic"   # with a defect that must be found (tests/faults/planted.py)

A life is told in lives.py. The clock, the provider, the disk and the process are simulated (weather.py, points.py, a fork a
run); the storage is the real one, under the smallest day there is (small_day.py) or, with ``--flow daily``, under the real
flow. A failing seed is printed with the command that replays it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import points, weather
from tests.faults.helpers import HELPERS
from tests.faults.lives import WORLDS, World, made, one
from tests.faults.planted import LIKELY, PLANTED
from tests.faults.simulated_run import FLOWS
from tests.faults.telling import telling


def ready(flow: str) -> None:
    """Import what every child needs, so that a fork has it; opens no database and runs no kernel."""
    if flow == "daily":
        from forecasting.lstm import configure_tensorflow
        from sources.registry import register_source

        configure_tensorflow()
        import flows.daily  # noqa: F401

        register_source("weather", weather.WeatherSource)
    else:
        from tests.faults.small_day import source

        source()  # draws its market
    points.install()


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", type=int, default=1000)
    asked.add_argument("--from", type=int, default=0, dest="first")
    asked.add_argument("--seed", type=int, help="this one alone, with its story")
    asked.add_argument("--worlds", nargs="+", choices=sorted(WORLDS), default=sorted(WORLDS))
    asked.add_argument("--flow", choices=sorted(FLOWS), default="small", help="what is run every evening")
    asked.add_argument("--plant", help="a defect that must be found")
    asked.add_argument("--check-itself", action="store_true", help="also plant each defect, and see that some seed finds it")
    asked.add_argument("--folder", type=Path, help="where to work (else memory, or a temporary folder)")
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    memory = Path("/dev/shm")
    place = given.folder or (memory if os.access(memory, os.W_OK) else None)
    with tempfile.TemporaryDirectory(dir=place, prefix="lives-") as folder:
        return suite(given, Path(folder))


def suite(given: argparse.Namespace, folder: Path) -> int:
    ready(given.flow)
    worlds = {name: made(name, folder, given.flow) for name in given.worlds}
    seeds = [given.seed] if given.seed is not None else list(range(given.first, given.first + given.seeds))
    begin = time.monotonic()
    with ThreadPoolExecutor(given.workers) as pool:  # each thread only waits for its children
        lived = pool.map(lambda seed: one(seed, worlds, folder, given.plant), seeds)
        lives = list(telling(lived, len(seeds), lambda found: found[1] and f"seed {found[0].seed}: {found[1]}"))
    HELPERS.mine.end()
    events = sum((life.events for life, _ in lives), Counter())
    failed = [(life, problem) for life, problem in lives if problem]
    of = f" --worlds {' '.join(given.worlds)}" if sorted(given.worlds) != sorted(WORLDS) else ""
    of += f" --flow {given.flow}" if given.flow != "small" else ""
    of += f' --plant "{given.plant}"' if given.plant else ""
    replay = f".venv/bin/python -m tests.faults.simulator{of} --seed"
    summary = {
        "seeds": len(lives), "failed": len(failed), "events": dict(events), "seconds": round(time.monotonic() - begin),
        "problems": [f"seed {life.seed}: {problem[:600]}; again: {replay} {life.seed}" for life, problem in failed],
    }  # fmt: skip
    if given.check_itself:
        summary["planted"] = {name: first_to_find(name, worlds, folder, seeds) for name in PLANTED}
    if given.json:
        print(json.dumps(summary))
        return 1 if failed else 0
    if given.seed is not None:
        print("\n".join(lives[0][0].story))
    for line in summary["problems"][:20]:
        print(line)
    print(
        f"{summary['seeds']} seeds, {summary['failed']} failed, {events.total()} events in {summary['seconds']} s: "
        + ", ".join(f"{count} {what}" for what, count in events.most_common())
    )
    for name, found in summary.get("planted", {}).items():
        print(f"planted {name!r}: {'found by no seed' if found is None else f'found by seed {found}'}")
    return 1 if failed else 0


def first_to_find(plant: str, worlds: dict[str, World], folder: Path, seeds: list[int]) -> int | None:
    """The first seed in whose life the planted defect breaks an invariant."""
    likely = sorted(seeds, key=lambda seed: seed != LIKELY.get(plant))
    return next((seed for seed in likely if one(seed, worlds, folder, plant)[1]), None)


if __name__ == "__main__":
    sys.exit(main())
