"""A scheduled and a manual run in the same second, and a writer that slept through its lease.

    python -m tests.faults.racing --times 50

Each race is two processes that begin the same day in the same instant on a home of their own: exactly one writes, the other
says who is at work, or finds the day done. After each race a writer of another machine is put to sleep with SIGSTOP, loses its
lease to a successor, wakes up and tries to write.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.killing import be_ready, forked
from tests.faults.scenes import BEFORE, DAY, day, made
from tests.faults.telling import telling

PATIENCE = 2.0  # seconds within which the one that may not write says so


def raced(home: Path, manual: bool, at: float) -> dict:
    """One of the two: the schedule names no session, a person does."""
    import flows.entry
    from flows.daily import daily
    from flows.parameters import Daily
    from forecasting.errors import AlreadyRunning, NextcloseError
    from tests.faults.lives import after_close

    now = after_close(DAY).replace(minute=45)
    flows.entry.now_utc = lambda: now
    while time.time() < at:
        pass
    begin = time.monotonic()
    try:
        report = daily(Daily(home=str(home), origin=DAY if manual else None))
        said = "found it done" if report["already_done"] else "wrote"
    except AlreadyRunning:
        said = "already running"
    except NextcloseError as error:
        said = str(error)
    return {"said": said, "seconds": time.monotonic() - begin}


def race(home: Path) -> list[dict]:
    at = time.time() + 0.3
    with ThreadPoolExecutor(2) as pool:
        answers = [Path(f"{home}-{manual}.json") for manual in (False, True)]
        runs = [pool.submit(forked, lambda m=m: raced(home, m, at), answers[m]) for m in (False, True)]
        for run in runs:
            run.result()
    return [json.loads(answer.read_text()) for answer in answers]


def slept(home: Path) -> str:
    """A writer of another machine holds the lease, sleeps past its expiry, and writes: what it is told."""
    from forecasting.errors import AlreadyRunning
    from storage import lease as leases
    from storage.database import Database
    from storage.home import Home

    at = Home(home)
    db = Database(at)
    with open(os.devnull) as nothing:
        leases.take_lock = lambda *rest: nothing  # its machine's lock is not this one's
        try:
            with leases.hold_lease(at, db, "sleeper", ttl_seconds=0.05, host=lambda: "elsewhere") as held:
                os.kill(os.getpid(), signal.SIGSTOP)
                with db.writing(held, "sleeper", "forecast") as tx:
                    tx.execute("INSERT INTO store.runs (run_id, flow) VALUES ('sleeper', 'daily')")
        except AlreadyRunning as error:
            return str(error)
    return "wrote"


def succeeded(home: Path) -> str:
    from storage.database import Database
    from storage.home import Home
    from storage.lease import hold_lease

    at = Home(home)
    db = Database(at)
    with hold_lease(at, db, "successor") as held, db.writing(held, "successor", "complete") as tx:
        tx.execute("UPDATE store.lease SET writes = writes")
    return "wrote"


def sleep_and_wake(home: Path) -> tuple[str, str]:
    """What the successor and then the sleeper came to."""
    answer = Path(f"{home}-sleeper.json")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            answer.write_text(json.dumps(slept(home)))
            code = 0
        except BaseException as error:  # the child must never return into the parent's code
            answer.write_text(json.dumps(f"{type(error).__name__}: {error}"))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, os.WUNTRACED)
    time.sleep(0.1)  # past its expiry
    other = Path(f"{home}-successor.json")
    forked(lambda: succeeded(home), other)
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
    return json.loads(other.read_text()), json.loads(answer.read_text())


def rows_of(home: Path) -> dict:
    from storage.database import Database
    from storage.home import Home

    with Database(Home(home)).reading() as con:
        ask = lambda sql: con.execute(sql).fetchone()[0]  # noqa: E731
        return {
            "runs": ask(f"SELECT count(*) FROM store.runs WHERE origin = '{DAY}'"),
            "twice": ask("SELECT count(*) - count(DISTINCT (symbol, origin, horizon, forecaster)) FROM store.forecasts"),
            "sleeper": ask("SELECT count(*) FROM store.runs WHERE run_id = 'sleeper'"),
        }


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--times", type=int, default=50)
    ask.add_argument("--home", type=Path, help=f"a home in which the day of {BEFORE} is done (else one is made)")
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="races-") as folder:
        return suite(asked.times, asked.home, Path(folder), asked.json)


def suite(times: int, start: Path | None, work: Path, as_json: bool) -> int:
    from forecasting.lstm import configure_tensorflow

    configure_tensorflow()
    import flows.daily  # noqa: F401

    start = start or made(work / "start")
    calm = Path(shutil.copytree(start, work / "calm"))
    forked(lambda: {"report": day(calm), "modules": sorted(sys.modules)}, work / "calm.json")
    be_ready(json.loads((work / "calm.json").read_text())["modules"])
    wrote, twice, awake, said, slowest, odd = 0, 0, 0, [], 0.0, []
    for number in telling(range(times), times):
        home = Path(shutil.copytree(start, work / f"race-{number}"))
        answers = race(home)
        found = [answer["said"] for answer in answers]
        said += found
        slowest = max([slowest, *(a["seconds"] for a in answers if a["said"] == "already running")])
        wrote += found.count("wrote") == 1
        odd += [text for text in found if text not in ("wrote", "already running", "found it done")]
        successor, sleeper = sleep_and_wake(home)
        awake += not (successor == "wrote" and sleeper.startswith("already running: the right to write passed"))
        forked(lambda home=home: rows_of(home), work / "rows.json")
        rows = json.loads((work / "rows.json").read_text())
        twice += rows != {"runs": 1, "twice": 0, "sleeper": 0}
        shutil.rmtree(home)
    summary = {
        "times": times, "one_wrote": wrote, "double_writes": twice, "sleepers_that_wrote": awake, "odd": odd[:5],
        "already_running": said.count("already running"), "found_done": said.count("found it done"),
        "slowest_refusal": round(slowest, 2),
    }  # fmt: skip
    if as_json:
        print(json.dumps(summary))
    else:
        print(
            f"{times} races (the day of {DAY} after {BEFORE}): exactly one wrote in {wrote}, {twice} double writes; the others "
            f"{summary['already_running']} already running (within {slowest:.1f} s), {summary['found_done']} found it done; "
            f"{awake} of {times} sleepers wrote after they had lost the lease; odd: {odd[:5]}"
        )
    return 0 if wrote == times and not twice and not awake and not odd and slowest < PATIENCE else 1


if __name__ == "__main__":
    sys.exit(main())
