"""Trading sessions: which exchange a symbol trades on, when its sessions are and when each is over.

Dates here are the exchange's own trading dates; instants are UTC. The calendars come from exchange_calendars, which knows
each exchange's past in full and its holidays about a year ahead. Outside of what a calendar knows its weekdays are taken
as sessions: ``coverage`` says where that begins, and a warning is logged once per calendar.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

log = logging.getLogger(__name__)

DEFAULT_CALENDAR = "XNYS"
CRYPTO = "24/7"
CURRENCIES = "24/5"
FUTURES = "CMES"
FIRST_DAY = "1928-01-01"  # the oldest price series in use begin there
FINAL_AFTER_MINUTES = 30

# The suffix that Yahoo writes behind a symbol, and the calendar of that exchange. One letter behind a point that is not
# here is a share class (BRK.B), so the symbol is American.
SUFFIXES = {
    "L": "XLON", "IL": "XLON", "T": "XTKS", "HK": "XHKG", "KS": "XKRX", "KQ": "XKRX", "SS": "XSHG", "SZ": "XSHG",
    "TW": "XTAI", "TWO": "XTAI", "NS": "XBOM", "BO": "XBOM", "SI": "XSES", "KL": "XKLS", "JK": "XIDX", "BK": "XBKK",
    "AX": "XASX", "NZ": "XNZE", "TO": "XTSE", "V": "XTSE", "NE": "XTSE", "MX": "XMEX", "SA": "BVMF", "BA": "XBUE", "SN": "XSGO",
    "DE": "XETR", "F": "XFRA", "PA": "XPAR", "AS": "XAMS", "BR": "XBRU", "LS": "XLIS", "MC": "XMAD", "MI": "XMIL",
    "SW": "XSWX", "VI": "XWBO", "IR": "XDUB", "ST": "XSTO", "CO": "XCSE", "HE": "XHEL", "OL": "XOSL", "IC": "XICE",
    "WA": "XWAR", "PR": "XPRA", "BD": "XBUD", "IS": "XIST", "JO": "XJSE", "SR": "XSAU",
    "RG": "XRIS", "VS": "XLIT", "TL": "XTAL", "ME": "XMOS", "PS": "XPHS", "KA": "XKAR",
    "LM": "XLIM", "CL": "XBOG", "HM": "XHAM", "DU": "XDUS", "SG": "XSTU", "BE": "XFRA", "MU": "XFRA", "CN": "XTSE",
    "XC": "XLON", "AQ": "XLON",
}  # fmt: skip
# Suffixes of exchanges whose calendar exchange_calendars does not have, or cannot make with the pandas of today (Tel Aviv).
WITHOUT_CALENDAR = frozenset({"TA", "AT", "RO", "QA", "KW", "AE", "CA", "VN", "CM", "CR", "LX"})
INDICES = {
    "^FTSE": "XLON", "^N225": "XTKS", "^HSI": "XHKG", "^KS11": "XKRX", "^GDAXI": "XETR", "^STOXX50E": "XETR", "^FCHI": "XPAR",
    "^AEX": "XAMS", "^BFX": "XBRU", "^IBEX": "XMAD", "^SSMI": "XSWX", "^OMX": "XSTO", "^GSPTSE": "XTSE", "^AXJO": "XASX",
    "^NZ50": "XNZE", "^BSESN": "XBOM", "^NSEI": "XBOM", "^STI": "XSES", "^BVSP": "BVMF", "^MXX": "XMEX", "^TWII": "XTAI",
}  # fmt: skip
_CRYPTO_PAIR = re.compile(r"[A-Z0-9]+-(USD|USDT|USDC|EUR|GBP|JPY|CAD|AUD|CHF|KRW|INR|BTC|ETH)")


def calendar_of(symbol: str) -> str:
    """The calendar that the symbol's sessions follow, by the way it is written; New York where nothing else is said.

    >>> [calendar_of(s) for s in ("AAPL", "BRK-B", "BRK.B", "0700.HK", "BTC-USD", "EURUSD=X")]
    ['XNYS', 'XNYS', 'XNYS', 'XHKG', '24/7', '24/5']
    """
    if symbol.startswith("^"):
        return INDICES.get(symbol, DEFAULT_CALENDAR)
    if symbol.endswith("=X"):
        return CURRENCIES
    if symbol.endswith("=F"):
        return FUTURES
    if _CRYPTO_PAIR.fullmatch(symbol):
        return CRYPTO
    _, point, suffix = symbol.rpartition(".")
    return SUFFIXES.get(suffix, DEFAULT_CALENDAR) if point else DEFAULT_CALENDAR


def exchange_known(symbol: str) -> bool:
    """Whether ``calendar_of`` is the symbol's own calendar, and not New York's for want of a better one."""
    _, point, suffix = symbol.rpartition(".")
    return not point or len(suffix) < 2 or suffix in SUFFIXES


@dataclass(frozen=True)
class _Calendar:
    """The sessions that exchange_calendars knows of one exchange, as arrays."""

    name: str
    days: np.ndarray  # datetime64[D], ascending
    closes: np.ndarray  # datetime64[s] UTC, when each session ends
    weekmask: str  # '1111100': Monday to Friday
    zone: object

    @property
    def first(self) -> np.datetime64:
        return self.days[0]

    @property
    def last(self) -> np.datetime64:
        return self.days[-1]

    def weekdays(self, start: np.datetime64, end: np.datetime64) -> np.ndarray:
        days = np.arange(start, end + 1, dtype="datetime64[D]")
        return days[np.is_busday(days, weekmask=self.weekmask)]

    def between(self, start: np.datetime64, end: np.datetime64) -> np.ndarray:
        """Sessions with start <= session <= end; weekdays outside of what is known."""
        known = self.days[np.searchsorted(self.days, start) : np.searchsorted(self.days, end, side="right")]
        if start >= self.first and end <= self.last:
            return known
        _say_extrapolated(self.name)
        before = self.weekdays(start, min(end, self.first - 1))
        after = self.weekdays(max(start, self.last + 1), end)
        return np.concatenate([before, known, after])

    def close_of(self, day: np.datetime64) -> np.datetime64:
        """When the session ends, UTC; outside of what is known at the exchange's latest known closing time of day."""
        at = int(np.searchsorted(self.days, day))
        if at < len(self.days) and self.days[at] == day:
            return self.closes[at]
        _say_extrapolated(self.name)
        known, end = self.days[-1], self.closes[-1].astype(datetime).replace(tzinfo=UTC).astimezone(self.zone)
        local = end.replace(tzinfo=None) - datetime.combine(known.astype(date), datetime.min.time())
        wall = datetime.combine(day.astype(date), datetime.min.time()) + local
        return np.datetime64(wall.replace(tzinfo=self.zone).astimezone(UTC).replace(tzinfo=None), "s")


