"""The wall clock, in one place. A flow asks it once; everything after works with the answer."""

from __future__ import annotations

from datetime import UTC, datetime


def now_utc() -> datetime:
    """This instant, with the time zone UTC."""
    return datetime.now(UTC)
