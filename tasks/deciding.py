"""Which sessions a run has to do, and why there are none. Pure: the instant is an argument, the calendars are the exchanges'.

A flow asks the clock once. What follows from the answer is decided here: the last session that is over and settled, the
missed ones before it oldest first, or the sentence that says why there is nothing to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta


@dataclass(frozen=True)
class Due:
    """``sessions`` are oldest first and end with the origin; ``before`` is set where more were missed than may be caught up:
    the sessions before it stay without forecast."""

    sessions: tuple[date, ...]
    before: date | None = None


def sessions_due(calendar: str, origin: date, done: Collection[date], most: int, replay: int = 0) -> Due:
    """The sessions up to ``origin`` that have no forecast yet, oldest first; the origin is always among them.

    ``done`` are sessions at which all that is to be forecast was. The missed ones begin after the last of them (with
    ``replay``: so many before the origin), and no further back than ``most``.
    """
    from forecasting.sessions import add_sessions, sessions_between

    first, before = origin, None
    past = [day for day in done if day <= origin]
    if replay:
        first = add_sessions(calendar, origin, -replay)
    elif past:
        first = min(add_sessions(calendar, max(past), 1), origin)
        earliest = add_sessions(calendar, origin, -most)
        if first < earliest:
            first = before = earliest
    known = set(done)
    between = sessions_between(calendar, first, origin).astype("datetime64[D]").astype(object)
    return Due((*(day for day in between if day < origin and day not in known), origin), before)


def pace_of(symbols: Collection[str]) -> str:
    """The calendar that sets the pace: that of most of the symbols; the default one where there are none."""
    from forecasting.sessions import DEFAULT_CALENDAR, calendar_of

    counted = Counter(sorted(calendar_of(symbol) for symbol in symbols)).most_common(1)
    return counted[0][0] if counted else DEFAULT_CALENDAR


def last_for_all(pace: str, finals: Mapping[str, date]) -> date:
    """The last session of the calendar ``pace`` such that no exchange has one at or before it that is not over and settled.

    ``finals`` are the last such sessions of each exchange. One that is closed for days holds nobody back meanwhile.
    """
    from forecasting.sessions import add_sessions

    first_open = min(add_sessions(calendar, final, 1) for calendar, final in finals.items())
    return add_sessions(pace, first_open, -1)


def nothing_to_do(calendar: str, now: datetime, origin: date, final_after_minutes: int) -> str:
    """Why a run at ``now`` (UTC) whose ``origin`` was done before has nothing to do, in a sentence."""
    from forecasting.sessions import closes_at, is_session, timezone_of

    zone = timezone_of(calendar)
    today = now.astimezone(zone).date()
    done = f"the last session that is over, {origin}, was done before"
    if origin >= today:
        return f"the session of {origin} was done before"
    if not is_session(calendar, today):
        return f"{today} ({today:%A}) is no session of {calendar}; {done}"
    final = (closes_at(calendar, today) + timedelta(minutes=final_after_minutes)).astimezone(zone)
    if now < final:
        return f"the session of {today} is final at {final:%H:%M} in {zone.key}; {done}"
    return f"the session of {origin} was done before"
