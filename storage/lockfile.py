"""The file lock of a home: held by the one process that may write, freed by the kernel when it dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from typing import IO

from forecasting.errors import AlreadyRunning
from storage.home import Home


def take_lock(home: Home, holder: str, patience: float) -> IO[str]:
    """The locked file (closing it frees the lock); AlreadyRunning naming the holder after ``patience`` seconds."""
    file = home.lock.open("a+", encoding="utf-8")
    give_up = time.monotonic() + patience
    while not _locked(file):
        if time.monotonic() > give_up:
            file.close()
            raise already_running(home, lock_holder(home) or "another run")
        time.sleep(0.05)
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"holder": holder, "pid": os.getpid()}))
        file.flush()
    except OSError:
        with suppress(OSError):  # what could not be written is tried again here
            file.close()
        raise
    return file


def lock_holder(home: Home) -> str | None:
    """Who holds the lock (name and pid), None where it is free."""
    try:
        file = home.lock.open("r+", encoding="utf-8")
    except OSError:
        return None
    with file:
        if _locked(file):
            return None
        try:
            found = json.loads(file.read())
            return f"{found['holder']} (pid {found['pid']})"
        except (ValueError, KeyError, TypeError):
            return "another run"


def already_running(home: Home, holder: str) -> AlreadyRunning:
    return AlreadyRunning(f"already running: {holder} is writing to {home.path}; wait for it to end")


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
