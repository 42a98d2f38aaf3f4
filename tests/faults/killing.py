"""Kills a run at every step boundary and runs it again; prints what came of it as JSON. Started by test_kill.py.

One process imports TensorFlow and all else once and forks a child for each run: the imports alone would cost six seconds
a run. The parent opens no database, starts no thread and runs no kernel, so that the children begin clean.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

STEPS = ("fetch_prices#1", "fetch_prices#2", "store_prices#1", "store_prices#2", "settle_universe", "train", "evaluate", "gate",
         "store_features", "forecast", "score", "complete", "publish")  # fmt: skip
#: Tried in a home that a kill after the training had left: they die in the second run and are done in the third, and nothing
#: is trained again for them. The others, the first and the last of a day among them, die in the first run.
FROM_TRAINED = ("evaluate", "gate", "store_features", "forecast", "score")
DAY = "2021-04-01"


def forked(work: Callable[[], object], answer: Path) -> int:
    """Run ``work`` in a child that writes its answer to a file; the child's wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            answer.write_text(json.dumps(work()))
            code = 0
        except BaseException as error:  # the child must never return into the parent's code
            answer.write_text(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def day(home: Path, fault: str | None = None) -> dict:
    """The day with a retraining, killed at ``fault``; the report without its forecasts."""
    if fault:
        os.environ["NEXTCLOSE_FAULT"] = fault
    from flows.daily import daily
    from flows.parameters import Daily

    report = daily(Daily(home=str(home), origin=DAY, retrain=True))
    return {key: report[key] for key in ("digest", "status", "run_id", "already_done")}


def published(home: Path) -> str:
    """The content digest that the published snapshot says it has and the one it really has; they must be equal."""
    from storage.home import Home
    from storage.manifest import content_digest
    from storage.snapshot import open_snapshot

    with open_snapshot(Home(home)) as con:
        said = con.execute("SELECT digest FROM store.publication").fetchone()[0]
        return said if said == content_digest(con) else "torn"


def point(place: str, start: Path, folder: Path) -> dict:
    """Kill at ``place``, look at what readers see, run again, verify."""
    home = folder / place.replace(":", "-").replace("#", "-")
    shutil.copytree(start, home)
    answer = Path(f"{home}.json")
    begin = time.monotonic()
    status = forked(lambda: day(home, place), answer)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    forked(lambda: published(home), answer)
    seen = json.loads(answer.read_text())
    forked(lambda: day(home), answer)
    again = json.loads(answer.read_text())
    forked(lambda: [str(f) for f in _verify(home)], answer)
    findings = json.loads(answer.read_text())
    leftovers = [p.name for p in home.rglob("*") if p.name.startswith((".new-", ".snapshot-", ".nextclose.duckdb-"))]
    return {"place": place, "killed": killed, "published": seen, "again": again, "findings": findings, "leftovers": leftovers,
            "seconds": round(time.monotonic() - begin, 1)}  # fmt: skip


def _verify(home: Path) -> list:
    from storage.home import Home
    from storage.verify import verify

    return verify(Home(home))


def be_ready(modules: list[str]) -> None:
    """Import what a day had imported at its end and make its calendar: two seconds that every child would need again."""
    from forecasting.sessions import sessions_between

    for name in modules:
        if name not in sys.modules:
            with suppress(Exception):  # some modules are made by others, and not to be imported
                importlib.import_module(name)
    sessions_between("XNYS", "2020-01-02", DAY)


def main(start: str, folder: str) -> None:
    from forecasting.lstm import configure_tensorflow

    configure_tensorflow()
    import flows.daily  # noqa: F401  # imported before the fork, so that the children need not

    work = Path(folder)
    calm = Path(shutil.copytree(start, work / "undisturbed"))
    forked(lambda: published(calm), work / "before.json")
    forked(lambda: {"report": day(calm), "modules": sorted(sys.modules)}, work / "after.json")
    after = json.loads((work / "after.json").read_text())
    be_ready(after["modules"])
    trained = Path(shutil.copytree(start, work / "trained"))
    forked(lambda: day(trained, "after:train"), work / "trained.json")
    places = {"before:fetch_prices#1": Path(start)} | {f"after:{step}": Path(start) for step in STEPS}
    places |= {f"after:{step}": trained for step in FROM_TRAINED}
    # Two at a time: each thread does nothing but wait for its children.
    with ThreadPoolExecutor(2) as pool:
        points = list(pool.map(lambda place: point(place, places[place], work), places))
    result = {
        "before": json.loads((work / "before.json").read_text()),
        "undisturbed": after["report"],
        "points": points,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
