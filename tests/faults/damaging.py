"""Damage of every kind in every file of a home: what of it is found.

    python -m tests.faults.damaging                         # a hundred of each
    python -m tests.faults.damaging --times 5

In the database file, whose free space nobody reads, only damage counts that changes what is read; it is tried until there were
``--times`` such. The write-ahead log holds what is not published yet: there, too, what is read (or that it cannot be) decides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults.killing import forked
from tests.faults.scenes import made
from tests.faults.telling import telling

ROOT = Path(__file__).resolve().parents[2]


def flip(data: bytearray, at: int, chance: random.Random) -> None:
    """One bit."""
    data[at] ^= 1 << chance.randrange(8)


def swap(data: bytearray, at: int, chance: random.Random) -> None:
    """Two different words of eight bytes: the engine's own checksum does not depend on their order."""
    at -= at % 8
    for other in range(at + 8, min(at + 4000, len(data) - 8), 8):
        if data[at : at + 8] != data[other : other + 8]:
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
            return
    data[at] ^= 1


def zero(data: bytearray, at: int, chance: random.Random) -> None:
    """512 bytes."""
    data[at : at + 512] = bytes(len(data[at : at + 512]))


def truncate(data: bytearray, at: int, chance: random.Random) -> None:
    del data[at:]


KINDS: dict[str, Callable[[bytearray, int, random.Random], None]] = {"bit flips": flip, "word swaps": swap, "zeroed": zero}
CUT = {"truncations": truncate}


def content(home: Path) -> dict:
    """What the database answers, or that it cannot be read."""
    import duckdb

    from forecasting.errors import NextcloseError
    from storage.connection import open_database
    from storage.home import Home
    from storage.manifest import NOT_CONTENT

    try:
        con = open_database(Home(home).database, lock_wait=0.0)
        names = con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' ORDER BY 1").fetchall()
        rows = {n: con.execute(f"SELECT * FROM store.{n} ORDER BY ALL").fetchall() for (n,) in names if n not in NOT_CONTENT}
        con.close()
    except (NextcloseError, duckdb.Error, UnicodeDecodeError) as error:
        return {"content": type(error).__name__}
    return {"content": hashlib.sha256(repr(rows).encode()).hexdigest()}


def findings(home: Path) -> list[str]:
    """What ``verify`` finds; it reads the database in a process of its own by itself."""
    from storage.home import Home
    from storage.verify import verify

    return [str(finding) for finding in verify(Home(home))]


def in_child(work: Callable[[], object], answer: Path) -> object:
    """The answer, or how the child died: some damage crashes the engine."""
    status = forked(work, answer)
    return json.loads(answer.read_text()) if os.WIFEXITED(status) else f"signal {os.WTERMSIG(status)}"


def places(data: bytes, count: int, chance: random.Random, used_only: bool) -> list[int]:
    at = [n for n in range(0, max(len(data) - 512, 1), 512) if not used_only or data[n : n + 512].count(0) < 400]
    at = at or [0]
    return [min(chance.choice(at) + chance.randrange(504), len(data) - 1) for _ in range(count)]


def database(start: Path, folder: Path, times: int, kind: str, chance: random.Random) -> tuple[int, int, int]:
    """(changed content, found, hit nothing that is read)."""
    home, answer = Path(shutil.copytree(start, folder / f"database-{kind}")), folder / "answer.json"
    file = home / "nextclose.duckdb"
    whole, expected = file.read_bytes(), in_child(lambda: content(home), answer)
    changed = found = idle = 0
    for at in places(whole, 40 * times, chance, used_only=True):
        data = bytearray(whole)
        KINDS[kind](data, at, chance)
        file.write_bytes(data)
        if in_child(lambda: content(home), answer) == expected:
            idle += 1
        else:
            file.write_bytes(data)
            changed += 1
            found += bool(findings(home))
        (home / "nextclose.duckdb.wal").unlink(missing_ok=True)
        if changed == times:
            break
    shutil.rmtree(home)
    return changed, found, idle


def plain(start: Path, folder: Path, times: int, kind: str, file: Path, chance: random.Random) -> tuple[int, int, int]:
    """A file that has a digest of its own: any change counts. ``file`` is relative to the home."""
    from storage.home import Home
    from storage.manifest import read_manifest
    from storage.model_folders import model_problem
    from storage.verify import _landing, _snapshot

    home = Home(Path(shutil.copytree(start, folder / f"plain-{kind}")))
    target = home.path / file
    target.chmod(0o644)
    whole, tried, found, idle = target.read_bytes(), 0, 0, 0
    for at in places(whole, 2 * times, chance, used_only=kind == "zeroed"):
        data = bytearray(whole)
        (KINDS | CUT)[kind](data, at, chance)
        if data == whole:  # zeros where there were zeros
            idle += 1
            continue
        target.write_bytes(data)
        tried += 1
        if file.parts[0] == "models":
            found += model_problem(home, file.parts[1]) is not None
        elif file.parts[0] == "landing":
            found += len(_landing(home)) == 1
        else:
            found += len(_snapshot(home, read_manifest(home)["snapshot"])) == 1
        if tried == times:
            break
    shutil.rmtree(home.path)
    return tried, found, idle


