"""What day it is on the symbol's exchange, and what its calendar let one expect: the same for every symbol of an exchange.

Days ahead are counted on the schedule as its rules had it (see ``feature_calendar``), days behind as they came. NaN where the
calendar does not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from forecasting.features import register
from forecasting.features.blocks import Block
from forecasting.features.exchange_days import ExchangeDays, exchange_days
from forecasting.sessions import calendar_of

CALENDAR = ("calendar",)
FAR = 20  # sessions; a holiday further away than this does not matter
TURN = 3  # first sessions of a month that belong to its turn (Lakonishok and Smidt 1988)
QUARTER_END = 5  # last sessions of a quarter
YEAR_DAYS = 365.25
NEVER = 10**7  # days

Rule = Callable[[ExchangeDays, np.ndarray], np.ndarray]


@lru_cache(maxsize=512)
def _table(rule: Rule, calendar: str) -> tuple[int, np.ndarray]:
    """The rule's value on every day of the calendar, and the first day."""
    known = exchange_days(calendar)
    return known.first, np.asarray(rule(known, np.arange(known.first, known.last)), dtype=np.float64)


def _by_day(b: Block, rule: Rule) -> np.ndarray:
    values = np.empty(len(b.at))
    for symbol, start, end in zip(b.symbols, b.starts[:-1], b.starts[1:], strict=True):
        first, table = _table(rule, calendar_of(symbol))
        at = b.day[start:end] - first
        values[start:end] = np.where((at >= 0) & (at < len(table)), table.take(at, mode="clip"), np.nan)
    return values


def _weekday(day: np.ndarray) -> np.ndarray:
    return (day + 3) % 7  # 0 Monday; day 0, the first of 1970, was a Thursday


def _month(day: np.ndarray) -> np.ndarray:
    """Months since 1970."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _month_begin(month: np.ndarray) -> np.ndarray:
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _after(days: np.ndarray, day: np.ndarray) -> np.ndarray:
    """How many of ``days`` are not after ``day``: the position of the first that is."""
    return np.searchsorted(days, day, side="right")


def _before(days: np.ndarray, day: np.ndarray) -> np.ndarray:
    """How many of ``days`` are before ``day``."""
    return np.searchsorted(days, day, side="left")


def _to_go(known: ExchangeDays, day: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Scheduled sessions after ``day`` and before the day ``end``."""
    return _before(known.scheduled, end) - _after(known.scheduled, day)


def _next(days: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The first of ``days`` after each day; far away where there is none."""
    return np.append(days, NEVER).take(_after(days, day))


def _last(days: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The last of ``days`` before each day; long ago where there is none."""
    return np.append(-NEVER, days).take(_before(days, day))


def _register_weekdays() -> None:
    for number, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")):

        def rule(known: ExchangeDays, day: np.ndarray, number: int = number) -> np.ndarray:
            return _weekday(day) == number

        def compute(b: Block, rule: Rule = rule) -> np.ndarray:
            return _by_day(b, rule)

        compute.__name__, compute.__doc__ = name, f"1 on a {name.title()}, else 0."
        register(inputs=CALENDAR, warm_up=0, group="calendar")(compute)


_register_weekdays()


def _days_since(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.minimum(day - _last(known.sessions, day) - 1, FAR)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def days_since(b: Block) -> np.ndarray:
    """Days without a session between the session before and this one: 0 within a week, 2 after a weekend, at most 20."""
    return _by_day(b, _days_since)


def _days_to_next(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.minimum(_next(known.scheduled, day) - day - 1, FAR)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def days_to_next(b: Block) -> np.ndarray:
    """Days without a session until the next one on the schedule: 0 within a week, 2 before a weekend, at most 20."""
    return _by_day(b, _days_to_next)


def _sessions_to_month_end(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return _to_go(known, day, _month_begin(_month(day) + 1))


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def sessions_to_month_end(b: Block) -> np.ndarray:
    """Sessions on the schedule after this one and in its month; 0 on the last."""
    return _by_day(b, _sessions_to_month_end)


def _month_turn(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    since = _after(known.sessions, day) - _before(known.sessions, _month_begin(_month(day)))
    return (_sessions_to_month_end(known, day) == 0) | (since <= TURN)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def month_turn(b: Block) -> np.ndarray:
    """1 on the last session of a month and on the first three, else 0 (turn of the month, Lakonishok and Smidt 1988)."""
    return _by_day(b, _month_turn)


def _quarter_end(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    month = _month(day)
    return _to_go(known, day, _month_begin(month + 3 - month % 3)) < QUARTER_END


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def quarter_end(b: Block) -> np.ndarray:
    """1 on the last five sessions of a calendar quarter on the schedule, else 0."""
    return _by_day(b, _quarter_end)


def _expiry_week(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    friday = day - _weekday(day) + 4
    nth = friday - _month_begin(_month(friday))  # 14 to 20: the third of its month
    return (nth >= 14) & (nth <= 20)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def expiry_week(b: Block) -> np.ndarray:
    """1 in the week, from Monday, of the third Friday of a month, when monthly options expire, else 0."""
    return _by_day(b, _expiry_week)


def _half_day(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.isin(day, known.short)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def half_day(b: Block) -> np.ndarray:
    """1 on a session that ended half an hour or more before the usual time, else 0."""
    return _by_day(b, _half_day)


def _half_day_next(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.isin(_next(known.scheduled, day), known.planned_short)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def half_day_next(b: Block) -> np.ndarray:
    """1 where the next session on the schedule ends early by rule, else 0."""
    return _by_day(b, _half_day_next)


def _holiday_since(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.minimum(_before(known.sessions, day) - _after(known.sessions, _last(known.gaps, day)), FAR)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def holiday_since(b: Block) -> np.ndarray:
    """Sessions between the last weekday without one and this session: 0 on the first after a holiday, at most 20."""
    return _by_day(b, _holiday_since)


def _holiday_to(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.minimum(_to_go(known, day, _next(known.planned_gaps, day)), FAR)


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def holiday_to(b: Block) -> np.ndarray:
    """Sessions on the schedule between this one and the next weekday without one: 0 on the last before a holiday, at most
    20; closures outside of the calendar's rules are not foreseen."""
    return _by_day(b, _holiday_to)


def _year_angle(day: np.ndarray) -> np.ndarray:
    begin = day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return 2.0 * np.pi * (day - begin) / YEAR_DAYS


def _season_sin(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.sin(_year_angle(day))


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def season_sin(b: Block) -> np.ndarray:
    """Sine of the day of the year as an angle, 0 on the first of January."""
    return _by_day(b, _season_sin)


def _season_cos(known: ExchangeDays, day: np.ndarray) -> np.ndarray:
    return np.cos(_year_angle(day))


@register(inputs=CALENDAR, warm_up=0, group="calendar")
def season_cos(b: Block) -> np.ndarray:
    """Cosine of the day of the year as an angle, 1 on the first of January."""
    return _by_day(b, _season_cos)
