"""The seam behind which everything is kept: what a run asks of its store, and the one place that says which store that is.

Steps and flows know no more of it than ``Store`` says (a test looks); readers come in by ``open_snapshot`` and ``open_newest``
of ``storage/snapshot.py``. Another store, say DuckLake or Postgres attached to DuckDB so that the same SQL is spoken, is
another class of this form, those two functions, and a choice in ``open_store``; docs/scaling.md says when that is worth it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import duckdb

    from storage.database import Tx
    from storage.home import Home
    from storage.lease import Lease
    from storage.snapshot import Published


class Store(Protocol):
    """Where a run reads and writes. Each promise is one that a test of ``tests/storage`` or ``tests/faults`` holds."""

    home: Home
    mended: str | None  # what had to be mended when it was opened, a sentence for the person who asked

    def lease(self, holder: str) -> AbstractContextManager[Lease]:
        """The right to write, for one holder at a time; AlreadyRunning names who has it."""

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection that sees one state and refuses writes."""

    def writing(self, lease: Lease, run_id: str | None, step: str | None) -> AbstractContextManager[Tx]:
        """All that is written inside and the step's ledger row, or nothing; AlreadyRunning where the lease was lost."""

    def step_done(self, run_id: str, step: str) -> dict[str, Any] | None:
        """The ledger row of a step, None where it was never committed."""

    def kept_open(self) -> AbstractContextManager[None]:
        """Around a burst of reads and writes: each costs less, and nobody else gets in."""

    def size(self) -> int:
        """How large it is, in bytes."""

    def publish(self, run_id: str, now: datetime) -> Published:
        """Let readers see everything that is committed, all at once."""

    def published(self) -> str | None:
        """The content digest of what is committed, where readers have just that; None where it is to be published."""


def open_store(home: Home, memory_mb: int) -> Store:
    """The store of ``home``: its DuckDB file, made or migrated."""
    from storage.database import Database

    return Database(home, memory_mb=memory_mb)