UNPUBLISHED = """
import os, signal, sys
from storage.bars import append_bars
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from tests.storage.by_hand import MONDAY, bars
home = Home(sys.argv[1])
db = Database(home)
with hold_lease(home, db, "daily") as lease, db.kept_open():
    for n in range(6):
        with db.writing(lease, "run2", f"store_prices/{n}") as tx:
            rows = bars(*((f"S{i:03d}", f"2026-11-{10 + n}", 50.0 + i % 3) for i in range(300)))
            append_bars(tx, rows, "files", "as_traded", MONDAY)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def log(start: Path, folder: Path, times: int, kind: str, chance: random.Random) -> tuple[int, int, int]:
    """The write-ahead log of a run that was killed: rows that differ or are gone must be told by the journal, before
    anything opens the file, which would fold the log in."""
    home = Path(shutil.copytree(start, folder / f"log-{kind}"))
    died = subprocess.run([sys.executable, "-c", UNPUBLISHED, str(home)], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL
    names = ("nextclose.duckdb", "nextclose.duckdb.wal", ".commits")
    kept = {name: (home / name).read_bytes() for name in names}
    answer = folder / "answer.json"
    expected = in_child(lambda: content(home), answer)
    changed = found = idle = 0
    for at in places(kept["nextclose.duckdb.wal"], 40 * times, chance, used_only=False):
        data = bytearray(kept["nextclose.duckdb.wal"])
        (KINDS | CUT)[kind](data, at, chance)
        for name in names:
            (home / name).write_bytes(data if name.endswith(".wal") else kept[name])
        told = bool(in_child(lambda: log_findings(home), answer))
        if in_child(lambda: content(home), answer) == expected:
            idle += 1
        else:
            changed += 1
            found += told
        if changed == times:
            break
    shutil.rmtree(home)
    return changed, found, idle


def log_findings(home: Path) -> list[str]:
    """What ``doctor`` and ``recover`` look at: whether the log can be read, and whether a commit is gone."""
    from storage.apart import opens_apart
    from storage.connection import open_database
    from storage.home import Home
    from storage.journal import log_changed, lost

    at = Home(home)
    if log_changed(at):
        return ["was changed"]
    if not opens_apart(at.database):
        return ["cannot be opened"]
    con = open_database(at.database)
    writes = con.execute("SELECT writes FROM store.lease").fetchone()[0]
    con.close()
    return [commit.step for commit in lost(at, writes)]


def exchanged(start: Path, folder: Path) -> tuple[int, int, int]:
    """A valid model folder under another's name."""
    from storage.home import Home
    from storage.model_folders import load_model, model_problem, save_model

    home = Home(Path(shutil.copytree(start, folder / "exchanged")))
    [model_id] = [path.name for path in home.models.iterdir() if len(path.name) == 64]
    arrays, card = load_model(home, model_id)
    other = save_model(home, arrays, card | {"seed": 12345})
    shutil.rmtree(home.models / model_id)
    shutil.copytree(home.models / other, home.models / model_id)
    found = model_problem(home, model_id) is not None and any("model" in text for text in findings(home.path))
    return 1, int(found), 0


def suite(start: Path, folder: Path, times: int) -> dict[str, tuple[int, int, int]]:
    """All damages: (damaged, found, hit nothing that is read) by file and kind."""
    chance = random.Random(20)
    landing = max((start / "landing").iterdir(), key=lambda path: path.stat().st_size).relative_to(start)
    model = next((start / "models").glob("*/weights.npz")).relative_to(start)
    work: list[tuple[str, Callable[[], tuple[int, int, int]]]] = []
    for kind in KINDS:
        work.append((f"database, {kind}", lambda kind=kind: database(start, folder, times, kind, chance)))
        for what, file in (("snapshot", Path("snapshot.duckdb")), ("landing file", landing)):
            work.append((f"{what}, {kind}", lambda kind=kind, file=file: plain(start, folder, times, kind, file, chance)))
    cuts = max(times // 2, 1)
    work.append(("model file, truncations", lambda: plain(start, folder, cuts, "truncations", model, chance)))
    work.append(("model under another's name", lambda: exchanged(start, folder)))
    for kind in KINDS | CUT:
        work.append((f"write-ahead log, {kind}", lambda kind=kind: log(start, folder, times, kind, chance)))
    return dict(telling(((name, one()) for name, one in work), len(work), _missed))


def _missed(found: tuple[str, tuple[int, int, int]]) -> str:
    name, (damaged, seen, _) = found
    return "" if seen == damaged else f"{name}: found {seen} of {damaged}"


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--times", type=int, default=100)
    ask.add_argument("--home", type=Path, help="a home with a day done in it (else one is made)")
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        result = suite(asked.home or made(Path(folder) / "start"), Path(folder), asked.times)
    if asked.json:
        print(json.dumps({name: [damaged, found] for name, (damaged, found, _) in result.items()}))
    else:
        for name, (damaged, found, idle) in result.items():
            print(f"{name}: found {found} of {damaged}" + (f" ({idle} more hit nothing that is read)" if idle else ""))
    return 1 if any(found < damaged for damaged, found, _ in result.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
