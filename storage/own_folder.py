"""Folders in which one process works, and that are cleared away when it died: a folder is locked while its process lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONG_AGO = 24 * 3600.0  # seconds


@contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that nobody but this user can look into; removed at the end, where it still has its name. OSError."""
    folder, descriptor = _made(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def clear_abandoned(parent: Path, prefix: str) -> None:
    """Remove those of processes that died; those of living ones are locked."""
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                if _abandoned(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _abandoned(descriptor: int) -> bool:
    """Whether nobody has it locked; where folders cannot be locked, whether nothing was made in it for a day."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system
        return time.time() - os.fstat(descriptor).st_mtime > _LONG_AGO
    return True


def _made(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = parent / f"{prefix}{uuid.uuid4().hex[:12]}"
        folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # cleared away before it was locked: another one
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a network file system may lock no folders
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
