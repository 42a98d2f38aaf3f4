"""Places at which a simulated process can die or its disk fail: every change of a file that Python makes, every statement that
writes to the database. Needs no compiler and counts the same in every run; disk.c does the same below Python.

``watch`` is called in a child of the simulator, once; ``install`` in the simulator itself, before the first child.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITING = ("BEGIN", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "COMMIT", "CHECKPOINT")
_PATHS = {"os.rename": 1, "os.remove": 0, "os.link": 1, "os.mkdir": 0, "os.rmdir": 0, "os.chmod": 0, "open": 0}
_NEEDS_NO_ROOM = frozenset({"os.remove", "os.rmdir", "os.chmod", "os.rename", "closed"})


class Watch:
    """What this process has passed, and what is to happen at which of it: fate 'kill', 'full' (from there on) or 'broken'."""

    def __init__(self) -> None:
        self.folder, self.fate, self.number, self.passed = "", "", 0, 0
        self.places: list[str] = []

    def passes(self, place: str, kind: str) -> None:
        """One place; dies there, or raises OSError, where that was asked for."""
        self.passed += 1
        if self.fate == "count":
            self.places.append(place)
        if self.fate == "kill" and self.passed == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fate == "full" and self.passed >= self.number and kind not in _NEEDS_NO_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
        if self.fate == "broken" and self.passed == self.number:
            raise OSError(errno.EIO, os.strerror(errno.EIO), place)


WATCH = Watch()


def watch(folder: Path, fate: str, number: int) -> None:
    """From now on count this process' writes under ``folder``."""
    WATCH.folder, WATCH.fate, WATCH.number, WATCH.passed = f"{folder}{os.sep}", fate, number, 0


def passes(place: str) -> None:
    """A place that code under test names itself (a planted defect)."""
    if WATCH.folder:
        WATCH.passes(place, "named")


class Watched:
    """A connection whose statements are places."""

    def __init__(self, con: Any) -> None:
        self._con = con

    def execute(self, sql: str, *parameters: Any) -> Any:
        word = sql.split(None, 1)[0].upper()
        if WATCH.folder and word in WRITING:
            _in_the_words_of_duckdb(word)
            answer = self._con.execute(sql, *parameters)
            if word in ("COMMIT", "CHECKPOINT"):  # durable, and nobody was told
                WATCH.passes(f"after {word}", "closed")
            return answer
        return self._con.execute(sql, *parameters)

    def close(self) -> None:
        try:
            if WATCH.folder:
                WATCH.passes("close", "closed")
        finally:
            self._con.close()  # a close that fails has closed

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)


def _in_the_words_of_duckdb(word: str) -> None:
    import duckdb

    try:
        WATCH.passes(word, word)
    except OSError as error:
        raise duckdb.IOException(f'IO Error: Could not write file "{WATCH.folder}": {error.strerror}') from error


def install() -> None:
    """Put the places in; nothing happens at them until ``watch``."""
    import storage.connection as connection

    real_open, real_attached, real_fsync, real_write = connection.open_database, connection.attached, os.fsync, os.write

    def watched(*args: Any) -> Iterator[Watched]:
        with real_attached(*args) as con, Watched(con) as places:
            yield places

    def fsync(descriptor: int) -> None:
        _at_descriptor("fsync", descriptor)
        real_fsync(descriptor)

    def write(descriptor: int, data: bytes) -> int:
        _at_descriptor("write", descriptor)
        return real_write(descriptor, data)

    connection.open_database = lambda *args, **kwargs: Watched(real_open(*args, **kwargs))
    connection.attached = contextmanager(watched)
    os.fsync, os.write = fsync, write
    sys.addaudithook(_audited)


def _at_descriptor(call: str, descriptor: int) -> None:
    if not WATCH.folder:
        return
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if path.startswith(WATCH.folder):
        WATCH.passes(f"{call} {path.removeprefix(WATCH.folder)}", call)


def _audited(event: str, arguments: tuple) -> None:
    if not WATCH.folder or event not in _PATHS:
        return
    path = arguments[_PATHS[event]]
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not str(path).startswith(WATCH.folder):
        return
    if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    WATCH.passes(f"{event} {str(path).removeprefix(WATCH.folder)}", event)
