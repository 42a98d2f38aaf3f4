"""A database file looked at where it can do no harm: in a process of its own, since some damage makes the engine crash, and on
a copy, since opening a torn log folds what is left of it into the file."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from forecasting.errors import StorageError

_TRIED = ".try-"


def opens_apart(path: Path) -> bool:
    """Whether the file and its log open."""
    return commits_apart(path) is not None


def commits_apart(path: Path, thoroughly: bool = False) -> int | None:
    """The number of commits in the file and its log; None where they cannot be opened or, ``thoroughly``, a value not be read.

    StorageError where the disk has no room for the copy.
    """
    try:
        folder, descriptor = _folder_of_its_own(path.parent)
        try:
            return _looked_at(path, folder, thoroughly)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
    except OSError as error:
        what = f"{path} could not be looked at ({error.strerror})"
        raise StorageError(f"{what}; make room for a copy of it in {path.parent} and run again, nothing was changed") from error


def clear_abandoned(home: Path) -> None:
    """Remove the copies that processes which died while they looked have left; those of living ones are locked."""
    for folder in home.glob(f"{_TRIED}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _folder_of_its_own(home: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that keeps it locked: who looks may not have the home's lock."""
    while True:
        folder = home / f"{_TRIED}{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        with suppress(FileNotFoundError):  # cleared away before it was locked: another one
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a network file system may lock no folders; what is left in one then stays
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _looked_at(path: Path, folder: Path, thoroughly: bool) -> int | None:
    for one in (path, path.with_name(path.name + ".wal")):
        if one.exists():
            shutil.copyfile(one, folder / one.name)
    command = [sys.executable, "-m", "storage.apart", str(folder / path.name), *(["thoroughly"] if thoroughly else [])]
    tried = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    return int(tried.stdout) if tried.returncode == 0 else None


def _look(path: str, *how: str) -> None:
    """Print the number of commits. Nothing is written, so that a full disk is not taken for damage."""
    from storage.connection import open_database

    with open_database(Path(path), lock_wait=0.0) as con:
        commits = con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0]
        if how:
            for (table,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store'").fetchall():
                con.execute(f"SELECT bit_xor(hash(row)) FROM store.{table} AS row").fetchone()
    print(commits)


if __name__ == "__main__":
    _look(*sys.argv[1:])
