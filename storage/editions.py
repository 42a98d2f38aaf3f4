"""The newest snapshot kept open for a process that answers many questions, such as the web app.

Every publish is an *edition*: one file, opened once, asked by any number of threads, closed when the last of them is done
with it. ``Editions.current`` looks at the file's name before each use; when a publish has put another file there it opens
that one, and whoever holds the old edition finishes with it. Nobody ever sees parts of two.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import duckdb

from forecasting.errors import InputError, StorageError
from storage.connection import translate
from storage.home import Home
from storage.snapshot import open_snapshot

T = TypeVar("T")

AT_ONCE = 6  # questions answered side by side: more would wait for the same cores, and share the same memory
PATIENT = 300.0  # seconds for a question whose answer is kept
TURN = 2.0  # seconds that a question waits for its turn before it is refused


class Busy(StorageError):
    """Others are answered first, or the answer is still being made: worth asking again after ``seconds``."""

    def __init__(self, sentence: str, seconds: int = 2) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class _Kept:
    def __init__(self) -> None:
        self.lock, self.made, self.value = threading.Lock(), False, None
        self.thread: threading.Thread | None = None
        self.error: Exception | None = None


@dataclass(frozen=True)
class Table:
    """The answer to one question: column names, their SQL types, and the rows as plain values (instants in UTC)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple]

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Edition:
    """One published snapshot, open. ``id`` names it: 16 hex digits that no other publish has.

    ``published_at`` is None for a snapshot that never went through a publish.
    """

    def __init__(self, home: Home, memory_mb: int, threads: int | None, seconds: float) -> None:
        self.stamp = stamp_of(home)
        self._con = open_snapshot(home, memory_mb=memory_mb, threads=threads)
        self._path, self._seconds = home.snapshot, seconds
        self._local, self._lock, self._kept = threading.local(), threading.Lock(), {}
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        row = self.ask("SELECT run_id, published_at, digest, schema FROM store.publication").rows
        self.run_id, self.published_at, self.digest, self.schema = row[0] if row else (None, None, None, None)
        self.published_at: datetime | None
        told = f"{self.digest}|{self.published_at}|{self.run_id}|{self.stamp[2]}"
        self.id = hashlib.sha256(told.encode()).hexdigest()[:16]

    def ask(self, sql: str, parameters: Any = None) -> Table:
        """The answer to one statement. InputError when it takes longer than the edition allows, Busy when too many others are
        being answered, StorageError else."""
        patient = getattr(self._local, "patient", False)
        cursor, patience = self.cursor(), PATIENT if patient else self._seconds
        watch = threading.Timer(patience, cursor.interrupt)
        watch.daemon = True
        if not self._turns.acquire(timeout=PATIENT if self._beside else TURN):
            raise Busy(f"{AT_ONCE} other questions are being answered; ask again in a moment")
        watch.start()
        try:
            found = cursor.execute(sql, parameters)
            described = found.description
            rows = found.fetchall()
        except duckdb.InterruptException as error:
            raise InputError(f"the answer took longer than {patience:g} seconds and was given up; ask for less") from error
        except duckdb.OutOfMemoryException as error:
            raise InputError("the answer needed more memory than the web app may take; ask for less") from error
        except duckdb.Error as error:
            raise translate(error, self._path) from error
        finally:
            watch.cancel()
            self._turns.release()
        return Table(tuple(c[0] for c in described), tuple(str(c[1]) for c in described), rows)

    def kept(self, name: Any, make: Callable[[], T]) -> T:
        """What ``make`` answers, made once for this edition and kept with it: for the few heavy questions of a page, which
        may take their time (``PATIENT`` seconds) since nobody asks them twice."""
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
        if kept.made:
            return kept.value
        if not kept.lock.acquire(timeout=PATIENT if self._beside else TURN):
            raise Busy("it is being made for somebody else; ask again in a moment")
        try:
            if not kept.made:
                before, self._local.patient = getattr(self._local, "patient", False), True
                try:
                    kept.value = make()
                finally:
                    self._local.patient = before
                kept.made = True
        finally:
            kept.lock.release()
        return kept.value

    @property
    def _beside(self) -> bool:
        """Whether nobody waits for this thread."""
        return getattr(self._local, "beside", False)

    def soon(self, name: Any, make: Callable[[], T], seconds: float) -> bool:
        """Whether ``kept`` has the answer within ``seconds``; if not, it is being made beside. Raises what ``make`` raised."""
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
            if kept.thread is None and not kept.made:
                kept.thread = threading.Thread(target=self._make_beside, args=(name, make, kept), daemon=True)
                kept.thread.start()
        if kept.thread is not None:
            kept.thread.join(seconds)
        if kept.error is not None:
            error, kept.error, kept.thread = kept.error, None, None  # the next who asks tries again
            raise error
        return kept.made

    def _make_beside(self, name: Any, make: Callable[[], Any], kept: _Kept) -> None:
        try:
            with self.nobody_waits():
                self.kept(name, make)
        except Exception as error:
            kept.error = error

    @contextlib.contextmanager
    def nobody_waits(self) -> Iterator[None]:
        """Inside, this thread waits for its turn as long as it takes, since no request waits for the thread."""
        self._local.beside = True
        try:
            yield
        finally:
            self._local.beside = False

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's connection, for the functions of ``storage`` that take one."""
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._con.cursor()
            cursor.execute("USE snapshot")
            self._local.cursor = cursor
            with self._lock:
                self._cursors.append(cursor)
        return cursor

    def close(self) -> None:
        """For the end of the process; an edition that is merely out of date closes itself with its last user."""
        with self._lock:
            for con in (*self._cursors, self._con):
                with contextlib.suppress(duckdb.Error):  # a question that is being answered is broken off
                    con.interrupt()
                    con.close()
            self._cursors.clear()


