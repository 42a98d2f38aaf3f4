"""A database file looked at where it can do no harm: in a process of its own, since some damage makes the engine crash, and on
a copy, since opening a torn log folds what is left of it into the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from forecasting.errors import StorageError
from storage.own_folder import own_folder

TRIED = ".try-"


def opens_apart(path: Path) -> bool:
    """Whether the file and its log open."""
    return commits_apart(path) is not None


def commits_apart(path: Path, thoroughly: bool = False) -> int | None:
    """The number of commits in the file and its log; None where they cannot be opened or, ``thoroughly``, a value not be read.

    StorageError where the disk has no room for the copy.
    """
    try:
        with own_folder(path.parent, TRIED) as folder:
            return _looked_at(path, folder, thoroughly)
    except OSError as error:
        what = f"{path} could not be looked at ({error.strerror})"
        raise StorageError(f"{what}; make room for a copy of it in {path.parent} and run again, nothing was changed") from error


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
