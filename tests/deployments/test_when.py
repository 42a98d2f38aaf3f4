"""When the flows run: evenings by the exchange's own clock, and what 100 weeks of them do."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from deployments.when import times_for
from forecasting.sessions import last_final_session
from tasks.deciding import nothing_to_do, sessions_due

FIRST = date(2023, 2, 6)  # a Monday; 100 weeks hold four switches of summer time, two year's ends, 2024's leap day
WEEKS = 100


@pytest.mark.parametrize(
    ("calendars", "zone", "daily"),
    [
        (["XNYS"], "America/New_York", ("30 18,20,22 * * 1-5", "30 18 * * 0,6")),
        (["XETR"], "Europe/Berlin", ("0 20,22 * * 1-5", "0 20 * * 0,6")),
        (["XTKS"], "Asia/Tokyo", ("0 18,20,22 * * 1-5", "0 18 * * 0,6")),
        (["XSAU"], "Asia/Riyadh", ("30 17,19,21 * * 0-4", "30 17 * * 5,6")),  # Sunday to Thursday
        (["24/7"], "UTC", ("30 2,4,6 * * *",)),  # the day ends at midnight; every day is a session
        (["24/5"], "UTC", ("30 2,4,6 * * 2-6", "30 2 * * 0,1")),  # Friday's evening is Saturday's morning
        (["XTKS", "XNYS", "XETR"], "America/New_York", ("30 18,20,22 * * 1-5", "30 18 * * 0,6")),  # the last to close
    ],
)
def test_times__are_two_and_a_half_hours_after_the_last_close(calendars, zone, daily):
    times = times_for(calendars, final_after_minutes=30)
    assert (times.timezone, times.daily) == (zone, daily)


def test_times__move_with_the_minutes_that_a_bar_takes_to_settle():
    assert times_for(["XNYS"], final_after_minutes=0).daily[0] == "0 18,20,22 * * 1-5"
    assert times_for(["XNYS"], final_after_minutes=300).daily[0] == "0 23 * * 1-5"


def fires(crons: tuple[str, ...], zone: str, first: date, weeks: int) -> list[datetime]:
    """The instants at which these crons fire: each minute of the local clock that exists is asked by hand, hour by hour."""
    at, end = datetime(first.year, first.month, first.day, tzinfo=UTC), timedelta(weeks=weeks)
    start, found = at, []
    while at < start + end:
        local = at.astimezone(ZoneInfo(zone))
        for cron in crons:
            minute, hours, _, _, days = cron.split()
            if local.minute == int(minute) and _is(local.hour, hours) and _is(local.isoweekday() % 7, days):
                found.append(at)
        at += timedelta(minutes=30)
    return found


def _is(value: int, field: str) -> bool:
    if field == "*":
        return True
    spans = [part.split("-") for part in field.split(",")]
    return any(int(span[0]) <= value <= int(span[-1]) for span in spans)


def truth(calendar: str, until: datetime) -> dict[date, datetime]:
    """Every session of the exchange from a week before FIRST on and when it closed, straight from the other library."""
    import exchange_calendars

    sessions = exchange_calendars.get_calendar(calendar, start="2022-01-01", end="2025-12-31")
    return {
        day.date(): close.to_pydatetime()
        for day, close in sessions.closes.items()
        if day.date() >= FIRST - timedelta(days=7) and close.to_pydatetime() + timedelta(minutes=30) <= until
    }


@pytest.mark.parametrize("calendar", ["XNYS", "XETR", "XTKS", "XSAU", "XASX", "24/7"])
@pytest.mark.parametrize("awake", [1.0, 0.6], ids=["always on", "a laptop that sleeps"])
def test_hundred_weeks__each_session_is_done_once_in_order_and_only_after_its_close(calendar, awake):
    """The schedule fires, the flow asks the clock once, the calendar decides. A laptop misses four evenings in ten, and a
    person presses the button in mid-session once a week."""
    times = times_for([calendar], 30)
    chance = random.Random(f"{calendar} {awake}")
    instants = [at for at in fires(times.daily, times.timezone, FIRST, WEEKS) if chance.random() < awake]
    instants += [
        datetime(FIRST.year, FIRST.month, FIRST.day, 14, 17, tzinfo=UTC) + timedelta(days=7 * w + w % 7) for w in range(WEEKS)
    ]
    last = max(instants)
    expected = truth(calendar, last)
    before = date.fromordinal(FIRST.toordinal() - 1)
    done: list[date] = [last_final_session(calendar, datetime(before.year, before.month, before.day, tzinfo=UTC), 30)]
    begun, idle = len(done), 0
    done_at: dict[date, datetime] = {}
    for now in sorted(instants):
        origin = last_final_session(calendar, now, 30)
        if origin in done:
            idle += 1
            assert str(origin) in nothing_to_do(calendar, now, origin, 30)
            continue
        due = sessions_due(calendar, origin, done, most=250)
        assert list(due.sessions) == sorted(due.sessions) and due.before is None
        done += due.sessions
        done_at.update(dict.fromkeys(due.sessions, now))
    wanted = [day for day in expected if day > done[0]]
    assert done[begun:] == wanted  # each once, in order, none that is no session, none missing
    assert all(done_at[day] >= expected[day] + timedelta(minutes=30) for day in wanted)
    assert idle > 100


def test_evening__is_the_same_by_the_exchanges_clock_on_both_switch_days():
    """New York, 10 March and 3 November 2024: 18:30 local is 23:30 UTC in winter and 22:30 in summer, once each."""
    times = times_for(["XNYS"], 30)
    for switch, before, after in ((date(2024, 3, 8), 23, 22), (date(2024, 11, 1), 22, 23)):
        first = [
            at for at in fires(times.daily, times.timezone, switch, 1) if at.astimezone(ZoneInfo("America/New_York")).hour == 18
        ]
        assert len(first) == 7
        assert first[0].hour == before and first[-1].hour == after


@pytest.mark.parametrize("calendar", ["XNYS", "XETR", "XSTU", "XLON", "XSGO", "XNZE", "CMES"])
def test_schedules__keep_clear_of_the_hours_in_which_clocks_change(calendar):
    """Stuttgart closes at 22:00: two and a half hours later is the next morning, in which 2:30 may be missing or come twice."""
    times = times_for([calendar], 30)
    crons = (*times.daily, times.nightly, times.retrain, times.controls)
    assert not {int(hour) for cron in crons for hour in cron.split()[1].split(",")} & {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("now", "origin", "words"),
    [
        ("2024-11-28T23:30", "2024-11-27", "2024-11-28 (Thursday) is no session of XNYS"),  # Thanksgiving
        ("2024-11-29T15:00", "2024-11-27", "the session of 2024-11-29 is final at 13:30 in America/New_York"),  # half day, open
        ("2024-11-29T18:29", "2024-11-27", "the session of 2024-11-29 is final at 13:30"),
        ("2024-11-29T18:30", "2024-11-29", "the session of 2024-11-29 was done before"),  # half day, 13:00 and settled
        ("2024-12-31T15:00", "2024-12-30", "the session of 2024-12-31 is final at 16:30"),
        ("2025-01-01T23:30", "2024-12-31", "2025-01-01 (Wednesday) is no session of XNYS"),  # the year's end
        ("2025-01-09T23:30", "2025-01-08", "2025-01-09 (Thursday) is no session"),  # a day of mourning, not on any rule
        ("2025-03-09T23:30", "2025-03-07", "2025-03-09 (Sunday) is no session"),  # summer time began this morning
    ],
)
def test_nothing_to_do__says_why(now, origin, words):
    at, day = datetime.fromisoformat(now).replace(tzinfo=UTC), date.fromisoformat(origin)
    assert last_final_session("XNYS", at, 30) == day
    assert words in nothing_to_do("XNYS", at, day, 30)


def test_due__beyond_the_most_says_where_it_begins():
    day = date(2024, 6, 28)
    due = sessions_due("XNYS", day, [date(2024, 1, 2)], most=5)
    assert due.before == due.sessions[0] == date(2024, 6, 21) and len(due.sessions) == 6


def test_due__clock_that_went_back_does_nothing_twice():
    """An hour back, or three days: the sessions that are done stay done."""
    done = [date(2024, 6, 24), date(2024, 6, 25), date(2024, 6, 26)]
    assert sessions_due("XNYS", date(2024, 6, 25), done, most=250).sessions == (date(2024, 6, 25),)  # which the run finds done
