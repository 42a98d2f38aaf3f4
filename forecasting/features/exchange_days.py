"""What an exchange's calendar says about a day, of what was known on that day.

Holidays and early closes by rule are known years ahead. A closure outside of the rules (a hurricane, a state funeral) was
known only when it came: the days after it know it, the days before do not, even where the calendar of today does. On
exchanges whose holidays are set each year (Shanghai, Hong Kong's typhoons) those, too, count as not known ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from forecasting.sessions import _calendar, exchange

BEYOND = 400  # days after the last that the calendar knows: its weekdays are taken as sessions
EARLY = 30  # minutes before the usual close that make a half day
USUAL = 11  # sessions whose closing times say what is usual: earlier ones, since trading hours change for good


@dataclass(frozen=True)
class ExchangeDays:
    """Days of one exchange, each an ascending int64 array of days since 1970."""

    first: int
    last: int  # the arrays say nothing before ``first`` and after ``last``
    scheduled: np.ndarray  # those without a holiday by rule: what was expected to be a session
    sessions: np.ndarray  # what was one
    gaps: np.ndarray  # the weekdays that were none
    planned_gaps: np.ndarray  # the weekdays that were expected to be none
    short: np.ndarray  # sessions that ended early
    planned_short: np.ndarray  # sessions that were expected to end early


@lru_cache(maxsize=64)
def exchange_days(calendar: str) -> ExchangeDays:
    """The days of ``calendar`` (a name of exchange_calendars), from 1928 or its beginning to about a year from now."""
    known = _calendar(calendar)
    first, last = known.first, known.last
    weekdays = np.arange(first, last + BEYOND, dtype="datetime64[D]")
    weekdays = weekdays[np.is_busday(weekdays, weekmask=known.weekmask)]
    rules = _rules(calendar, first, last + BEYOND)
    later = weekdays[weekdays > last]
    scheduled = np.setdiff1d(weekdays, rules)
    sessions = np.concatenate([known.days, np.setdiff1d(later, rules)])
    short = _short(known)
    planned = np.intersect1d(short, _planned_short(calendar, first, last))
    gaps, planned_gaps = np.setdiff1d(weekdays, sessions), np.setdiff1d(weekdays, scheduled)
    parts = (scheduled, sessions, gaps, planned_gaps, short, planned)
    numbers = (days.astype("datetime64[D]").astype(np.int64) for days in parts)
    return ExchangeDays(int(first.astype(np.int64)), int(last.astype(np.int64)) + BEYOND - 60, *numbers)


def _rules(calendar: str, first: np.datetime64, last: np.datetime64) -> np.ndarray:
    """The holidays that follow from a rule, datetime64[D]."""
    import pandas as pd

    rules = exchange(calendar).regular_holidays
    if rules is None:
        return np.empty(0, dtype="datetime64[D]")
    return rules.holidays(pd.Timestamp(first), pd.Timestamp(last)).to_numpy().astype("datetime64[D]")


def _short(known) -> np.ndarray:
    """Sessions that ended, on the exchange's own clock, well before the middle one of the eleven sessions before."""
    import pandas as pd

    local = pd.DatetimeIndex(known.closes).tz_localize("UTC").tz_convert(str(known.zone)).tz_localize(None)
    minutes = (local.to_numpy().astype("datetime64[m]") - known.days.astype("datetime64[m]")).astype(np.int64)
    if len(minutes) <= USUAL:
        return known.days[:0]
    usual = np.median(np.lib.stride_tricks.sliding_window_view(minutes, USUAL), axis=1)[:-1]
    return known.days[USUAL:][minutes[USUAL:] <= usual - EARLY]


def _planned_short(calendar: str, first: np.datetime64, last: np.datetime64) -> np.ndarray:
    import pandas as pd

    parts = [np.empty(0, dtype="datetime64[D]")]
    for _, rule in exchange(calendar).special_closes:
        if hasattr(rule, "holidays"):
            parts.append(rule.holidays(pd.Timestamp(first), pd.Timestamp(last)).to_numpy().astype("datetime64[D]"))
    return np.concatenate(parts)
