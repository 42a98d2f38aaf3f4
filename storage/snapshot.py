"""The snapshot that readers open: a copy put in place by an atomic rename, read-only.

An open reader keeps the file it opened and blocks nobody; the next one opened sees the newest run, whole.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import duckdb

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, StorageError
from storage.apart import TRIED
from storage.connection import config, opened, opened_apart, refuse_unless_database, translate
from storage.database import Database
from storage.exchange import clear_staged
from storage.home import Home, copy_open, fsync
from storage.journal import begin_anew
from storage.manifest import (
    TableDigest,
    combined,
    digest_tables,
    read_manifest,
    snapshot_is_good,
    tables_of,
    write_manifest,
)
from storage.own_folder import clear_abandoned
from storage.spilling import Spill, new_spill

# What a run that was killed had begun to write, and nobody knows; only who has the home's lock writes any of it.
_LEFTOVERS = (".nextclose.duckdb-*", ".snapshot-*", ".manifest.json-*", "..commits-*", "landing/.*.parquet-*")
_AGAIN = "run `nextclose run` to publish it again"
_WHICH = "SELECT (SELECT max(number) FROM store.migrations), (SELECT value FROM store.meta WHERE key = 'database_id')"
_VIEWS = "SELECT value FROM store.meta WHERE key = 'views'"
_TRIES = 20  # to open a snapshot; each takes some twenty milliseconds, and a publish comes once a day


@dataclass(frozen=True)
class Published:
    """``digest`` is the content digest of everything; ``rows`` counts the content tables; ``size`` is in bytes."""

    digest: str
    rows: dict[str, int]
    size: int
    seconds: float


def publish(db: Database, home: Home, run_id: str, now: datetime) -> Published:
    """Checkpoint, digest, copy, fsync, rename, then the manifest. Call it while holding the lease.

    A kill at any point leaves the old snapshot or the new one, never a part; the next publish repairs the manifest.
    """
    began = time.monotonic()
    _clear_leftovers(home)
    fresh = home.path / f".snapshot-{uuid.uuid4().hex[:12]}.duckdb"
    try:
        with db.kept_open():
            with db.exclusive() as con:
                schema, identity = con.execute(_WHICH).fetchone()
                tables = digest_tables(con, _previous(home, identity, schema))
            with db.transaction() as con:
                row = [run_id, now, combined(tables), schema]
                con.execute("UPDATE store.publication SET run_id = ?, published_at = ?, digest = ?, schema = ?", row)
            db.checkpoint()
            with db.reading() as con:
                begin_anew(home, con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0])
        _copy(db, fresh)
        _check(fresh, tables, db.memory_mb)
        file_digest = _seal_file(fresh)
        os.replace(fresh, home.snapshot)
        fsync(home.path)
    finally:
        fresh.unlink(missing_ok=True)
        Path(f"{fresh}.wal").unlink(missing_ok=True)
    size = home.snapshot.stat().st_size
    facts = {
        "run_id": run_id,
        "published_at": now.isoformat(),
        "schema": schema,
        "database_id": identity,
        "snapshot": {"sha256": file_digest, "bytes": size},
    }
    write_manifest(home, facts, tables)
    return Published(combined(tables), {name: table.rows for name, table in tables.items()}, size, time.monotonic() - began)


def published(db: Database, home: Home) -> str | None:
    """The content digest of what is committed, where snapshot and manifest have just that; None where it is to be published.

    What a run that died had begun to write is cleared away. Call it while holding the lease.
    """
    _clear_leftovers(home)
    if not snapshot_is_good(home):
        return None
    with db.reading() as con:
        schema, identity = con.execute(_WHICH).fetchone()
        views = con.execute(_VIEWS).fetchone()
        previous = _previous(home, identity, schema)
        digest = None if previous is None else combined(digest_tables(con, previous))
    with open_snapshot(home) as con:
        same = con.execute(_VIEWS).fetchone() == views
    return digest if same and digest == read_manifest(home)["digest"] else None


def _clear_leftovers(home: Home) -> None:
    for pattern in _LEFTOVERS:
        for leftover in home.path.glob(pattern):
            leftover.unlink(missing_ok=True)
    clear_staged(home)
    clear_abandoned(home.path, TRIED)


def _previous(home: Home, identity: str, schema: int) -> dict | None:
    """The digests of the last publish of this very database, or None where they cannot be used."""
    try:
        manifest = read_manifest(home)
    except DatabaseCorrupt:
        return None
    same = manifest["database_id"] == identity and manifest["schema"] == schema
    return tables_of(manifest) if same else None


def _copy(db: Database, target: Path) -> None:
    """The bytes of the checkpointed file: many times faster than COPY FROM DATABASE, which compresses everything anew."""
    with db.held_closed() as file:
        if db.home.log.exists():
            raise StorageError(f"{db.home.database} was written by another program in this moment; run again")
        copy_open(file, target)


def _check(path: Path, tables: dict[str, TableDigest], memory_mb: int) -> None:
    """The copy opens, and has the rows that were digested."""
    each = (f"SELECT '{name}', count(*) FROM store.{name}" for name in tables)
    with opened_apart(path, read_only=True, memory_mb=memory_mb) as con:
        for name, copied in con.execute(" UNION ALL ".join(each)).fetchall():
            if copied != tables[name].rows:
                raise StorageError(
                    f"the copy of {name} has {copied} rows instead of {tables[name].rows}; the old snapshot stays, run again"
                )


def _seal_file(path: Path) -> str:
    """Make the file durable and read-only; its SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    os.chmod(path, 0o444)
    return digest


