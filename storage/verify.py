"""``verify``: read everything again and compare it with the manifest. Changes nothing.

The database is read in a child process: some damage makes DuckDB crash instead of saying so, and that is an answer too.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, NextcloseError
from storage.connection import opened
from storage.exchange import begun
from storage.home import Home
from storage.journal import log_changed
from storage.landing import landing_files, landing_problem
from storage.lockfile import lock_holder
from storage.manifest import TableDigest, digest_table, read_manifest, tables_of
from storage.migrate import schema_number
from storage.model_folders import model_problem

_TRIES = 3
_MOMENT = 5.0  # seconds between the two renames of a publish, at most


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was left. ``kind``: manifest, database, unpublished, snapshot, model or landing."""

    kind: str
    what: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.sentence}"


def in_short(findings: list[Finding]) -> str:
    """The first of them without what to do, and how many more there are."""
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    return str(findings[0]).partition(";")[0] + more


def verify(home: Home, lock_wait: float = 10.0, alone: bool = False) -> list[Finding]:
    """What differs from the last publish, one finding each; [] when all is well. Raises DatabaseLocked while a run writes.

    What a run published meanwhile is no damage: then everything is read once more. ``alone``: whoever asks has the lock, so
    that nobody publishes.
    """
    if alone:
        return _looked_at(home, lock_wait)
    for _ in range(_TRIES):
        before = _published(home)
        found = _looked_at(home, lock_wait)
        if not found or _published(home) == before:
            break
    return found


def _published(home: Home) -> tuple[bytes, int]:
    """What tells one publish from the next; waits a moment for one under way, which puts the snapshot in place first."""
    give_up = time.monotonic() + _MOMENT
    try:
        while True:
            snapshot, manifest = home.snapshot.stat(), home.manifest.stat()
            old = time.time() - snapshot.st_ctime > _MOMENT or time.monotonic() > give_up
            if old or snapshot.st_mtime_ns <= manifest.st_mtime_ns:
                return home.manifest.read_bytes(), snapshot.st_ino
            time.sleep(0.05)
    except OSError:
        return b"", 0


def _looked_at(home: Home, lock_wait: float) -> list[Finding]:
    if begun(home):
        if (holder := lock_holder(home)) is not None:
            raise DatabaseLocked(f"{holder} is exchanging the files of {home.path}; wait for it to end")
        text = "a restore or a repair was begun and did not end; run `nextclose recover`, or the next run finishes it"
        return [Finding("database", home.database.name, text)]
    try:
        manifest = read_manifest(home)
    except DatabaseCorrupt as error:
        return [Finding("manifest", home.manifest.name, str(error)), *_models(home, lock_wait), *_landing(home)]
    if log_changed(home):
        what = Finding("database", home.log.name, "was changed since it was written; run `nextclose recover`")
        return [what, *_snapshot(home, manifest["snapshot"]), *_landing(home)]  # not opened, which would fold it in
    found = _database_apart(home, lock_wait)
    models = [finding for finding in found if finding.kind == "model"]
    return [*(f for f in found if f.kind != "model"), *_snapshot(home, manifest["snapshot"]), *models, *_landing(home)]