class Editions:
    """The newest edition of a home. Thread-safe."""

    def __init__(self, home: Home, *, memory_mb: int = 512, threads: int | None = None, seconds: float = 10.0) -> None:
        self.home = home
        self._settings = (memory_mb, threads, seconds)
        self._lock = threading.Lock()
        self._edition: Edition | None = None
        self._damaged: tuple[int, int, int] | None = None  # the file that could not be opened
        self.problem = ""  # why the newest file is not the edition in use

    def close(self) -> None:
        """Close what is open; the next ``current`` opens anew."""
        with self._lock:
            if self._edition is not None:
                self._edition.close()
            self._edition = None

    def at_hand(self) -> Edition | None:
        """The edition in use where it still is the newest file; else None, and ``current`` has work to do."""
        edition = self._edition
        return edition if edition is not None and edition.stamp == stamp_of(self.home) else None

    def current(self) -> Edition:
        """The newest edition. A file that cannot be opened leaves the one before in use, with the ``problem`` said;
        StorageError where there is none, or the file is gone."""
        edition = self.at_hand()
        if edition is not None:
            return edition
        with self._lock:
            stamp = stamp_of(self.home)
            if stamp is None:
                self._edition = None
                raise StorageError(
                    f"nothing is published in {self.home.path} yet; run `nextclose run` or `nextclose demo` first"
                )
            if self._edition is not None and stamp in (self._edition.stamp, self._damaged):
                return self._edition
            try:
                opened = Edition(self.home, *self._settings)
            except StorageError as error:
                if self._edition is None:
                    raise
                self._damaged, self.problem = stamp, str(error)
                return self._edition
            self._edition, self._damaged, self.problem = opened, None, ""
            return opened


def stamp_of(home: Home) -> tuple[int, int, int] | None:
    """What tells one published file from the next: device, inode, modification time; None where there is none."""
    try:
        seen = os.stat(home.snapshot)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_mtime_ns
