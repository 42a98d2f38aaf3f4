"""A database file looked at where it can do no harm: in a process of its own, since some damage makes the engine crash, and on
a copy, since opening a torn log folds what is left of it into the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from pathlib import Path


def opens_apart(path: Path) -> bool:
    """Whether the file and its log open and can be checkpointed."""
    return commits_apart(path) is not None


def commits_apart(path: Path, thoroughly: bool = False) -> int | None:
    """The number of commits in the file and its log; None where they cannot be opened or, ``thoroughly``, a row not be read."""
    folder = path.with_name(f".try-{uuid.uuid4().hex[:12]}")
    folder.mkdir()
    try:
        for one in (path, path.with_name(path.name + ".wal")):
            if one.exists():
                shutil.copyfile(one, folder / one.name)
        command = [sys.executable, "-m", "storage.apart", str(folder / path.name), *(["thoroughly"] if thoroughly else [])]
        tried = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
        return int(tried.stdout) if tried.returncode == 0 else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _look(path: str, *how: str) -> None:
    """Print the number of commits."""
    from storage.connection import open_database
    from storage.manifest import content_digest

    con = open_database(Path(path), lock_wait=0.0)
    commits = con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0]
    if how:
        content_digest(con)
    con.execute("CHECKPOINT")
    con.close()
    print(commits)


if __name__ == "__main__":
    _look(*sys.argv[1:])
