"""A disk that fails on demand: every call that changes a file is counted, and one of them is the last (see disk.c).

Needs Linux and a C compiler. The process that is to be watched must have been started with ``environment()``; its children
by fork say for themselves which folder, which call and what is to happen.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")
#: What may happen at the call: the process dies before it, or in the middle of it; from then on the disk is full; the call
#: alone fails; the power fails, and of all that was written since it was last synced any part is on the disk.
FATES = {"count": 0, "kill": 1, "tear": 2, "full": 3, "broken": 4, "power": 5}
TORN = frozenset({"write", "pwrite", "sendfile"})  # calls that can be done by half


@dataclass(frozen=True)
class Call:
    """One call of a run: its number from 1 on, what it was, and of which kind of file (random parts of names left out)."""

    number: int
    name: str
    file: str

    @property
    def kind(self) -> tuple[str, str]:
        return self.name, self.file


def compiler() -> str | None:
    """The C compiler, or None where there is none (or no Linux)."""
    return shutil.which("cc") or shutil.which("gcc") if sys.platform == "linux" else None


def build(folder: Path) -> Path:
    """The library, made in ``folder``."""
    library = folder / "disk.so"
    subprocess.run([compiler(), "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def environment(library: Path) -> dict[str, str]:
    """The environment for a process whose disk can fail; nothing of nextclose's own settings is in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCLOSE_")}
    return kept | {"LD_PRELOAD": str(library)}


def fail(folder: Path, fate: str = "count", number: int = 0, log: Path | None = None) -> None:
    """From now on count this process' calls under ``folder``; number ``number`` meets its ``fate``. With ``log``, a line a
    call is written there."""
    descriptor = -1 if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    library = ctypes.CDLL(None)
    library.faulty_disk.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    library.faulty_disk(f"{folder}/".encode(), number, FATES[fate], descriptor)


def gate(path: Path) -> None:
    """From now on this process waits between the reading of a database's head and the opening that follows, until ``path`` is
    gone; ``path`` with ``.met`` added says that it does."""
    library = ctypes.CDLL(None)
    library.faulty_disk_gate.argtypes = [ctypes.c_char_p]
    library.faulty_disk_gate(str(path).encode())


def calls(log: Path) -> list[Call]:
    """What ``fail`` wrote down."""
    found = []
    for line in log.read_text().splitlines():
        number, name, path = line.split(" ", 2)
        file = re.sub(r"(/\.[^/]*|^\.[^/]*)-[a-z0-9_]{8}(?=$|/)", r"\1-*", re.sub(r"[0-9a-f]{12,64}", "*", path))
        found.append(Call(int(number), name, file))
    return found
