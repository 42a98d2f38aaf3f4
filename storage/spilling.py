"""Where a query on the snapshot puts what does not fit into its memory: a folder of its own, bounded, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SPILL_MB = 4096  # the ledger of 500 symbols over ten years, joined with its scores, takes 1,000


@dataclass(frozen=True)
class Spill:
    """DuckDB makes ``folder`` at the first need and removes it when its connection is closed."""

    folder: Path
    most_mb: int


def new_spill() -> Spill:
    """A folder that nobody can guess, in the system's place for such; at most half of what is free there is taken, and nothing
    where the system has no place that can be written to."""
    name = f"nextclose-{uuid.uuid4().hex}"
    try:
        place = Path(tempfile.gettempdir())
        return Spill(place / name, min(SPILL_MB, shutil.disk_usage(place).free // 2**21))
    except OSError:
        return Spill(Path(name), 0)


@contextmanager
def spilling() -> Iterator[Spill]:
    """A spill for another process, removed here because that process may be killed."""
    spill = new_spill()
    try:
        yield spill
    finally:
        shutil.rmtree(spill.folder, ignore_errors=True)
