"""``verify``: read everything again and compare it with the manifest. Changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import duckdb

from forecasting.errors import DatabaseCorrupt, NextcloseError
from storage.connection import open_database
from storage.home import Home
from storage.manifest import TableDigest, digest_table, read_manifest, tables_of
from storage.registry import model_problem


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was left. ``kind``: manifest, database, unpublished, snapshot or model."""

    kind: str
    what: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.sentence}"


def verify(home: Home, lock_wait: float = 10.0) -> list[Finding]:
    """What differs from the last publish, one finding each; [] when all is well. Raises DatabaseLocked while a run writes.

    Opens the file read-only, except where a log was left by a killed run, which DuckDB then folds in.
    """
    try:
        manifest = read_manifest(home)
    except DatabaseCorrupt as error:
        return [Finding("manifest", home.manifest.name, str(error)), *_models(home, lock_wait)]
    return [*_database(home, tables_of(manifest), lock_wait), *_snapshot(home, manifest["snapshot"]), *_models(home, lock_wait)]


def _database(home: Home, expected: dict[str, TableDigest], lock_wait: float) -> list[Finding]:
    findings = []
    if not home.database.exists():
        return [Finding("database", home.database.name, "the file is missing; restore it from a copy")]
    con: duckdb.DuckDBPyConnection | None = None
    try:
        for name, table in sorted(expected.items()):
            try:
                con = con or open_database(home.database, read_only=not _has_log(home), lock_wait=lock_wait)
                findings += _compared(name, table, digest_table(con, name))
            except DatabaseCorrupt as error:
                return [*findings, Finding("database", name, str(error))]
            except (duckdb.Error, UnicodeDecodeError) as error:
                text = " ".join(str(error).split())[:160]
                findings.append(Finding("database", name, f"cannot be read ({text}); restore the file from a copy"))
                if con is not None:  # DuckDB gives a connection up for good after some kinds of damage
                    con.close()
                    con = None
    finally:
        if con is not None:
            con.close()
    return findings


def _has_log(home: Home) -> bool:
    return home.database.with_name(home.database.name + ".wal").exists()


def _compared(name: str, expected: TableDigest, found: TableDigest) -> list[Finding]:
    findings = []
    for month in sorted(set(expected.chunks) | set(found.chunks)):
        before, now = expected.chunks.get(month), found.chunks.get(month)
        what = f"{name} {_date_of(month)}".strip()
        had, has = before.rows if before else 0, now.rows if now else 0
        if has < had:
            findings.append(
                Finding("database", what, f"{has} rows, the manifest says {had}: rows were lost; restore the file from a copy")
            )
        elif has > had:
            findings.append(
                Finding("unpublished", what, f"{has - had} rows are not published yet; run `nextclose run` to finish that run")
            )
        elif now != before:
            findings.append(Finding("database", what, "the rows are not those that were stored; restore the file from a copy"))
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
        con = open_database(home.database, read_only=not _has_log(home), lock_wait=lock_wait)
        try:
            ids = [row[0] for row in con.execute("SELECT model_id FROM store.models ORDER BY model_id").fetchall()]
        finally:
            con.close()
    except (NextcloseError, duckdb.Error, UnicodeDecodeError):
        return []  # the database's own findings say it
    problems = ((model_id, model_problem(home, model_id)) for model_id in ids)
    return [Finding("model", model_id[:16], problem) for model_id, problem in problems if problem]


def _date_of(chunk: int) -> str:
    """A chunk's number as people write it: 202104 is 2021-04, 20210409 is 2021-04-09, 0 is nothing."""
    text = str(chunk)
    return "" if chunk == 0 else "-".join(part for part in (text[:4], text[4:6], text[6:]) if part)
