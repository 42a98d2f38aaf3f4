"""The master property at every write call: a day is killed there, loses its power, or meets a full or broken disk; and again.

    python -m tests.faults.every_write                      # all calls of a day, each with every fate that it can meet
    python -m tests.faults.every_write --each-kind          # one call of each kind (call and file)
    python -m tests.faults.every_write --fate kill --call 41
    python -m tests.faults.every_write --scene restore      # of another thing that changes a home, see tests/faults/scenes.py
    python -m tests.faults.every_write --sample             # of three scenes some calls of different kinds: what the tests try

Calls are those of the operating system, counted under Python and DuckDB alike (disk.c). Wanted after each: the digest of an
undisturbed day, no acknowledged commit lost, and readers who see the day before or the day itself, whole. A disturbed scene is
followed by the scene again and the day, and, from a copy, by the day straight away: nobody may have noticed.

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.disk import TORN, Call, build, calls, environment, fail
from tests.faults.killing import be_ready, forked
from tests.faults.scenes import BEFORE, SCENES, Scene, copied, day, done, made, recover
from tests.faults.simulated_run import leftovers
from tests.faults.telling import telling

FATES = ("kill", "tear", "power", "full", "broken")


@dataclass(frozen=True)
class Choice:
    """Which points of a scene are tried: of its calls all, one alone or each so-many-th, or one of each kind; with these fates;
    and of all that at most so many, spread over them."""

    scene: str
    fates: tuple[str, ...] = FATES
    call: int | None = None
    every: int = 1
    each_kind: bool = False
    at_most: int | None = None

    def of(self, found: list[Call]) -> list[Point]:
        chosen = points(found, self.fates, self.each_kind)
        chosen = [p for p in chosen if self.call in (None, p.call.number) and p.call.number % self.every == 0]
        return chosen[:: -(-len(chosen) // self.at_most)] if self.at_most else chosen


#: Made in one process: what a day needs is imported once.
SAMPLE = (
    Choice("day", each_kind=True, at_most=9),
    Choice("restore", ("kill",), each_kind=True, at_most=5),
    Choice("recover-both", ("kill",), each_kind=True, at_most=5),
)


@dataclass(frozen=True)
class Point:
    call: Call
    fate: str

    @property
    def name(self) -> str:
        return f"{self.fate} at call {self.call.number} ({self.call.name} {self.call.file})"


def disturbed(home: Path, scene: Scene, point: Point) -> dict:
    fail(home, point.fate, point.call.number)
    answer = scene.act(home)
    fail(Path("/nowhere"))
    return answer


def counted(home: Path, scene: Scene, log: Path) -> dict:
    fail(home, log=log)
    answer = scene.act(home)
    fail(Path("/nowhere"))
    return answer | {"modules": sorted(sys.modules)}


def read(home: Path) -> str:
    """The digest of what readers see; "torn" where it is not what it says of itself, "unreadable" where it is damaged,
    "nothing" where nothing is published."""
    import duckdb

    from forecasting.errors import StorageError
    from storage.home import Home
    from storage.manifest import content_digest
    from storage.snapshot import open_snapshot

    try:
        with open_snapshot(Home(home)) as con:
            said = con.execute("SELECT digest FROM store.publication").fetchone()[0]
            return said if said == content_digest(con) else "torn"
    except (StorageError, duckdb.Error):
        return "unreadable" if (home / "snapshot.duckdb").exists() else "nothing"


def looked_at(home: Path) -> dict:
    """What is there after the disturbance, before the next run: what readers see, and commits that were told and are gone.

    The database is looked at in a copy: to open it would fold its log in, which is the next run's to do."""
    from forecasting.errors import DatabaseCorrupt
    from storage.connection import open_database
    from storage.home import Home
    from storage.journal import lost

    published = {"published": read(home)}
    if not (home / "nextclose.duckdb").exists():
        return published | {"lost": 0}
    copy = Home(home.with_name(f"{home.name}-copy"))
    copy.path.mkdir()
    for path in home.iterdir():
        if path.name.startswith(("nextclose.duckdb", ".commits")):
            shutil.copyfile(path, copy.path / path.name)
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


def tried(point: Point, scene: Scene, start: Path, folder: Path, seen_before: frozenset[str], wanted: str) -> dict:
    """One point from beginning to end; ``problem`` is empty where all was as it must be.

    ``seen_before``: what readers may see before the last day is published, besides ``wanted``, its digest.
    """
    home = copied(start, folder / f"{point.fate}-{point.call.number}")
    answer = Path(f"{home}.json")

    def ask(work: Callable[[], dict]) -> dict:
        status = forked(lambda: scene.does(work), answer)
        return json.loads(answer.read_text()) if os.WIFEXITED(status) else {"killed": True}

    first = ask(lambda: disturbed(home, scene, point))
    seen = ask(lambda: looked_at(home) if scene.keeps else {"published": read(home)})
    torn_block = point.fate in ("tear", "power") and "damaged" in seen  # a part of a block of the engine's own catalogue
    problems = []
    if "error" in first and (first["code"] != 5 or "\n" in first["error"]):
        problems.append(f"was told as: {first['error'][:300]}")
    if scene.keeps:
        if torn_block:
            seen |= ask(lambda: mended(home))  # an error is one of the problems
        if "error" in seen or ("damaged" in seen and not torn_block):
            problems.append(f"in between: {seen}")
        if seen.get("lost"):
            problems.append(f"{seen['lost']} acknowledged commits lost")
    if seen.get("published") not in seen_before | {wanted}:
        problems.append(f"readers saw: {seen}")
    if scene.act is not day:
        straight = copied(home, home.with_name(f"{home.name}-straight"))
        problems += [f"the day straight away: {words}" for words in gone_on(straight, scene, ask, wanted, True)]
        shutil.rmtree(straight)
        again = ask(lambda: scene.act(home))
        if "error" in again or again.get("problems"):
            problems.append(f"again: {again}")
    problems += gone_on(home, scene, ask, wanted)
    shutil.rmtree(home)
    answer.unlink()
    return {
        "point": point.name, "met": "killed" in first or "error" in first, "first": first.get("error", ""),
        "mended": torn_block, "lost": seen.get("lost", 0), "torn": int(seen.get("published") == "torn"),
        "problem": "; ".join(problems),
    }  # fmt: skip


