"""Whose turn it is to have the database open: one process that writes, or several that only read.

The engine reads the head of a file, closes it, opens it again with a lock, and does not look at the head again (2.0.0, seen
with strace). Where another process commits, checkpoints and closes between the two, the head is no longer true: the second one
does not see what was stored, and its own first checkpoint takes those rows away without a word (tests/faults/test_between.py
holds a process there). So each process of ours waits for its turn before the engine sees the file, and keeps it until it has
closed it.

The turn is a POSIX lock on a file beside the database: it belongs to the process, a child by fork does not have it, and the
kernel ends it when the process dies. Other programs know nothing of it; the engine's own lock keeps them out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import DatabaseLocked, StorageError
from storage.home import disk_error

_FLOCK = "@qqihh" if sys.platform == "darwin" else "@hhqqi"  # struct flock of fcntl.h


@dataclass
class _Turn:
    """What this process has. ``descriptor`` is -1 for readers in a home that nobody of ours has written to yet."""

    descriptor: int = -1
    writing: bool = False
    connections: int = 0
    closed: bool = False  # had so that nothing is opened


_TURNS: dict[str, _Turn] = {}  # of this process, by the real path
#: Called with the real path before its turn is given back: what must not outlive it.
BEFORE_GIVING_BACK: list[Callable[[str], None]] = []
_CHANGING = threading.Lock()


def _forget() -> None:
    """In a child by fork: the turns are its parent's, and a thread that is not here may have held the lock."""
    global _CHANGING
    _TURNS.clear()
    _CHANGING = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def file_of(database: Path) -> Path:
    return database.with_name(f".{database.name}.turn")


def locked_by(database: Path, who: str) -> DatabaseLocked:
    return DatabaseLocked(
        f"{database} is open in {who}; close it there and run again (to look at the data while it runs, open snapshot.duckdb)"
    )


@contextmanager
def turn(database: Path, writing: bool, wait: float) -> Iterator[None]:
    """Have the turn inside, together with the other connections of this process. DatabaseLocked, which names the process that
    has it, after ``wait`` seconds; StorageError where the lock's file cannot be made."""
    key = os.path.realpath(database)
    mine = _taken(key, database, writing, wait)
    try:
        yield
    finally:
        _given_back(key, mine)


@contextmanager
def closed(database: Path, wait: float) -> Iterator[None]:
    """As ``turn``, for writing, while this process has no connection and gets none: DatabaseLocked after ``wait`` seconds."""
    key = os.path.realpath(database)
    mine = _taken(key, database, True, wait, alone=True)
    try:
        yield
    finally:
        _given_back(key, mine)


def _taken(key: str, database: Path, writing: bool, wait: float, alone: bool = False) -> _Turn:
    give_up, pause = time.monotonic() + wait, 0.002
    while True:
        with _CHANGING:
            mine = _TURNS.get(key)
            if mine is not None and (alone or mine.closed):
                who = "this process"
            elif (who := _joined(mine := mine or _Turn(closed=alone), database, writing)) is None:
                mine.connections += 1
                _TURNS[key] = mine
                return mine
        if time.monotonic() + pause > give_up:
            raise locked_by(database, who)
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def _given_back(key: str, mine: _Turn) -> None:
    with _CHANGING:
        mine.connections -= 1
        if not mine.connections and _TURNS.get(key) is mine:
            for let_go in BEFORE_GIVING_BACK:
                let_go(key)
            del _TURNS[key]
            if mine.descriptor >= 0:
                os.close(mine.descriptor)  # and with it goes the lock


def _joined(mine: _Turn, database: Path, writing: bool) -> str | None:
    """Take what is wanted and not had yet; None, or who is in the way."""
    if mine.connections and (mine.writing or not writing):
        return None
    if mine.descriptor < 0 and (made := _descriptor(database, writing)) >= 0:
        mine.descriptor = made
    if mine.descriptor < 0:
        return None
    try:
        fcntl.lockf(mine.descriptor, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            told = f"{file_of(database)} cannot be locked ({error.strerror}); use a --home on a local disk"
            raise StorageError(told) from error
        who = _holder(mine.descriptor, writing)
        if not mine.connections:
            os.close(mine.descriptor)
            mine.descriptor = -1
        return who
    mine.writing |= writing
    return None


def _descriptor(database: Path, writing: bool) -> int:
    """The open file. A reader makes none (it may not own the home) and has -1 where there is none."""
    try:
        return os.open(file_of(database), os.O_RDWR | os.O_CREAT * writing | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if writing:
            told = f"{file_of(database)} cannot be opened ({error.strerror}); check its permissions"
            raise disk_error(error, database.parent) or StorageError(told) from error
    try:
        return os.open(file_of(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _holder(descriptor: int, writing: bool) -> str:
    """Who has the lock that is in the way."""
    wanted = fcntl.F_WRLCK if writing else fcntl.F_RDLCK
    order = (0, 0, 0, wanted, os.SEEK_SET) if sys.platform == "darwin" else (wanted, os.SEEK_SET, 0, 0, 0)
    try:
        found = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *order)))
        kind, pid = (found[3], found[2]) if sys.platform == "darwin" else (found[0], found[4])
    except OSError:
        return "another process"
    if kind == fcntl.F_UNLCK or pid <= 0:  # gone in this moment, or on another machine
        return "another process"
    try:
        name = Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        name = "a process"
    return f"{name} (pid {pid})"
