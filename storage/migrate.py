"""Numbered SQL migrations, forward only, each with a backup before and a checkpoint after; and the views.

The number of the last migration is kept in ``store.migrations``; a file with a higher number than this code knows is
refused. The views are created anew only when their text changed, so that a daily run does no DDL.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, SchemaTooNew
from storage.connection import open_database, opened, translated
from storage.exchange import begun, finish
from storage.home import Home, disk_errors, fsync
from storage.journal import log_changed
from storage.lockfile import already_running, lock_holder, take_lock
from storage.turns import turn
from storage.views import view_statements, views_digest

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str


@cache
def known_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """The migrations of this code, ascending; their numbers are 1, 2, 3, ... without a gap."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        number, name = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name).groups()
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the numbers of {folder}/*.sql have a gap")
    return tuple(found)


def schema_number(con: duckdb.DuckDBPyConnection) -> int:
    """The number of the last migration applied; 0 for a file without any, -1 for a file that is not ours."""
    names = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store'").fetchall()}
    if "migrations" in names:
        return con.execute("SELECT coalesce(max(number), 0) FROM store.migrations").fetchone()[0]
    other = con.execute("SELECT count(*) FROM duckdb_tables() WHERE NOT internal").fetchone()[0]
    return -1 if other else 0


def prepare(home: Home, migrations: tuple[Migration, ...], memory_mb: int, lock_wait: float) -> str | None:
    """Bring ``home.database`` to the newest schema: create, migrate or leave as it is; views follow.

    What a restore or a repair that died had begun is finished. A file that a power cut tore is mended, where the published
    snapshot can do that without a loss; a sentence about it.
    Raises DatabaseCorrupt, SchemaTooNew, DatabaseLocked, AlreadyRunning, HomeNotWritable.
    """
    home.ensure_writable()
    with _alone(home):
        finished = None
        if begun(home) or not home.database.exists():
            with disk_errors(home), take_lock(home, "open", patience=1.0), turn(home.database, writing=True, wait=10.0):
                finished = finish(home)
                if not home.database.exists():  # nor did another process that had the lock just bring one
                    _create(home, migrations, memory_mb)
                    return None
        if log_changed(home):  # opened, it would be folded in, and its rows taken for those that were stored
            raise DatabaseCorrupt(f"{home.log} was changed since it was written; run `nextclose recover`")
        try:
            _bring_up(home, migrations, memory_mb, lock_wait)
        except DatabaseCorrupt:
            from storage.torn_writes import mend_torn_writes

            with disk_errors(home), take_lock(home, "mend", patience=1.0):
                mended = mend_torn_writes(home)
            if mended is None:
                raise
            _bring_up(home, migrations, memory_mb, lock_wait)
            return mended
    return finished


def _bring_up(home: Home, migrations: tuple[Migration, ...], memory_mb: int, lock_wait: float) -> None:
    newest = migrations[-1].number
    with _opened(home, memory_mb, lock_wait) as con:
        number, stale = _found(con, home, newest)
        with translated(home.database):
            if number < newest:
                con.execute("CHECKPOINT")
            elif stale:
                _apply(con, ())
    if number < newest:
        _back_up(home, number)
        with _opened(home, memory_mb, lock_wait) as con, translated(home.database):
            _apply(con, tuple(m for m in migrations if m.number > number))


def _found(con: duckdb.DuckDBPyConnection, home: Home, newest: int) -> tuple[int, bool]:
    """The schema's number, and whether the views are not those of this code; refuses what is not ours, and what is newer."""
    with translated(home.database):
        number = schema_number(con)
        if number < 0:
            raise DatabaseCorrupt(f"{home.database} is a DuckDB file, but not one of nextclose; choose another --home DIR")
        if number > newest:
            raise SchemaTooNew(
                f"{home.database} has schema {number}, this nextclose knows {newest}; upgrade nextclose "
                f"(older copies are in {home.backups})"
            )
        return number, number == 0 or _views_are_stale(con)


@contextmanager
def _opened(home: Home, memory_mb: int, lock_wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection; AlreadyRunning within a second where the process that keeps the file is a run with the lease."""
    soon = min(lock_wait, 0.5)
    with ExitStack() as held:
        try:
            con = held.enter_context(opened(home.database, memory_mb=memory_mb, lock_wait=soon))
        except DatabaseLocked:
            holder = lock_holder(home)
            if holder is not None:
                raise already_running(home, holder) from None
            con = held.enter_context(opened(home.database, memory_mb=memory_mb, lock_wait=lock_wait - soon))
        yield con


def _create(home: Home, migrations: tuple[Migration, ...], memory_mb: int) -> None:
    """Make the file under another name and link it into place, so that no half-made file ever has the real name."""
    for known in (home.manifest, home.snapshot):
        if known.exists():
            raise DatabaseCorrupt(
                f"{home.database} is missing, but {known.name} says that there was one; run `nextclose recover`, which "
                f"takes it from the snapshot or a backup, or remove {known} to start anew"
            )
    fresh = home.path / f".nextclose.duckdb-{uuid.uuid4().hex[:12]}"
    try:
        con = open_database(fresh, memory_mb=memory_mb)
        try:
            con.execute("CREATE SCHEMA store")
            con.execute(
                "CREATE TABLE store.migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMPTZ)"
            )
            con.execute("CREATE TABLE store.meta (key VARCHAR NOT NULL, value VARCHAR)")
            con.execute("INSERT INTO store.meta VALUES ('database_id', ?), ('views', '')", [uuid.uuid4().hex])
            _apply(con, migrations)
        finally:
            con.close()
        os.link(fresh, home.database)
        fsync(home.path)
    finally:
        fresh.unlink(missing_ok=True)
        Path(f"{fresh}.wal").unlink(missing_ok=True)


def _apply(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...]) -> None:
    """Apply ``migrations`` and the views in one transaction, then checkpoint (a log with DDL in it replays badly)."""
    con.execute("BEGIN")
    try:
        if migrations:  # a view may name a column that goes away
            for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
                con.execute(f'DROP VIEW "{name}"')
        for migration in migrations:
            con.execute(migration.sql)
            con.execute("INSERT INTO store.migrations VALUES (?, ?, now())", [migration.number, migration.name])
        for statement in view_statements():
            con.execute(statement)
        con.execute("UPDATE store.meta SET value = ? WHERE key = 'views'", [views_digest()])
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("CHECKPOINT")


def _views_are_stale(con: duckdb.DuckDBPyConnection) -> bool:
    return con.execute("SELECT value FROM store.meta WHERE key = 'views'").fetchone() != (views_digest(),)


def _back_up(home: Home, number: int) -> Path:
    """Copy the checkpointed, closed file to ``backups/``; its name says schema and content."""
    home.backups.mkdir(exist_ok=True)
    digest = hashlib.sha256(home.database.read_bytes()).hexdigest()[:12]
    copy = home.backups / f"nextclose-schema{number:04d}-{digest}.duckdb"
    if not copy.exists():
        temporary = copy.with_suffix(".tmp")
        shutil.copyfile(home.database, temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(temporary, copy)
        fsync(home.backups)
    return copy


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Only one process at a time creates or migrates; the kernel frees the lock of one that dies."""
    with (home.path / ".migration-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