def _database_apart(home: Home, lock_wait: float) -> list[Finding]:
    """What the child process found, or that it crashed over the file."""
    child = subprocess.run(
        [sys.executable, "-m", "storage.verify", str(home.path), str(lock_wait)],
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        text = "reading it makes the database engine crash: the file is damaged; run `nextclose recover`"
        return [Finding("database", home.database.name, text)]
    if "locked" in answer:
        raise DatabaseLocked(answer["locked"])
    return [Finding(*finding) for finding in answer["findings"]]


def _child(path: str, lock_wait: str) -> None:
    """Print the findings about the database as one line of JSON."""
    home = Home(path)
    manifest = read_manifest(home)
    try:
        found = _database(home, tables_of(manifest), manifest["schema"], float(lock_wait)) + _models(home, float(lock_wait))
        answer = {"findings": [astuple(finding) for finding in found]}
    except DatabaseLocked as error:
        answer = {"locked": str(error)}
    print(json.dumps(answer))


def _database(home: Home, expected: dict[str, TableDigest], schema: int, lock_wait: float) -> list[Finding]:
    findings = []
    if not home.database.exists():
        return [Finding("database", home.database.name, "the file is missing; run `nextclose recover`")]
    with ExitStack() as held:
        con: duckdb.DuckDBPyConnection | None = None
        for name, table in sorted(expected.items()):
            try:
                con = con or held.enter_context(opened(home.database, read_only=True, lock_wait=lock_wait))
                if _moved(con, name, schema):
                    what = f"its rows went into other tables with a newer nextclose (schema {schema_number(con)})"
                    findings.append(Finding("unpublished", name, f"{what}; run `nextclose run` to publish it again"))
                    continue
                findings += _compared(name, table, digest_table(con, name))
            except DatabaseCorrupt as error:
                return [*findings, Finding("database", name, str(error))]
            except (duckdb.Error, UnicodeDecodeError) as error:
                text = " ".join(str(error).split())[:160]
                findings.append(Finding("database", name, f"cannot be read ({text}); run `nextclose recover`"))
                held.close()  # DuckDB gives a connection up for good after some kinds of damage
                con = None
    return findings


def _moved(con: duckdb.DuckDBPyConnection, table: str, schema: int) -> bool:
    """Whether a table of the manifest is gone because a migration since then took it away."""
    there = con.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = ?", [table]).fetchone()
    return there is None and schema_number(con) > schema


def _compared(name: str, expected: TableDigest, found: TableDigest) -> list[Finding]:
    findings = []
    for month in sorted(set(expected.chunks) | set(found.chunks)):
        before, now = expected.chunks.get(month), found.chunks.get(month)
        what = f"{name} {_date_of(month)}".strip()
        had, has = before.rows if before else 0, now.rows if now else 0
        if has < had:
            findings.append(
                Finding("database", what, f"{has} rows, the manifest says {had}: rows were lost; run `nextclose recover`")
            )
        elif has > had:
            findings.append(
                Finding("unpublished", what, f"{has - had} rows are not published yet; run `nextclose run` to finish that run")
            )
        elif now != before:
            findings.append(Finding("database", what, "the rows are not those that were stored; run `nextclose recover`"))
    return findings


def _snapshot(home: Home, expected: dict) -> list[Finding]:
    try:
        with home.snapshot.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return [
            Finding(
                "snapshot", home.snapshot.name, f"cannot be read ({error.strerror}); run `nextclose run` to publish it again"
            )
        ]
    if found != expected["sha256"]:
        return [Finding("snapshot", home.snapshot.name, "is not the published file; run `nextclose run` to publish it again")]
    return []


def _models(home: Home, lock_wait: float) -> list[Finding]:
    try:
        with opened(home.database, read_only=True, lock_wait=lock_wait) as con:
            ids = [row[0] for row in con.execute("SELECT model_id FROM store.models ORDER BY model_id").fetchall()]
    except (NextcloseError, duckdb.Error, UnicodeDecodeError):
        return []  # the database's own findings say it
    problems = ((f"{model_id:.16}", model_problem(home, model_id)) for model_id in ids)
    return [Finding("model", name, problem.removeprefix(f"model {name} ")) for name, problem in problems if problem]


def _landing(home: Home) -> list[Finding]:
    """What the sources sent; nothing reads it again but a reproduction of the day, which refuses a changed file itself."""
    problems = ((path.name, landing_problem(path)) for path in landing_files(home))
    advice = "run `nextclose recover`"
    return [Finding("landing", name[:16], f"{problem}; {advice}") for name, problem in problems if problem]


def _date_of(chunk: int) -> str:
    """A chunk's number as people write it: 202104 is 2021-04, 20210409 is 2021-04-09, 0 is nothing."""
    text = str(chunk)
    return "" if chunk == 0 else "-".join(part for part in (text[:4], text[4:6], text[6:]) if part)


if __name__ == "__main__":
    _child(*sys.argv[1:])
