"""The writer's database file: short reads, and the one helper through which everything is written.

DuckDB habits this file is built around (2.0.0, tried):
- COMMIT after a failed statement reports success and has rolled back, so every commit is read back;
- an upsert with a key twice in its batch keeps the first row without a word, so duplicates are refused before the write;
- a commit can be durable and never acknowledged (kill -9), so the step's ledger row is in the same transaction;
- any open reader keeps a writer out and the other way round, so connections are short and readers get a snapshot.
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb

from forecasting.errors import AlreadyRunning, DatabaseLocked, StorageError
from storage.append import Appended, append_frame
from storage.connection import MEMORY_MB, opened, translate
from storage.home import Home
from storage.journal import Commit, note
from storage.migrate import Migration, known_migrations, prepare
from storage.turns import closed

if TYPE_CHECKING:
    import pandas as pd

    from storage.lease import Lease
    from storage.snapshot import Published

_WRITING: dict[Path, threading.Lock] = {}  # one write at a time in this process; the lease does it between processes
_WRITER: dict[Path, int] = {}  # the thread that is inside a write, to refuse a nested one instead of waiting for ever

# Written in place by storage/runs.py and requests.py; no content, so a write without a step may touch them and nothing else.
OPERATION_LOGS = frozenset({"attempts", "stage_times", "requests"})


class Tx:
    """One open write transaction. ``run_id`` is filled into frames that lack the column."""

    def __init__(self, con: duckdb.DuckDBPyConnection, run_id: str | None, step: str | None) -> None:
        self.con, self.run_id, self.step = con, run_id, step
        self._receipts: list[tuple[str, int, int]] = []

    def append(
        self,
        table: str,
        frame: pd.DataFrame,
        key: tuple[str, ...],
        values: tuple[str, ...] | None = None,
        tolerance: float = 0.0,
        by: str | None = None,
    ) -> Appended:
        """Add the rows of ``frame`` whose ``key`` is new to ``store.table``, sorted by key.

        With ``values``, a row whose current stored values differ (floats: by more than ``tolerance``, relative) becomes a
        new row with the next ``revision``. Without, the first row of a key stays for ever. ``by`` names a column for whose
        values the counts are wanted one by one. Raises StorageError for a key
        twice in ``frame`` or a missing key, before anything is written.
        """
        if self.step is None and table not in OPERATION_LOGS:
            raise StorageError(f"rows of {table} belong to a step of a run; give `writing` a step")
        appended = append_frame(self.con, table, frame, key, values, tolerance, self.run_id, by)
        self.receipt(table, appended.stored, appended.revised)
        return appended

    def execute(self, sql: str, parameters: list | None = None) -> duckdb.DuckDBPyConnection:
        """Run one statement inside the transaction (inserts computed in SQL; pair with ``receipt``)."""
        return self.con.execute(sql, parameters or [])

    def receipt(self, table: str, stored: int, revised: int = 0) -> None:
        """Count rows written by ``execute`` in the step's ledger row."""
        self._receipts.append((table, stored, revised))

    def summary(self) -> tuple[int, str]:
        """Rows written, and SHA-256 over the sorted receipts (table, stored, revised)."""
        text = "\n".join(f"{table} {stored} {revised}" for table, stored, revised in sorted(self._receipts))
        return sum(stored + revised for _, stored, revised in self._receipts), hashlib.sha256(text.encode()).hexdigest()


