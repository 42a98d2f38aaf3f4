"""Sessions: exchanges by symbol, holidays, early closes, when a bar is final, and what lies beyond the calendar."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import sessions
from forecasting.sessions import (
    add_sessions,
    calendar_of,
    closes_at,
    coverage,
    is_session,
    last_final_session,
    sessions_between,
)


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [
        ("AAPL", "XNYS"), ("BRK-B", "XNYS"), ("BRK.B", "XNYS"), ("RDS-A", "XNYS"), ("^GSPC", "XNYS"), ("ON", "XNYS"),
        ("0700.HK", "XHKG"), ("7203.T", "XTKS"), ("OCDO.L", "XLON"), ("M&M.NS", "XBOM"), ("SAP.DE", "XETR"),
        ("^N225", "XTKS"), ("^FTSE", "XLON"), ("BTC-USD", "24/7"), ("ETH-BTC", "24/7"), ("EURUSD=X", "24/5"), ("GC=F", "CMES"),
    ],
)  # fmt: skip
def test_calendar_of__reads_the_way_the_symbol_is_written(symbol: str, calendar: str) -> None:
    assert calendar_of(symbol) == calendar


def test_calendar_of__every_calendar_named_exists() -> None:
    named = {*sessions.SUFFIXES.values(), *sessions.INDICES.values(), sessions.CRYPTO, sessions.CURRENCIES, sessions.FUTURES}
    assert named <= set(exchange_calendars.get_calendar_names())


def test_sessions_between__new_york_around_christmas_2024() -> None:
    found = sessions_between("XNYS", "2024-12-23", date(2025, 1, 2)).astype(str).tolist()
    assert found == ["2024-12-23", "2024-12-24", "2024-12-26", "2024-12-27", "2024-12-30", "2024-12-31", "2025-01-02"]
    assert len(sessions_between("XNYS", "2025-01-02", "2025-01-01")) == 0


def test_sessions_between__knows_the_far_past() -> None:
    assert not is_session("XNYS", "1963-11-25")  # Kennedy's funeral
    assert is_session("XNYS", "1962-01-02")
    assert not is_session("XNYS", "2001-09-12")


def test_is_session__saturday_sunday_and_the_crypto_week() -> None:
    assert not is_session("XNYS", "2024-12-28")
    assert is_session("24/7", "2024-12-28")
    assert not is_session("XTKS", "2024-01-02")  # Tokyo's new year


def test_add_sessions__forward_backward_and_from_a_holiday() -> None:
    assert add_sessions("XNYS", "2024-12-24", 1) == date(2024, 12, 26)
    assert add_sessions("XNYS", "2024-12-26", -1) == date(2024, 12, 24)
    assert add_sessions("XNYS", "2024-12-25", 1) == date(2024, 12, 26)
    assert add_sessions("XNYS", "2024-12-25", -1) == date(2024, 12, 24)
    assert add_sessions("XNYS", "2024-12-25", 0) == date(2024, 12, 24)
    assert add_sessions("XNYS", "2024-12-24", 0) == date(2024, 12, 24)


@settings(max_examples=60, deadline=None)
@given(st.dates(date(1970, 1, 1), date(2024, 1, 1)), st.integers(1, 600), st.sampled_from(["XNYS", "XLON", "24/7"]))
def test_add_sessions__counts_the_sessions_between(day: date, n: int, calendar: str) -> None:
    ahead = add_sessions(calendar, day, n)
    assert len(sessions_between(calendar, day + timedelta(days=1), ahead)) == n
    back = add_sessions(calendar, day, -n)
    assert len(sessions_between(calendar, back, day - timedelta(days=1))) == n
    assert is_session(calendar, ahead) and is_session(calendar, back)


def test_closes_at__summer_winter_and_the_half_day() -> None:
    assert closes_at("XNYS", "2024-07-02") == datetime(2024, 7, 2, 20, 0, tzinfo=UTC)
    assert closes_at("XNYS", "2024-12-23") == datetime(2024, 12, 23, 21, 0, tzinfo=UTC)
    assert closes_at("XNYS", "2024-12-24") == datetime(2024, 12, 24, 18, 0, tzinfo=UTC)  # 13:00 in New York
    assert closes_at("XTKS", "2024-07-02") == datetime(2024, 7, 2, 6, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="not a session of XNYS"):
        closes_at("XNYS", "2024-12-25")


@pytest.mark.parametrize(
    ("calendar", "now", "final"),
    [
        ("XNYS", datetime(2024, 12, 23, 21, 29, tzinfo=UTC), date(2024, 12, 20)),  # a minute too early: Friday
        ("XNYS", datetime(2024, 12, 23, 21, 30, tzinfo=UTC), date(2024, 12, 23)),
        ("XNYS", datetime(2024, 12, 24, 18, 30, tzinfo=UTC), date(2024, 12, 24)),  # half day, run at 13:30
        ("XNYS", datetime(2024, 12, 25, 23, 0, tzinfo=UTC), date(2024, 12, 24)),
        ("XTKS", datetime(2024, 7, 2, 6, 45, tzinfo=UTC), date(2024, 7, 2)),
        ("XNZE", datetime(2024, 7, 1, 23, 0, tzinfo=UTC), date(2024, 7, 1)),  # already the 2nd in Auckland, not over yet
        ("24/7", datetime(2024, 7, 2, 12, 0, tzinfo=UTC), date(2024, 7, 1)),
    ],
)
def test_last_final_session__is_over_and_settled(calendar: str, now: datetime, final: date) -> None:
    assert last_final_session(calendar, now) == final


def test_last_final_session__refuses_an_instant_without_a_time_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        last_final_session("XNYS", datetime(2024, 12, 23, 21, 30))


def test_beyond_the_calendar__weekdays_are_taken_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    first, last = coverage("XTKS")
    assert first.year == 1997
    sessions._say_extrapolated.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = sessions_between("XTKS", "1996-12-30", "1997-01-07")
        ahead = add_sessions("XTKS", last, 3)
    assert [str(d)[5:] for d in found] == ["12-30", "12-31", "01-01", "01-02", "01-03", "01-06", "01-07"]
    assert last < ahead <= last + timedelta(days=5) and np.is_busday(ahead)
    assert closes_at("XTKS", ahead).hour == 6
    assert [r.message.split(";")[1] for r in caplog.records] == [" weekdays outside are taken as sessions"]


def test_beyond_the_calendar__the_last_final_session_of_a_later_year() -> None:
    assert last_final_session("XNYS", datetime(2040, 6, 20, 12, tzinfo=UTC)) == date(2040, 6, 19)
