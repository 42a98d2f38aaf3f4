"""The master property at every write call: a day is killed there, loses its power, or meets a full or broken disk; and again.

    python -m tests.faults.every_write                      # all calls of a day, each with every fate that it can meet
    python -m tests.faults.every_write --each-kind          # one call of each kind (call and file): the sample of the tests
    python -m tests.faults.every_write --fate kill --call 41

Calls are those of the operating system, counted under Python and DuckDB alike (disk.c). Wanted after each: the digest of an
undisturbed day, no acknowledged commit lost, and readers who see the day before or the day itself, whole.

    kill    the process dies before the call           full    from the call on the disk is full
    tear    it dies when half of it is written         broken  the call fails, once
    power   as kill, and of all that was written to a file since it was last synced any part, by sectors, is on the disk
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.disk import TORN, Call, build, calls, environment, fail
from tests.faults.killing import be_ready, forked
from tests.faults.simulated_run import leftovers
from tests.faults.telling import telling

BEFORE, DAY = "2021-03-31", "2021-04-01"
FATES = ("kill", "tear", "power", "full", "broken")


@dataclass(frozen=True)
class Point:
    call: Call
    fate: str

    @property
    def name(self) -> str:
        return f"{self.fate} at call {self.call.number} ({self.call.name} {self.call.file})"


def day(home: Path, origin: str = DAY) -> dict:
    """One day by the flow; its content digest, or the error that ended it."""
    from flows.daily import daily
    from flows.parameters import Daily
    from forecasting.errors import NextcloseError
    from tasks.policies import Policy

    Policy.delay = lambda self, retry: 0.0  # a full disk is no emptier for being waited for
    try:
        report = daily(Daily(home=str(home), origin=origin))
    except NextcloseError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "code": 1}
    return {key: report[key] for key in ("digest", "status", "already_done")}


def disturbed(home: Path, point: Point) -> dict:
    fail(home, point.fate, point.call.number)
    answer = day(home)
    fail(Path("/nowhere"))
    return answer


def counted(home: Path, log: Path) -> dict:
    fail(home, log=log)
    return day(home)


def looked_at(home: Path) -> dict:
    """What is there after the disturbance, before the next run: what readers see, and commits that were told and are gone.

    The database is looked at in a copy: to open it would fold its log in, which is the next run's to do."""
    from forecasting.errors import DatabaseCorrupt
    from storage.connection import open_database
    from storage.home import Home
    from storage.journal import lost
    from storage.manifest import content_digest
    from storage.snapshot import open_snapshot

    with open_snapshot(Home(home)) as con:
        said, real = con.execute("SELECT digest FROM store.publication").fetchone()[0], content_digest(con)
    copy = Home(home.with_name(f"{home.name}-copy"))
    copy.path.mkdir()
    for path in home.iterdir():
        if path.name.startswith(("nextclose.duckdb", ".commits")):
            shutil.copyfile(path, copy.path / path.name)
    published = {"published": said if said == real else "torn"}
    try:
        con = open_database(copy.database)
    except DatabaseCorrupt as error:
        shutil.rmtree(copy.path)
        return published | {"damaged": str(error)}
    writes = con.execute("SELECT writes FROM store.lease").fetchone()[0]
    con.close()
    gone = lost(copy, writes)
    shutil.rmtree(copy.path)
    return published | {"lost": len(gone)}


def mended(home: Path) -> dict:
    """What opening it, as the next run does, leaves of a file that did not open: commits that were told and are gone."""
    from storage.database import Database
    from storage.home import Home
    from storage.journal import lost

    with Database(Home(home)).reading() as con:
        return {"lost": len(lost(Home(home), con.execute("SELECT writes FROM store.lease").fetchone()[0]))}


def ended(home: Path) -> dict:
    """What the home holds in the end: digests computed anew, and what lies about."""
    from storage.database import Database
    from storage.home import Home
    from storage.manifest import content_digest, read_manifest, tables_of
    from storage.snapshot import open_snapshot
    from storage.verify import _database, _models, _snapshot

    at = Home(home)
    with Database(at).reading() as con:
        stored = content_digest(con)
    with open_snapshot(at) as con:
        published = content_digest(con)
    manifest = read_manifest(at)
    found = _database(at, tables_of(manifest), manifest["schema"], 1.0) + _snapshot(at, manifest["snapshot"]) + _models(at, 1.0)
    findings = [str(finding) for finding in found]
    return {"stored": stored, "published": published, "findings": findings, "about": leftovers(home)}


