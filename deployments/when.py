"""When the flows run: in the evening of the exchange that closes last, in its own time zone. Pure: no clock, no settings.

Cron knows no holidays, so a schedule may begin a run on a day without a session; the flow asks the exchange's calendar and
ends as "nothing to do".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

SETTLED_AFTER = 120  # minutes after a bar is final, for sources that are late
TRIES = 3  # of an evening, two hours apart: for a source that was down or late; a day that is done is found done in a second
LOOKED_AT = 300  # last sessions that a calendar knows: a year and more, so both halves of its summer time
MIDNIGHT = 24 * 60
QUIET = 4 * 60


@dataclass(frozen=True)
class Times:
    """Crons of one installation, all meant in ``timezone``. ``daily``: on days of sessions, then on the other days of the
    week, where one run is enough to catch up and to say that nothing is missing."""

    timezone: str
    daily: tuple[str, ...]
    nightly: str
    retrain: str
    controls: str


def times_for(calendars: Iterable[str], final_after_minutes: int) -> Times:
    """The schedules for symbols of these ``calendars``, whose bars are final so many minutes after the close."""
    last = max(sorted(set(calendars)), key=_close_in_utc)
    first = _local_close(last) + final_after_minutes + SETTLED_AFTER
    first = -(-first // 30) * 30  # half hours are easier to remember
    later, first = divmod(first, MIDNIGHT)
    zone = _zone(last)
    if later and zone != "UTC":  # in the small hours clocks change: 2:30 is there never on one night, twice on another
        first = max(first, QUIET)
    hours = [first + 120 * turn for turn in range(TRIES) if first + 120 * turn < MIDNIGHT]
    minute = first % 60
    week = [(day + later) % 7 for day in _trading_days(last)]
    rest = sorted(set(range(7)) - set(week))
    daily = [f"{minute} {','.join(str(h // 60) for h in hours)} * * {_days(week)}"]
    daily += [f"{minute} {first // 60} * * {_days(rest)}"] if rest else []
    return Times(zone, tuple(daily), nightly="0 5 * * *", retrain="0 6 * * 6", controls="0 6 * * 0")


def _close_in_utc(calendar: str) -> float:
    """Minutes from 0:00 UTC of the session's date to its close, the latest of the year."""
    return max((end - datetime.combine(day, datetime.min.time(), UTC)).total_seconds() / 60 for day, end in _closes(calendar))


def _local_close(calendar: str) -> int:
    """The same by the exchange's own clock; half days are not the latest."""
    zone = _exchange_zone(calendar)
    ends = [(day, end.astimezone(zone).replace(tzinfo=None)) for day, end in _closes(calendar)]
    return max(int((end - datetime.combine(day, datetime.min.time())) / timedelta(minutes=1)) for day, end in ends)


def _closes(calendar: str) -> list[tuple[date, datetime]]:
    from forecasting.sessions import closes_at, coverage, sessions_between

    last = coverage(calendar)[1]
    days = sessions_between(calendar, last - timedelta(days=2 * LOOKED_AT), last)[-LOOKED_AT:].astype(object)
    return [(day, closes_at(calendar, day)) for day in days]


def _trading_days(calendar: str) -> list[int]:
    """Days of the week with sessions as cron counts them: 0 is Sunday."""
    return sorted({day.isoweekday() % 7 for day, _ in _closes(calendar)})


def _exchange_zone(calendar: str):
    from forecasting.sessions import timezone_of

    return timezone_of(calendar)


def _zone(calendar: str) -> str:
    return _exchange_zone(calendar).key


def _days(days: Iterable[int]) -> str:
    """'1-5', '0,6', '*': days of the week as cron writes them."""
    days = sorted(days)
    if len(days) == 7:
        return "*"
    run = days == list(range(days[0], days[-1] + 1))
    return f"{days[0]}-{days[-1]}" if run and len(days) > 2 else ",".join(map(str, days))