class Database:
    """The private file of ``home``; made or migrated on construction. A ``Store``."""

    def __init__(
        self,
        home: Home,
        memory_mb: int = MEMORY_MB,
        lock_wait: float = 10.0,
        migrations: tuple[Migration, ...] | None = None,
    ) -> None:
        self.home, self.memory_mb, self.lock_wait = home, memory_mb, lock_wait
        self.mended = prepare(home, known_migrations() if migrations is None else migrations, memory_mb, lock_wait)

    def lease(self, holder: str) -> AbstractContextManager[Lease]:
        """The right to write, as ``hold_lease`` gives it."""
        from storage.lease import hold_lease

        return hold_lease(self.home, self, holder)

    def publish(self, run_id: str, now: datetime) -> Published:
        """Put a snapshot in place, see ``storage.snapshot.publish``; while holding the lease."""
        from storage.snapshot import publish

        return publish(self, self.home, run_id, now)

    def published(self) -> str | None:
        """The content digest where readers have all that is committed, see ``storage.snapshot.published``."""
        from storage.snapshot import published

        return published(self, self.home)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A short connection that sees one state and refuses writes."""
        with self._connected() as con:
            con.execute("BEGIN TRANSACTION READ ONLY")
            yield con

    @contextmanager
    def writing(self, lease: Lease, run_id: str | None, step: str | None) -> Iterator[Tx]:
        """The one write helper: everything inside is stored together with the step's ledger row, or nothing is.

        A step already in the ledger keeps its first row. ``step=None`` is for the operation logs only. Raises
        AlreadyRunning when the lease was lost to another holder, StorageError when the commit did not last; an exception
        raised inside is raised again after the rollback.
        """
        with self.transaction(run_id, step) as con:
            self._check_token(con, lease)
            tx = Tx(con, run_id, step)
            yield tx
            if step is not None:
                rows, digest = tx.summary()
                con.execute(
                    "INSERT INTO store.steps SELECT $run, $step, $rows, $digest, now() "
                    "WHERE NOT EXISTS (FROM store.steps WHERE run_id = $run AND step = $step)",
                    {"run": run_id, "step": step, "rows": rows, "digest": digest},
                )
            con.execute("UPDATE store.lease SET expires_at = ? WHERE name = 'writer'", [lease.expiry()])

    def step_done(self, run_id: str, step: str) -> dict | None:
        """The ledger row of a step (rows, digest, finished_at), or None where it was never committed."""
        with self.reading() as con:
            row = con.execute(
                'SELECT "rows", digest, finished_at FROM store.steps WHERE run_id = ? AND step = ?', [run_id, step]
            ).fetchone()
        return None if row is None else {"rows": row[0], "digest": row[1], "finished_at": row[2]}

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file: a torn log loses commits without a word, a file without log cannot."""
        with self._connected() as con, _WRITING.setdefault(self.home.database, threading.Lock()):
            con.execute("CHECKPOINT")

    @contextmanager
    def held_closed(self) -> Iterator[IO[bytes]]:
        """The closed file while nobody can open it, for copying its bytes and those of its log.

        Other processes of ours wait for their turn; it is also locked the way DuckDB locks it, for other programs. That lock
        goes with the first descriptor of the file that this process closes: read the one that is given, and open no other.
        DatabaseLocked where a connection, of this process or another, is not closed in time.
        """
        path = self.home.database
        with closed(path, self.lock_wait), path.open("rb+") as file:
            self._lock(file)
            yield file

    def _lock(self, file: IO[bytes]) -> None:
        """Keep other programs out; one that has it open for a moment (a run that is told `already running`) is waited for."""
        give_up = time.monotonic() + self.lock_wait
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if time.monotonic() > give_up:
                    told = f"{self.home.database} was opened by another program; close it there and run again"
                    raise DatabaseLocked(told) from error
            time.sleep(0.02)

    @contextmanager
    def exclusive(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection outside any transaction, for publishing; writes nothing to the tables."""
        with self._connected() as con:
            yield con

    def size(self) -> int:
        """Of the file without its log, in bytes."""
        return self.home.database.stat().st_size

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keep the file open over a burst of reads and writes (a replay of many sessions): each then costs a third or less.

        Nobody else can open the file meanwhile, so not around a download or a training.
        """
        with self._connected():
            yield

    @contextmanager
    def transaction(self, run_id: str | None = None, step: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Begin, commit, read back, tell the journal; roll back on any exception. Only this package's write helpers call it."""
        lock = _WRITING.setdefault(self.home.database, threading.Lock())
        if _WRITER.get(self.home.database) == threading.get_ident():
            raise StorageError("a write is already open in this thread; writes do not nest")
        with lock:
            _WRITER[self.home.database] = threading.get_ident()
            try:
                with self._connected() as con:
                    con.execute("BEGIN")
                    try:
                        yield con
                        writes = con.execute(
                            "UPDATE store.lease SET writes = writes + 1 WHERE name = 'writer' RETURNING writes"
                        ).fetchone()[0]
                        con.execute("COMMIT")
                    except BaseException:
                        self._roll_back(con)
                        raise
                    found = con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()
                    if found != (writes,):
                        raise StorageError(f"{self.home.database}: a commit reported success but is not there; run again")
                    note(self.home, Commit(writes, run_id or "", step or ""))
            finally:
                del _WRITER[self.home.database]

    @staticmethod
    def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
        try:
            con.execute("ROLLBACK")
        except duckdb.Error:
            pass  # nothing left to roll back; the exception that brought us here says what happened

    def _check_token(self, con: duckdb.DuckDBPyConnection, lease: Lease) -> None:
        token, holder = con.execute("SELECT token, holder FROM store.lease WHERE name = 'writer'").fetchone()
        if token != lease.token or holder is None:
            raise AlreadyRunning(
                f"already running: the right to write passed to {holder or 'nobody'}; nothing was written, run again"
            )

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with opened(self.home.database, memory_mb=self.memory_mb, lock_wait=self.lock_wait) as con:
                yield con
        except duckdb.Error as error:
            raise translate(error, self.home.database) from error
