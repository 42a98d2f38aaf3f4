"""Many readers while the writer publishes: nobody waits, nobody sees half a run.

    python -m tests.faults.readers                          # 32 readers, 20 publishes, three minutes
    python -m tests.faults.readers --readers 8 --publishes 5 --seconds 5
    python -m tests.faults.readers --nice 19                # the readers take only what the writer leaves of the cores

Every run stores one session of each symbol with the run's number as its close, so that a reader can tell from any sum whether
it sees one run, whole. Every tenth read recomputes the content digest. The writer publishes as often before there are readers,
to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.killing import forked

SYMBOLS = 200
_ONE_RUN = """
SELECT (SELECT run_id FROM store.publication), count(*), count(DISTINCT session), sum(close),
    (SELECT count(*) FROM store.steps), (SELECT count(*) FROM latest_forecasts)
FROM prices
"""


def write(home: Path, numbers: range, pause: float) -> list[float]:
    """Store and publish the runs ``numbers``, one every ``pause`` seconds; the seconds that each took."""
    import pandas as pd

    from storage.bars import append_bars
    from storage.database import Database
    from storage.home import Home
    from storage.lease import hold_lease
    from storage.ledger import append_forecasts
    from storage.snapshot import publish
    from tests.storage.by_hand import MONDAY, bars, forecasts

    at, names, took = Home(home), [f"S{i:03d}" for i in range(SYMBOLS)], []
    db = Database(at)
    for number in numbers:
        due = time.monotonic() + pause
        session = str((pd.Timestamp("2020-01-01") + pd.Timedelta(days=number)).date())
        told = bars(*((name, session, float(number)) for name in names))
        issued = forecasts(*((name, session, 1, "2026-11-19", "lstm") for name in names))
        begin = time.monotonic()
        with hold_lease(at, db, f"run {number}") as lease:
            with db.writing(lease, f"run{number}", "day") as tx:
                append_bars(tx, told, "files", "as_traded", MONDAY)
                append_forecasts(tx, issued)
            publish(db, at, f"run{number}", MONDAY)
        took.append(time.monotonic() - begin)
        time.sleep(max(0.0, due - time.monotonic()))
    return took


def read(home: Path, seconds: float, pause: float, nice: int = 0) -> dict:
    """Look again and again; what was seen."""
    from storage.home import Home
    from storage.manifest import content_digest
    from storage.snapshot import open_snapshot

    os.nice(nice)
    at, end, newest = Home(home), time.monotonic() + seconds, 0
    seen = {"reads": 0, "digests": 0, "torn": 0, "errors": [], "runs": 0, "waits": []}
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            with open_snapshot(at, memory_mb=128, threads=1) as con:
                run_id, rows, sessions, total, steps, issued = con.execute(_ONE_RUN).fetchone()
                number = int(run_id[3:])
                want = (SYMBOLS * (number + 1), number + 1, SYMBOLS * number * (number + 1) / 2, number + 1)
                torn = (rows, sessions, total, steps) != want or issued != SYMBOLS or number < newest
                seen["waits"].append(time.monotonic() - begin)
                if seen["reads"] % 10 == 0:
                    seen["digests"] += 1
                    torn |= con.execute("SELECT digest FROM store.publication").fetchone()[0] != content_digest(con)
            seen["reads"] += 1
            seen["torn"] += torn
            seen["runs"] += number > newest
            newest = number
        except Exception as error:
            seen["errors"].append(f"{type(error).__name__}: {error}"[:200])
        time.sleep(pause)
    return seen


def begun(work, answer: Path) -> int:
    """As ``forked``, without waiting: the child's pid."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os._exit(0 if os.WIFEXITED(forked(work, answer)) else 1)
    return pid


def measured(readers: int, publishes: int, seconds: float, pause: float, folder: Path, nice: int = 0) -> dict:
    home = folder / "home"
    every = seconds / publishes
    alone, beside = folder / "alone.json", folder / "beside.json"
    forked(lambda: write(home, range(publishes), 0.0), alone)
    pids = [begun(lambda: read(home, seconds + 1, pause, nice), folder / f"reader-{n}.json") for n in range(readers)]
    forked(lambda: write(home, range(publishes, 2 * publishes), every), beside)
    for pid in pids:
        os.waitpid(pid, 0)
    seen = [json.loads((folder / f"reader-{n}.json").read_text()) for n in range(readers)]
    before, during = json.loads(alone.read_text()), json.loads(beside.read_text())
    waits = sorted(wait for one in seen for wait in one["waits"])
    return {
        "readers": readers, "publishes": publishes, "seconds": seconds, "reads": sum(one["reads"] for one in seen),
        "digests": sum(one["digests"] for one in seen), "torn": sum(one["torn"] for one in seen),
        "errors": [error for one in seen for error in one["errors"]][:5], "fewest_runs_seen": min(one["runs"] for one in seen),
        "p50_ms": round(1000 * waits[len(waits) // 2], 1), "p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 1),
        "alone_s": round(statistics.median(before), 3), "beside_s": round(statistics.median(during), 3),
        "delay_s": round(statistics.median(during) - statistics.median(before), 3),
        "most_s": round(max(during) - statistics.median(before), 3),
    }  # fmt: skip


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--readers", type=int, default=32)
    ask.add_argument("--publishes", type=int, default=20)
    ask.add_argument("--seconds", type=float, default=180.0)
    ask.add_argument("--pause", type=float, default=0.5, help="between two looks of one reader")
    ask.add_argument(
        "--nice", type=int, default=0, help="of the readers: 19 leaves the writer a core, so that only waiting for them shows"
    )
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    import duckdb  # noqa: F401  # once, before the forks
    import pandas  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="readers-") as folder:
        found = measured(asked.readers, asked.publishes, asked.seconds, asked.pause, Path(folder), asked.nice)
    if asked.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['readers']} readers, {found['publishes']} publishes in {found['seconds']:.0f} s: {found['reads']} reads "
            f"({found['digests']} digests recomputed), {found['torn']} torn, {len(found['errors'])} errors {found['errors']}; "
            f"a read p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms; a run {found['alone_s']} s alone, "
            f"{found['beside_s']} s beside them: {found['delay_s']} s later, at most {found['most_s']} s"
        )
    return 1 if found["torn"] or found["errors"] or found["delay_s"] > 1.0 else 0


if __name__ == "__main__":
    sys.exit(main())
