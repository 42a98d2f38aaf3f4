"""The folder that holds everything of one installation, and the names inside it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from forecasting.errors import HomeNotWritable, StorageError

DAMAGED = "damaged"  # the folder of what a repair replaced


@dataclass(frozen=True)
class Home:
    """One home folder. Making a Home touches nothing; ``ensure_writable`` creates it."""

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path).expanduser().absolute())

    @property
    def database(self) -> Path:
        """The writer's private file; readers open ``snapshot`` instead."""
        return self.path / "nextclose.duckdb"

    @property
    def log(self) -> Path:
        """The engine's write-ahead log beside the database: what was committed since the last publish."""
        return self.path / "nextclose.duckdb.wal"

    @property
    def snapshot(self) -> Path:
        return self.path / "snapshot.duckdb"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def journal(self) -> Path:
        """The numbers of the commits since the last publish; see storage/journal.py."""
        return self.path / ".commits"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def plots(self) -> Path:
        """Pictures of evaluations, a folder a run: for people, and no part of any digest."""
        return self.path / "plots"

    @property
    def landing(self) -> Path:
        return self.path / "landing"

    @property
    def backups(self) -> Path:
        return self.path / "backups"

    @property
    def settings(self) -> Path:
        return self.path / "settings.toml"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def exchange(self) -> Path:
        """What a restore or a repair has begun to put in the place of the home's files; see storage/exchange.py."""
        return self.path / ".exchange"

    def aside(self) -> Path:
        """A new folder for what a repair replaces: nothing is thrown away."""
        folder = self.path / DAMAGED / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        return folder

    def ensure_writable(self) -> Home:
        """Create the folder where missing and try a write in it; HomeNotWritable names the folder and the cause."""
        try:
            try_write(self.path)
        except OSError as error:
            if error.errno != errno.EROFS and (told := disk_error(error, self.path)) is not None:
                raise told from error
            reason = error.strerror or str(error)
            raise HomeNotWritable(
                f"home {self.path} cannot be written ({reason}); give another folder with --home DIR or change its permissions"
            ) from error
        return self


def try_write(folder: Path) -> None:
    """Make the folder where it is missing and write a nameless file in it; OSError where that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x")


@contextmanager
def disk_errors(home: Home) -> Iterator[None]:
    """Turn what the operating system says of the home's disk inside into one line for people (StorageError)."""
    try:
        yield
    except OSError as error:
        told = disk_error(error, home.path)
        if told is None:
            raise
        raise told from error


def disk_error(error: OSError, where: Path) -> StorageError | None:
    """What to tell where it is the disk that is full or broken; None for all other errors."""
    return StorageError(_DISK[error.errno].format(where)) if error.errno in _DISK else None


_DISK = {
    errno.ENOSPC: "disk full while writing {}; free some space and run again, nothing was lost",
    errno.EDQUOT: "disk quota used up while writing {}; free some space and run again, nothing was lost",
    errno.EROFS: "{} is a read-only file system by now; mount it for writing and run again, nothing was lost",
    errno.EIO: "the disk under {} gave an error; look into the system's log and run again when it is sound, nothing was lost",
}


def fsync(path: Path) -> None:
    """Make what is in a file durable; of a folder, the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_open(file: IO[bytes], target: Path) -> None:
    """The bytes of an open file, without another descriptor of it: closing that would take this process' locks on it away."""
    file.seek(0)
    with target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def write_durably(target: Path, data: bytes, mode: int | None = None) -> None:
    """Write ``data`` so that ``target`` is at all times either what it was or all of ``data``: temp, fsync, rename."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync(target.parent)
