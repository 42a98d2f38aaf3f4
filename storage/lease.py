"""The right to write: one holder at a time, on one machine and across machines that share the folder.

On one machine the operating system's file lock decides: the kernel frees it when its holder dies, so that a run killed
with -9 is taken over at once. A row in the database adds what a file lock cannot: an expiry for a holder on another
host, and a fencing token, checked inside every write transaction, so that a holder that slept through its expiry and
wakes up can no longer write.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from forecasting.errors import AlreadyRunning
from storage.database import Database
from storage.home import Home
from storage.lockfile import take_lock

PATIENCE_SECONDS = 1.0  # how long a busy lease is waited for before AlreadyRunning


@dataclass(frozen=True)
class Lease:
    """What a holder shows at every write. ``token`` rises by one with each holder."""

    holder: str
    token: int
    ttl_seconds: float

    def expiry(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ttl_seconds)


@contextmanager
def hold_lease(
    home: Home, db: Database, holder: str, ttl_seconds: float = 900, host: Callable[[], str] = socket.gethostname
) -> Iterator[Lease]:
    """Hold the right to write while inside; AlreadyRunning (within 2 seconds) names who has it.

    Each write prolongs the row's expiry by ``ttl_seconds``; the expiry matters only to other hosts.
    """
    home.ensure_writable()
    file = take_lock(home, holder, PATIENCE_SECONDS)
    try:
        lease = _take_row(db, holder, ttl_seconds, host())
        try:
            yield lease
        finally:
            _free_row(db, lease)
    finally:
        file.close()  # frees the file lock


def _take_row(db: Database, holder: str, ttl_seconds: float, host: str) -> Lease:
    now = datetime.now(UTC)
    with db.transaction() as con:
        known, known_host, token, expires = con.execute(
            "SELECT holder, host, token, epoch(expires_at) FROM store.lease WHERE name = 'writer'"
        ).fetchone()
        if known is not None and known_host != host and expires > now.timestamp():
            left = int(expires - now.timestamp()) + 1
            raise AlreadyRunning(f"already running: {known} on {known_host} may write for {left} more seconds; run again then")
        lease = Lease(holder, token + 1, ttl_seconds)
        con.execute(
            "UPDATE store.lease SET holder = ?, host = ?, pid = ?, token = ?, expires_at = ? WHERE name = 'writer'",
            [holder, host, os.getpid(), lease.token, lease.expiry()],
        )
    return lease


def _free_row(db: Database, lease: Lease) -> None:
    with db.transaction() as con:
        con.execute(
            "UPDATE store.lease SET holder = NULL, expires_at = NULL WHERE name = 'writer' AND token = ?", [lease.token]
        )