def gone_on(home: Path, scene: Scene, ask: Callable[..., dict], wanted: str, straight: bool = False) -> list[str]:
    """Do the day, after a repair where the answer is to type that; what is not as it must be then."""
    done = ask(lambda: day(home, scene.on))
    if "nextclose recover" in done.get("error", ""):
        ask(lambda: recover(home))
        done = ask(lambda: day(home, scene.on))
    last = ask(lambda: ended(home))
    problems = [] if done.get("digest") == wanted else [f"run again: {done}"]
    if straight:
        last["about"] = [name for name in last["about"] if not name.startswith(scene.leaves)]
    if last.get("stored") != wanted or last.get("published") != wanted or last["findings"] or last["about"]:
        problems.append(f"at the end: {last}")
    return problems


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
    ask.add_argument("--scene", choices=sorted(SCENES), default="day", help="what is disturbed")
    ask.add_argument("--fate", choices=FATES, action="append")
    ask.add_argument("--call", type=int)
    ask.add_argument("--every", type=int, default=1, help="only each such call")
    ask.add_argument("--each-kind", action="store_true")
    ask.add_argument("--at-most", type=int, help="so many points, spread over those chosen")
    ask.add_argument("--sample", action="store_true", help="what the tests try")
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as built:
            return subprocess.run([sys.executable, "-m", "tests.faults.every_write", *sys.argv[1:]],
                                  env=environment(build(Path(built))), check=False).returncode  # fmt: skip
    fates = tuple(asked.fate or FATES)
    one = Choice(asked.scene, fates, asked.call, asked.every, asked.each_kind, asked.at_most)
    bad = 0
    for choice in SAMPLE if asked.sample else (one,):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            summary = suite(choice, asked.home, Path(folder), asked.workers)
        show(summary, SCENES[choice.scene], asked.json)
        bad += len(summary["problems"])
    return 1 if bad else 0


def suite(choice: Choice, home: Path | None, work: Path, workers: int) -> dict:
    """Try the points of a scene; what came of it."""
    scene = SCENES[choice.scene]
    start, seen_before = started(scene, home, work)
    calm, log = copied(start, work / "calm"), work / "calls"
    act = done(work / "act.json", lambda: scene.does(lambda: counted(calm, scene, log)))
    be_ready(act["modules"])
    after = done(
        work / "after.json", lambda: scene.does(lambda: {"report": day(calm, scene.on), "modules": sorted(sys.modules)})
    )
    if "error" in after["report"]:
        raise SystemExit(after["report"]["error"])
    wanted = after["report"]["digest"]
    be_ready(after["modules"])
    found = calls(log)
    chosen = choice.of(found)
    begin = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:  # each thread only waits for its children
        tries = pool.map(lambda point: tried(point, scene, start, work, seen_before, wanted), chosen)
        results = list(telling(tries, len(chosen), lambda r: r["problem"] and f"{r['point']}: {r['problem']}"))
    bad = [result for result in results if result["problem"]]
    return {
        "scene": scene.what, "calls": len(found), "tried": len(results), "met": sum(r["met"] for r in results),
        "converged": len(results) - len(bad),
        "mended": sum(r["mended"] for r in results),
        "lost": sum(r["lost"] for r in results), "torn": sum(r["torn"] for r in results),
        "told": sorted({re.sub(r"/\w+-\d+\b", "", r["first"].replace(str(work), ""))[:120] for r in results} - {""})[:20],
        "seconds": round(time.monotonic() - begin), "problems": [f"{r['point']}: {r['problem']}" for r in bad],
    }  # fmt: skip


def show(summary: dict, scene: Scene, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    for line in summary["problems"]:
        print(line)
    print("\n".join(["errors were told as:", *summary["told"]]))
    kept = f", {summary['lost']} acknowledged commits lost" if scene.keeps else ""
    print(
        f"{summary['calls']} write calls of {scene.what}; {summary['tried']} points tried, {summary['met']} disturbed it, "
        f"{summary['converged']} converged ({summary['mended']} of them from a file that did not open){kept}, "
        f"{summary['torn']} torn reads ({summary['seconds']} s)"
    )


def started(scene: Scene, given: Path | None, work: Path) -> tuple[Path, frozenset[str]]:
    """The home in which the scene begins, and the digests that readers may see from its making on."""
    from tests.tiny import tiny_home

    home, before = work / "start", work / "before.json"
    if scene.bare:
        return tiny_home(home), frozenset({"nothing"})
    if given is None:
        made(home)
    else:
        copied(given, home)
    seen = {done(before, lambda: {"published": read(home)})["published"]}
    done(before, lambda: {"made": scene.start(home)})
    seen.add(done(before, lambda: {"published": read(home)})["published"])
    if "unreadable" in seen:  # a damaged snapshot is put aside before there is a good one
        seen.add("nothing")
    return home, frozenset(seen)


if __name__ == "__main__":
    sys.exit(main())
