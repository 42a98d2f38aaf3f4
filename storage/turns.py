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

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class _Turn:
    descriptor: int
    writing: bool
    connections: int = 0


_TURNS: dict[Path, _Turn] = {}  # of this process
_CHANGED = threading.Condition()


def _forget() -> None:
    """In a child by fork: the turns are its parent's, and a thread that is not here may have held the condition."""
    global _CHANGED
    _TURNS.clear()
    _CHANGED = threading.Condition()


os.register_at_fork(after_in_child=_forget)


def file_of(database: Path) -> Path:
    return database.with_name(f".{database.name}.turn")


@contextmanager
def turn(database: Path, writing: bool, wait: float) -> Iterator[None]:
    """Have the turn inside, together with the other connections of this process; TimeoutError, which names the process that has
    it, after ``wait`` seconds."""
    mine = _taken(database, writing, wait)
    try:
        yield
    finally:
        with _CHANGED:
            mine.connections -= 1
            if not mine.connections and _TURNS.get(database) is mine:
                del _TURNS[database]
                if mine.descriptor >= 0:
                    os.close(mine.descriptor)
            _CHANGED.notify_all()


@contextmanager
def nobody_here(database: Path, wait: float) -> Iterator[bool]:
    """Whether no connection of this process is open within ``wait`` seconds; none can be opened inside."""
    with _CHANGED:
        yield _CHANGED.wait_for(lambda: database not in _TURNS, timeout=wait)


def _taken(database: Path, writing: bool, wait: float) -> _Turn:
    give_up, pause = time.monotonic() + wait, 0.002
    while True:
        with _CHANGED:
            mine = _TURNS.get(database) or _Turn(_descriptor(database, writing), writing=False)
            new = not mine.connections
            if mine.descriptor < 0 or not (new or writing and not mine.writing) or _locked(mine.descriptor, writing):
                mine.connections += 1
                mine.writing |= writing
                _TURNS[database] = mine
                return mine
            holder = _holder(mine.descriptor)
            if new:
                os.close(mine.descriptor)
        if time.monotonic() + pause > give_up:
            raise TimeoutError(holder)
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def _descriptor(database: Path, writing: bool) -> int:
    """The open file; -1 for a reader who may not make it, where nobody has written since there are turns."""
    try:
        return os.open(file_of(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        if writing:
            raise
    try:
        return os.open(file_of(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _locked(descriptor: int, writing: bool) -> bool:
    try:
        fcntl.lockf(descriptor, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    me = f"{Path(sys.executable).name} (pid {os.getpid()})"
    if writing and _holder(descriptor) != me:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, me.encode(), 0)
        except OSError:
            pass  # a full disk: those who wait are not told who it is
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
