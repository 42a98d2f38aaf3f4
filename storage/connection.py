"""Where the product opens its DuckDB files, and turns DuckDB's errors into ours.

Every connection has extension downloads off (their default is on, and a typo in SQL would make a network call) and the
time zone UTC. New files are made in the v1.5.0 storage version, so that DuckDB clients of the 1.5 line open them.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, SchemaTooNew, StorageError
from storage.attached import attached, engine_of
from storage.spilling import Spill
from storage.turns import locked_by, turn

STORAGE_VERSION = "v1.5.0"
MEMORY_MB = 1024
_MAGIC = b"DUCK"  # at byte 8 of every DuckDB file


def config(memory_mb: int = MEMORY_MB, threads: int | None = None, spill: Spill | None = None) -> dict[str, object]:
    """The settings of a connection; while a file is open in a process, its first connection decides. Without a ``spill``,
    DuckDB makes its folder beside the file."""
    settings: dict[str, object] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "storage_compatibility_version": STORAGE_VERSION,
        "memory_limit": f"{memory_mb}MiB",
    }
    if threads is not None:
        settings["threads"] = threads
    if spill is not None:
        settings["temp_directory"] = str(spill.folder)
    return settings


def refuse_unless_database(path: Path, restore: str) -> None:
    """Raise DatabaseCorrupt where ``path`` exists and is no DuckDB file. DuckDB itself would fill an empty file anew."""
    if path.is_dir():
        raise DatabaseCorrupt(f"{path} is a folder, not a database; move it away, then {restore}")
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise DatabaseCorrupt(f"{path} is empty; nothing was overwritten; move it away, then {restore}")
    if head[8:12] != _MAGIC:
        raise DatabaseCorrupt(f"{path} is not a DuckDB file; nothing was overwritten; move it away, then {restore}")


RESTORE = "run `nextclose recover`, which brings it back from the published snapshot or the newest good backup"


@contextlib.contextmanager
def opened(
    path: Path, *, read_only: bool = False, memory_mb: int = MEMORY_MB, lock_wait: float = 10.0
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a file that other processes of ours open too: in its turn, and closed at the end. Errors are those of
    ``open_database``."""
    began = time.monotonic()
    with turn(path, not read_only, lock_wait):
        left = max(0.0, lock_wait - (time.monotonic() - began))
        if not path.exists():  # the engine would make an empty one; who had the turn may have died in an exchange
            raise StorageError(f"{path} is not there; run again, which finishes what has taken it away or says what to do")
        with opened_apart(path, read_only=read_only, memory_mb=memory_mb, lock_wait=left) as con:
            yield con


@contextlib.contextmanager
def opened_apart(
    path: Path, *, read_only: bool = False, memory_mb: int = MEMORY_MB, lock_wait: float = 10.0, restore: str = RESTORE
) -> Iterator[duckdb.DuckDBPyConnection]:
    """``opened`` for a file that no other process of ours opens by its name."""
    with contextlib.ExitStack() as held:
        yield _patiently(lambda: held.enter_context(attached(path, read_only, config(memory_mb))), path, lock_wait, restore)


def open_database(
    path: Path, *, read_only: bool = False, memory_mb: int = MEMORY_MB, lock_wait: float = 10.0, restore: str = RESTORE
) -> duckdb.DuckDBPyConnection:
    """A connection to ``path`` with an engine of its own, made where it is not there; waits up to ``lock_wait`` seconds
    (backing off) while another process holds the file.

    For a file that no other process of ours opens by its name. Raises DatabaseLocked (naming the process), DatabaseCorrupt,
    SchemaTooNew, StorageError. Never creates over a file that is empty or not a database.
    """
    return _patiently(lambda: engine_of(str(path), read_only, config(memory_mb)), path, lock_wait, restore)


def _patiently(
    connect: Callable[[], duckdb.DuckDBPyConnection], path: Path, lock_wait: float, restore: str
) -> duckdb.DuckDBPyConnection:
    """What ``connect`` gives, tried again while another program has the file; its errors as ours."""
    # Not a look into the file: POSIX takes all of a process' locks on a file away when any descriptor of it is closed, DuckDB's
    # too, where another connection of this process has it open; a second program could then write at the same time.
    if path.exists() and (path.is_dir() or not path.stat().st_size):
        refuse_unless_database(path, restore)
    give_up, pause = time.monotonic() + lock_wait, 0.02
    while True:
        try:
            return connect()
        except duckdb.Error as error:
            if any(words in str(error) for words in ("not a valid DuckDB", "duckdb_extension")):
                refuse_unless_database(path, restore)  # nobody has it open
            problem = translate(error, path, restore)
            if not isinstance(problem, DatabaseLocked) or time.monotonic() + pause > give_up:
                raise problem from error
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
        except UnicodeDecodeError as error:  # damaged catalog text reaches Python's own decoder
            raise DatabaseCorrupt(f"{path} is damaged: {error}; {restore}") from error


def translate(error: Exception, path: Path, restore: str = RESTORE) -> StorageError:
    """DuckDB's error as one of ours, one line, with what to do next."""
    text = " ".join(str(error).split())
    if "Could not set lock" in text:
        holder = re.search(r"held in (.+?) \(PID (\d+)\)", text)
        return locked_by(path, f"{Path(holder[1]).name} (pid {holder[2]})" if holder else "another process")
    if "version number" in text and "can only read" in text:
        return SchemaTooNew(f"{path} was written by a newer DuckDB than this one ({duckdb.__version__}); upgrade nextclose")
    if "No space left" in text or "Disk quota" in text:
        return StorageError(f"disk full while writing {path}; free some space and run again, nothing was lost")
    if any(words in text for words in ("Could not write", "fsync failed", "Could not truncate", "Input/output error")):
        return StorageError(
            f"the disk gave an error while {path} was written ({text[:160]}); nothing was lost, look into the system's log and "
            "run again when it is sound"
        )
    if "Permission denied" in text or "Read-only file system" in text:
        return StorageError(f"{path} cannot be opened for writing; check its permissions or give another --home DIR")
    damaged = ("orrupt", "checksum", "not a valid DuckDB", "failed to decode", "Failed to deserialize", "Could not read")
    if isinstance(error, (duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)) or any(
        word in text for word in damaged
    ):
        return DatabaseCorrupt(f"{path} is damaged ({text[:160]}); run `nextclose verify`, then {restore}")
    return StorageError(f"{path}: {text[:300]}")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn DuckDB errors raised inside into StorageErrors; everything else passes."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error, path) from error
