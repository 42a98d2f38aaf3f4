"""Rules about dates: is each a session of the symbol's exchange, was it over, and which sessions are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.quality.thresholds import QualityThresholds
from forecasting.reasons import Warned

Sessions = np.ndarray | Mapping[str, np.ndarray] | None
_MISPLACED = 0.1  # share of dates that are no sessions from which on a shift is suspected
_DAY_KEY = 10_000_000
_EPOCH = 1_000_000  # days before 1970 are negative


@dataclass(frozen=True)
class Dated:
    """Positions of rows that speak against each code, symbols rejected whole, rows that are sessions unknown to the calendar,
    and which symbols have bars a week or more apart [symbols]."""

    late: np.ndarray
    running: np.ndarray
    closed: np.ndarray
    shifted: np.ndarray
    unknown_session: np.ndarray
    not_daily: np.ndarray


@dataclass(frozen=True)
class _Group:
    """The symbols of one calendar. ``member``: rows of theirs, bool, or slice(None) for all."""

    known: np.ndarray
    member: np.ndarray | slice


def limits_of(today_limit: date | Mapping[str, date], names: pd.Index) -> np.ndarray:
    """The last final session of each symbol, and of a row without a symbol at the end, datetime64[D]."""
    if not isinstance(today_limit, Mapping):
        return np.full(len(names) + 1, np.datetime64(today_limit, "D"))
    earliest = min(today_limit.values(), default=date.min)
    return np.array([today_limit.get(name, earliest) for name in names] + [earliest], dtype="datetime64[D]")


def groups_of(code_of: np.ndarray, names: pd.Index, sessions: Sessions) -> list[_Group]:
    """Symbols by calendar. Those of one exchange share their array; asking once a symbol would take a minute for 300."""
    if sessions is None:
        return []
    if not isinstance(sessions, Mapping):
        return [_Group(np.asarray(sessions).astype("datetime64[D]"), slice(None))]
    calendars = {id(sessions[name]): sessions[name] for name in names if name in sessions}
    if len(calendars) == 1 and all(name in sessions for name in names) and (code_of >= 0).all():
        return [_Group(np.asarray(next(iter(calendars.values()))).astype("datetime64[D]"), slice(None))]
    whose = np.array([id(sessions[name]) if name in sessions else 0 for name in names] + [0])
    return [_Group(np.asarray(known).astype("datetime64[D]"), whose[code_of] == key) for key, known in calendars.items()]


def judge(
    code_of: np.ndarray, day: np.ndarray, groups: list[_Group], limits: np.ndarray, calendars: bool, traded: np.ndarray,
    thresholds: QualityThresholds,
) -> Dated:  # fmt: skip
    """``limits``: the last final session [symbols + 1]; ``calendars``: whether there are any; ``traded``: rows with volume."""
    limit = limits[code_of]
    late = day > limit
    running, closed, shifted, unknown = (np.zeros(len(day), dtype=bool) for _ in range(4))
    not_daily = _not_daily(code_of, day, len(limits) - 1)
    sparse = np.append(not_daily, False)[code_of] if not_daily.any() else np.zeros(len(day), dtype=bool)
    if not calendars and late.any():
        running = late & (day == np.busday_offset(limit, 1, roll="backward"))
    for group in groups:
        member = np.zeros(len(day), dtype=bool)
        member[group.member] = True
        known = group.known
        if (at := np.flatnonzero(late & member)).size:
            following = np.append(known, np.datetime64("NaT"))[np.searchsorted(known, limit[at], side="right")]
            running[at] = day[at] == following  # the session that is still running, where the calendar has it
        odd = member & ~late & ~sparse & ~np.isnat(day) & ~_contains(known, day)
        if not odd.any():
            continue
        judged = member & ~late & ~sparse
        shifted |= _shifted(code_of, day, known, judged, odd)
        ours = _unknown_sessions(code_of, day, judged & ~shifted, odd & ~shifted, traded, thresholds)
        unknown |= ours
        closed |= odd & ~ours
    return Dated(late & ~running, late & running, closed, shifted, unknown, not_daily)


def _contains(known: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Whether each day is among ``known`` (ascending), bool; by a table over the span, which is quicker than a search."""
    if not len(known):
        return np.zeros(len(day), dtype=bool)
    first, last = known[0].astype(np.int64), known[-1].astype(np.int64)
    table = np.zeros(last - first + 2, dtype=bool)  # the last place is for what lies outside
    table[known.astype(np.int64) - first] = True
    at = day.astype(np.int64) - first
    return table[np.where((at >= 0) & (at <= last - first), at, last - first + 1)]