def tried(point: Point, start: Path, folder: Path, wanted: str, before: str) -> dict:
    """One point from beginning to end; ``problem`` is empty where all was as it must be."""
    home = folder / f"{point.fate}-{point.call.number}"
    shutil.copytree(start, home)
    answer = Path(f"{home}.json")

    def ask(work) -> dict:
        status = forked(work, answer)
        return json.loads(answer.read_text()) if os.WIFEXITED(status) else {"killed": True}

    first = ask(lambda: disturbed(home, point))
    seen = ask(lambda: looked_at(home))
    torn_block = point.fate in ("tear", "power") and "damaged" in seen  # a part of a block of the engine's own catalogue
    if torn_block:
        seen |= ask(lambda: mended(home))  # an error is one of the problems
    again = ask(lambda: day(home))
    last = ask(lambda: ended(home))
    problems = []
    if "error" in first and (first["code"] != 5 or "\n" in first["error"]):
        problems.append(f"was told as: {first['error'][:300]}")
    if "error" in seen or seen["published"] not in (before, wanted) or ("damaged" in seen and not torn_block):
        problems.append(f"in between: {seen}")
    if seen.get("lost"):
        problems.append(f"{seen['lost']} acknowledged commits lost")
    if again.get("digest") != wanted:
        problems.append(f"run again: {again}")
    if last.get("stored") != wanted or last.get("published") != wanted or last["findings"] or last["about"]:
        problems.append(f"at the end: {last}")
    shutil.rmtree(home)
    answer.unlink()
    return {
        "point": point.name, "met": "killed" in first or "error" in first, "first": first.get("error", ""),
        "mended": torn_block, "lost": seen.get("lost", 0), "torn": int(seen.get("published") == "torn"),
        "problem": "; ".join(problems),
    }  # fmt: skip


def points(found: list[Call], fates: tuple[str, ...], each_kind: bool) -> list[Point]:
    """Which calls meet which fates: all, or of each kind of call one, the fates taking turns."""
    every = [Point(call, fate) for call in found for fate in fates if fate != "tear" or call.name in TORN]
    if not each_kind:
        return every
    kinds: dict[tuple[str, str], list[Call]] = {}
    for call in found:
        kinds.setdefault(call.kind, []).append(call)
    chosen = []
    for number, group in enumerate(kinds.values()):
        possible = [fate for fate in fates if fate != "tear" or group[0].name in TORN]
        chosen.append(Point(group[(number * 7) % len(group)], possible[number % len(possible)]))
    return chosen


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--home", type=Path, help=f"a home in which the day of {BEFORE} is done (else one is made)")
    ask.add_argument("--folder", type=Path, help="where to work (else a temporary folder)")
    ask.add_argument("--fate", choices=FATES, action="append")
    ask.add_argument("--call", type=int)
    ask.add_argument("--every", type=int, default=1, help="only each such call")
    ask.add_argument("--each-kind", action="store_true")
    ask.add_argument("--at-most", type=int, help="so many points, spread over those chosen")
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as built:
            return subprocess.run([sys.executable, "-m", "tests.faults.every_write", *sys.argv[1:]],
                                  env=environment(build(Path(built))), check=False).returncode  # fmt: skip
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        return suite(asked, Path(folder))


def suite(asked: argparse.Namespace, work: Path) -> int:
    start = asked.home or made(work / "start")
    calm, log = Path(shutil.copytree(start, work / "calm")), work / "calls"
    forked(lambda: looked_at(calm), work / "before.json")
    forked(lambda: {"report": counted(calm, log), "modules": sorted(sys.modules)}, work / "after.json")
    after = json.loads((work / "after.json").read_text())
    wanted, before = after["report"]["digest"], json.loads((work / "before.json").read_text())["published"]
    be_ready(after["modules"])
    found = calls(log)
    chosen = points(found, tuple(asked.fate or FATES), asked.each_kind)
    chosen = [p for p in chosen if asked.call in (None, p.call.number) and p.call.number % asked.every == 0]
    if asked.at_most:
        chosen = chosen[:: -(-len(chosen) // asked.at_most)]
    begin = time.monotonic()
    with ThreadPoolExecutor(asked.workers) as pool:  # each thread only waits for its children
        tries = pool.map(lambda point: tried(point, start, work, wanted, before), chosen)
        results = list(telling(tries, len(chosen), lambda r: r["problem"] and f"{r['point']}: {r['problem']}"))
    bad = [result for result in results if result["problem"]]
    summary = {
        "calls": len(found), "tried": len(results), "met": sum(r["met"] for r in results), "converged": len(results) - len(bad),
        "mended": sum(r["mended"] for r in results),
        "lost": sum(r["lost"] for r in results), "torn": sum(r["torn"] for r in results),
        "told": sorted({re.sub(r"/\w+-\d+/", "/", r["first"].replace(str(work), ""))[:120] for r in results} - {""})[:20],
        "seconds": round(time.monotonic() - begin), "problems": [f"{r['point']}: {r['problem']}" for r in bad],
    }  # fmt: skip
    if asked.json:
        print(json.dumps(summary))
    else:
        for line in summary["problems"]:
            print(line)
        print("\n".join(["errors were told as:", *summary["told"]]))
        print(
            f"{summary['calls']} write calls of a day; {summary['tried']} points tried, {summary['met']} disturbed the run, "
            f"{summary['converged']} converged ({summary['mended']} of them from a file that did not open), "
            f"{summary['lost']} acknowledged commits lost, "
            f"{summary['torn']} torn reads ({summary['seconds']} s)"
        )
    return 1 if bad else 0


def made(home: Path) -> Path:
    """A home in miniature in which the day before is done."""
    from tests.tiny import tiny_home

    tiny_home(home)
    answer = home.with_suffix(".json")
    forked(lambda: day(home, BEFORE), answer)
    if "error" in json.loads(answer.read_text()):
        raise SystemExit(answer.read_text())
    return home


if __name__ == "__main__":
    sys.exit(main())
