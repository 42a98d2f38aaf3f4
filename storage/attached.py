"""The engine of a process: made once, with a file attached to it for each burst of reads and writes.

To make an engine takes 16 ms of processor time, whatever is in the file; to attach a file to one that is there takes 1 ms
(2.0.0, measured). So what opens the writer's file a dozen times a run keeps the engine in between, with nothing attached: the
file is closed and free for every other process, as if the engine were gone.

An engine is kept only after a burst that no exception left, on a small file. A fatal error can make the whole of it useless
("must be restarted"), one that has spilled would leave its folder behind, and what a large file needed of memory is given back
only with the engine (a sort of 900,000 texts: 90 MB), while a training may want it.

No file stays attached without its turn: whatever an interruption left attached is let go before the turn is given back, since
the next of this process would take it for the file as it is by then.
"""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.turns import BEFORE_GIVING_BACK, locked_by

# Of the file. On larger ones an opening weighs little beside what is done in it.
SMALL_BYTES = 32_000_000
# The catalogue under which a file is attached. Never `store`: that is the schema of our tables, and a catalogue would win.
NAME = "nextclose"


@dataclass
class _Engine:
    """``root`` never looks at the attached file, so that it can always detach it."""

    root: duckdb.DuckDBPyConnection
    settings: dict[str, object]
    spill: Path = Path()
    read_only: bool = False
    users: int = 0
    sound: bool = True


_ATTACHED: dict[str, _Engine] = {}  # by the real path of the file
_IDLE: list[_Engine] = []  # one at most
_CHANGING = threading.Lock()


@contextmanager
def attached(path: Path, read_only: bool, settings: dict[str, object]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to the engine that has ``path`` attached, for as long as any needs it. Raises
    duckdb.Error, and DatabaseLocked where this process has it open in another mode."""
    key, engine, well = os.path.realpath(path), None, False
    try:
        engine = _joined(key, path, read_only, settings)
        con = engine.root.cursor()
        try:
            con.execute(f"USE {NAME}")
            yield con
            well = True
        finally:
            con.close()
    finally:
        if engine is not None:
            _left(key, engine, well)


def _joined(key: str, path: Path, read_only: bool, settings: dict[str, object]) -> _Engine:
    with _CHANGING:
        engine = _ATTACHED.get(key)
        if engine is not None and not engine.users:  # left so by an interruption
            engine = _ended(_ATTACHED.pop(key))
        if engine is None:
            engine = _IDLE.pop() if _IDLE else None
            if engine is not None and engine.settings != settings:
                engine = _ended(engine)
            engine = _ATTACHED[key] = engine or _made(settings)
            _attach(engine, key, path, read_only)
        elif engine.read_only != read_only:
            raise locked_by(path, "this process")
        engine.users += 1
        return engine


def _made(settings: dict[str, object]) -> _Engine:
    return _Engine(engine_of(":memory:", False, settings), settings)


def engine_of(path: str, read_only: bool, settings: dict[str, object]) -> duckdb.DuckDBPyConnection:
    """An engine that has ``path`` open itself, made where it is not there. Raises duckdb.Error."""
    con = duckdb.connect(path, read_only=read_only, config=settings)
    try:
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        # It would checkpoint whenever it lets go of a file, about a dozen times a run: each rewrites blocks of the file's
        # catalogue in place, which a power cut can tear. The publish checkpoints, once.
        con.execute("PRAGMA disable_checkpoint_on_shutdown")
    except BaseException:
        con.close()
        raise
    return con


def _attach(engine: _Engine, key: str, path: Path, read_only: bool) -> None:
    engine.spill, engine.read_only, engine.sound = Path(f"{path}.tmp"), read_only, True
    try:
        engine.root.execute("SET GLOBAL temp_directory = ?", [str(engine.spill)])
        quoted = str(path).replace("'", "''")
        engine.root.execute(f"ATTACH '{quoted}' AS {NAME} ({'READ_ONLY' if read_only else 'READ_WRITE'})")
        if not read_only:  # nobody else has the file now: what one that was killed had spilled is of no use
            shutil.rmtree(engine.spill, ignore_errors=True)
    except BaseException as error:
        _ATTACHED.pop(key, None)
        if isinstance(error, duckdb.Error) and "Could not set lock" in str(error):
            _keep(engine)
        else:
            _ended(engine)
        raise


def _left(key: str, engine: _Engine, well: bool) -> None:
    with _CHANGING:
        engine.sound &= well
        engine.users -= 1
        if engine.users:
            return
        kept = False
        try:
            if engine.sound and not engine.spill.exists() and _is_small(key):
                with suppress(duckdb.Error):
                    engine.root.execute(f"DETACH {NAME}")
                    kept = True
        finally:
            if kept:
                _keep(engine)
            else:
                _ended(engine)
            _ATTACHED.pop(key, None)


def _let_go(key: str) -> None:
    """Before the turn is given back: only an interruption leaves something here."""
    with _CHANGING:
        if key in _ATTACHED:
            _ended(_ATTACHED.pop(key))


def _is_small(file: str) -> bool:
    with suppress(OSError):
        return os.path.getsize(file) <= SMALL_BYTES
    return False


def _keep(engine: _Engine) -> None:
    _end_idle()
    _IDLE.append(engine)


def _ended(engine: _Engine) -> None:
    with suppress(duckdb.Error):
        engine.root.execute(f"DETACH DATABASE IF EXISTS {NAME}")  # closes the file also where a connection was left behind
    with suppress(duckdb.Error):
        engine.root.close()


def end_idle() -> None:
    """Free what the kept engine has: its threads, and what memory it keeps for the next burst."""
    with _CHANGING:
        _end_idle()


def _end_idle() -> None:
    while _IDLE:
        _ended(_IDLE.pop())


def _before_fork() -> None:
    """A child has none of an engine's threads, and to end one there would wait for them: it gets none that is idle."""
    _CHANGING.acquire()
    _end_idle()


def _in_child() -> None:
    global _CHANGING
    _CHANGING = threading.Lock()
    _ATTACHED.clear()  # its parent's, in use there


BEFORE_GIVING_BACK.append(_let_go)
os.register_at_fork(before=_before_fork, after_in_parent=lambda: _CHANGING.release(), after_in_child=_in_child)
atexit.register(end_idle)