@lru_cache(maxsize=64)
def exchange(name: str) -> ExchangeCalendar:
    """The calendar as exchange_calendars has it, from 1928 or its beginning; made once, since that takes a second."""
    import exchange_calendars
    import pandas as pd

    try:
        return exchange_calendars.get_calendar(name, start=FIRST_DAY)
    except ValueError:  # the calendar begins later (Tokyo 1997, Shanghai 1990) and says so only when asked
        earliest = exchange_calendars.get_calendar(name).bound_min()
        return exchange_calendars.get_calendar(name, start=max(earliest, pd.Timestamp(FIRST_DAY)))


@lru_cache(maxsize=64)
def _calendar(name: str) -> _Calendar:
    calendar = exchange(name)
    closes = calendar.closes.dt.tz_localize(None) if calendar.closes.dt.tz is not None else calendar.closes
    return _Calendar(
        name,
        calendar.sessions.to_numpy().astype("datetime64[D]"),
        closes.to_numpy().astype("datetime64[s]"),
        calendar.weekmask,
        calendar.tz,
    )


@lru_cache(maxsize=64)
def _say_extrapolated(name: str) -> None:
    known = _calendar(name)
    log.warning("calendar %s is known from %s to %s; weekdays outside are taken as sessions", name, known.first, known.last)


def coverage(calendar: str) -> tuple[date, date]:
    """The first and the last session that the calendar knows; outside of them sessions are guessed from weekdays."""
    known = _calendar(calendar)
    return known.first.astype(date), known.last.astype(date)


def sessions_between(calendar: str, start: object, end: object) -> np.ndarray:
    """The sessions with start <= session <= end, datetime64[D], ascending; empty where end lies before start."""
    return _calendar(calendar).between(_day(start), _day(end))


def timezone_of(calendar: str) -> ZoneInfo:
    """The exchange's own time zone, in which its trading dates are meant."""
    return ZoneInfo(str(_calendar(calendar).zone))


def is_session(calendar: str, session: object) -> bool:
    """Whether the exchange trades on that date."""
    day = _day(session)
    return len(_calendar(calendar).between(day, day)) == 1


def add_sessions(calendar: str, session: object, n: int) -> date:
    """The n-th session after ``session`` (n > 0), or the -n-th before it; ``session`` itself need not be one.

    n = 0 gives the session itself, or the last one before it where it is none.
    """
    known, day = _calendar(calendar), _day(session)
    reach = np.timedelta64(abs(n) * 2 + 90, "D")  # five sessions in seven days, and no exchange here closed for a quarter
    if n > 0:
        return known.between(day + 1, day + reach)[n - 1].astype(date)
    past = known.between(day - reach, day if n == 0 else day - 1)
    return past[-1 if n == 0 else n].astype(date)


def closes_at(calendar: str, session: object) -> datetime:
    """The instant (UTC) at which the session ends, early closes included. ValueError where it is not a session."""
    day = _day(session)
    if not is_session(calendar, day):
        raise ValueError(f"{day} is not a session of {calendar}")
    return _calendar(calendar).close_of(day).astype(datetime).replace(tzinfo=UTC)


def closes_of(calendar: str, sessions: np.ndarray) -> np.ndarray:
    """The instants (datetime64[s], UTC) at which these sessions (datetime64[D]) end; those of a calendar's, not checked."""
    known, days = _calendar(calendar), np.asarray(sessions, dtype="datetime64[D]")
    at = np.minimum(np.searchsorted(known.days, days), len(known.days) - 1)
    ends = known.closes[at]
    for i in np.flatnonzero(known.days[at] != days):  # outside of what the calendar knows
        ends[i] = known.close_of(days[i])
    return ends


def last_final_session(calendar: str, now: datetime, delay_minutes: int = FINAL_AFTER_MINUTES) -> date:
    """The last session that had ended ``delay_minutes`` or more before ``now`` (with a time zone): its bar is final."""
    if now.tzinfo is None:
        raise ValueError(f"the instant {now} has no time zone")
    known = _calendar(calendar)
    limit = np.datetime64((now - timedelta(minutes=delay_minutes)).astimezone(UTC).replace(tzinfo=None), "s")
    today = limit.astype("datetime64[D]")
    recent = known.between(today - np.timedelta64(90, "D"), today + 1)  # in the east a session's date is ahead of UTC's
    return next(day for day in recent[::-1] if known.close_of(day) <= limit).astype(date)


def _day(value: object) -> np.datetime64:
    """A calendar date from a date, datetime, Timestamp, datetime64 or ISO text."""
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[D]")
    return np.datetime64(str(value)[:10], "D")