def _not_daily(code_of: np.ndarray, day: np.ndarray, symbols: int) -> np.ndarray:
    """Symbols of which five in six steps or more take five days or longer, bool [symbols]; a week with a holiday is one too."""
    usable = (code_of >= 0) & ~np.isnat(day)
    key = code_of[usable].astype(np.int64) * _DAY_KEY + day[usable].astype(np.int64) + _EPOCH
    if len(key) > 1 and not (np.diff(key) >= 0).all():
        key = np.sort(key)
    step = np.diff(key)
    code = key[1:] // _DAY_KEY
    inside = (code == key[:-1] // _DAY_KEY) & (step > 0)
    steps = np.bincount(code[inside], minlength=symbols)
    wide = np.bincount(code[inside & (step >= 5)], minlength=symbols)
    return (steps >= 4) & (wide >= 5 / 6 * steps)


def _shifted(code_of: np.ndarray, day: np.ndarray, known: np.ndarray, judged: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Rows of symbols most of whose dates are no sessions, or would nearly all be if moved by one day, bool.

    The second catches midnights of another time zone: of Monday to Friday moved to Sunday to Thursday only a fifth is wrong.
    """
    found = np.zeros(len(day), dtype=bool)
    size = int(code_of.max()) + 1
    count = np.bincount(code_of[judged & (code_of >= 0)], minlength=size)
    wrong = np.bincount(code_of[closed & (code_of >= 0)], minlength=size)
    for i in np.flatnonzero((wrong >= 2) & (wrong > _MISPLACED * count)):  # one alone is a holiday of another market
        own = day[judged & (code_of == i)]
        moved = min(_share_closed(own + step, known) for step in (-1, 1))
        if wrong[i] > 0.5 * count[i] or moved < 0.02:
            found |= code_of == i
    return found


def _share_closed(day: np.ndarray, known: np.ndarray) -> float:
    """The share of days that are no sessions, of those between the first and the last session."""
    inside = day[(day >= known[0]) & (day <= known[-1])] if len(known) else day[:0]
    return float(np.mean(~np.isin(inside, known))) if len(inside) else 1.0


def _unknown_sessions(
    code_of: np.ndarray, day: np.ndarray, judged: np.ndarray, closed: np.ndarray, traded: np.ndarray, t: QualityThresholds
) -> np.ndarray:
    """Rows on dates that are no sessions by the calendar, but on which most symbols traded, bool.

    A special session that the calendar does not know; rows without volume on a holiday are a source's copies.
    """
    found = np.zeros(len(day), dtype=bool)
    size = int(code_of.max()) + 1
    for d in np.unique(day[closed & traded]):
        there = np.unique(code_of[closed & traded & (day == d)])
        if len(there) < t.closed_symbols:
            continue
        near = judged & (np.abs((day - d).astype(np.int64)) <= 10) & (code_of >= 0)
        if len(there) > 0.5 * (np.bincount(code_of[near], minlength=size) > 0).sum():
            found |= closed & (day == d)
    return found


def gaps(
    code_of: np.ndarray, day: np.ndarray, names: pd.Index, groups: list[_Group], leave_out: np.ndarray, t: QualityThresholds
) -> list[Warned]:
    """Sessions that are missing between two rows of a symbol, of whatever worth the rows are.

    A session that all of several symbols lack is 'calendar_disagrees', else runs of ``long_gap`` and more are 'long_gap' and
    shorter ones 'gap'. ``leave_out`` [symbols]: those not judged.
    """
    warned: list[Warned] = []
    for group in groups:
        known = group.known
        code, own = code_of[group.member], day[group.member]
        inside = (code >= 0) & ~np.isnat(own) & ~np.append(leave_out, True)[code]
        place = np.searchsorted(known, own)
        inside &= place < len(known)
        inside[inside] = known[place[inside]] == own[inside]
        key = code[inside].astype(np.int64) * _DAY_KEY + place[inside]
        if len(key) > 1 and not (np.diff(key) >= 0).all():
            key = np.sort(key)
        step = np.diff(key)
        at = np.flatnonzero((step > 1) & (key[1:] // _DAY_KEY == key[:-1] // _DAY_KEY))
        if not len(at):
            continue
        closures = _closures(key, len(known), t)
        for symbol, missing in _by_symbol(key, at):
            shut = closures[missing]
            run = np.split(missing[~shut], np.flatnonzero(np.diff(missing[~shut]) > 1) + 1)
            long = np.concatenate([r for r in run if len(r) >= t.long_gap] or [missing[:0]])
            short = np.setdiff1d(missing[~shut], long)
            for reason, lacking in (("calendar_disagrees", missing[shut]), ("long_gap", long), ("gap", short)):
                if len(lacking):
                    warned.append(Warned(str(names[symbol]), reason, known[lacking]))
    return warned


def _closures(key: np.ndarray, sessions: int, t: QualityThresholds) -> np.ndarray:
    """Sessions that none of several symbols has though they have some before and after, bool [sessions]."""
    code, place = key // _DAY_KEY, key % _DAY_KEY
    new = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    first, last = place[new], place[np.append(new[1:], len(code)) - 1]
    spanning = np.cumsum(
        np.bincount(first, minlength=sessions + 1) - np.bincount(last + 1, minlength=sessions + 2)[: sessions + 1]
    )
    return (np.bincount(place, minlength=sessions) == 0) & (spanning[:sessions] >= t.closed_symbols)


def _by_symbol(key: np.ndarray, at: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(symbol, places of its missing sessions) for the gaps that begin at ``at``."""
    out: dict[int, list[np.ndarray]] = {}
    for i in at:
        out.setdefault(int(key[i] // _DAY_KEY), []).append(np.arange(key[i] + 1, key[i + 1]) % _DAY_KEY)
    return [(code, np.concatenate(parts)) for code, parts in out.items()]
