"""What a session could see of macro series, vintage by vintage; and how values were placed before there were vintages."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd


def as_known(
    vintages: list[tuple[str, date, datetime, float]],
    sessions: list[date],
    finals: list[datetime],
    as_of: datetime | None = None,
) -> list[tuple[str, date, float]]:
    """(series, session, value) at each change; vintages are (series, about, published_at, value)."""
    seen = []
    for series in sorted({v[0] for v in vintages}):
        before = None
        for session, final in zip(sessions, finals, strict=True):
            public = [
                v for v in vintages if v[0] == series and v[2] <= final and (as_of is None or v[2] <= as_of) and v[3] == v[3]
            ]
            if not public:
                continue
            newest = max(v[1] for v in public)
            value = max((v for v in public if v[1] == newest), key=lambda v: v[2])[3]
            if (newest, value) != before:
                seen.append((series, session, value))
                before = (newest, value)
    return seen


def next_session_rule(macro: pd.DataFrame, sessions: np.ndarray, same_session: set[str]) -> list[tuple[str, date, float]]:
    """How values were placed when only days counted: at their own session's close (``same_session``), or at the next one's;
    a day that is no session counts as the one before it; the latest of several stays, and those no session follows go."""
    placed: dict[tuple[str, date], tuple[date, float]] = {}
    days = [d.astype(object) for d in np.asarray(sessions, dtype="datetime64[D]")]
    for series, about, value in zip(macro["series"], macro["about"], macro["value"], strict=True):
        day = about.date()
        later = [d for d in days if (d >= day if series in same_session else d > day)]
        if later and (series, later[0]) not in placed or later and placed[series, later[0]][0] < day:
            placed[series, later[0]] = (day, value)
    return sorted((series, session, value) for (series, session), (_, value) in placed.items())