def open_snapshot(
    home: Home, memory_mb: int = 512, threads: int | None = None, spill: Spill | None = None
) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the newest snapshot: no files, no network, no extensions, settings locked.

    Use it as a context manager, and open it anew to see newer runs. Every call is an instance of its own: DuckDB would
    hand out an instance it still has open for the path, and with it the content before the last rename. What does not fit
    into ``memory_mb`` goes to ``spill`` (a new one unless told), not to the folder in which the command was typed.
    """
    if not home.snapshot.exists():
        raise StorageError(f"nothing is published in {home.path} yet; run `nextclose run` or `nextclose demo` first")
    refuse_unless_database(home.snapshot, _AGAIN)
    for _ in range(_TRIES):
        # The engine opens a file twice: it reads the head, closes it, and takes the blocks from what the path names by then
        # (2.0.0, seen with strace). A publish in between would give it the head of one file and the blocks of another, and no
        # other name for the file helps, since it asks for the real path. While a descriptor is kept no other file can have the
        # same number, so that an equal number afterwards says that there was one file all the time.
        with home.snapshot.open("rb") as one:
            try:
                con = _attached(home, memory_mb, threads, spill or new_spill())
            except duckdb.Error as error:
                if _is(one, home.snapshot):
                    raise translate(error, home.snapshot, _AGAIN) from error
                continue
            if _is(one, home.snapshot):
                return con
            con.close()
    raise StorageError(f"{home.snapshot} was replaced {_TRIES} times while it was opened; try again")


def _attached(home: Home, memory_mb: int, threads: int | None, spill: Spill) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:", config=config(memory_mb, threads, spill))
    try:
        # Given to connect() this bound is shown by DuckDB and not kept.
        con.execute(f"SET GLOBAL max_temp_directory_size = '{spill.most_mb}MiB'")
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        con.execute(f"ATTACH '{str(home.snapshot).replace(chr(39), chr(39) * 2)}' AS snapshot (READ_ONLY)")
        con.execute("USE snapshot")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
    except BaseException:
        con.close()
        raise
    return con


def _is(opened: IO[bytes], path: Path) -> bool:
    """Whether the path still names the file that was opened."""
    mine = os.fstat(opened.fileno())
    try:
        now = path.stat()
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino)


@contextmanager
def open_newest(home: Home, lock_wait: float = 0.3) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """For operators: the writer's own file, read-only, where nobody has it open, else the snapshot; None where there is
    neither. What a failed run logged is in the first and never in the second."""
    with ExitStack() as held:
        con = None
        if home.database.exists():
            try:
                con = held.enter_context(opened(home.database, read_only=True, lock_wait=lock_wait))
            except DatabaseLocked:
                con = None
        if con is None and home.snapshot.exists():
            con = held.enter_context(open_snapshot(home))
        yield con
