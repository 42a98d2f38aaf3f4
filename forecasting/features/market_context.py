"""The market of an exchange: what all its symbols have in common at the close of each session, made of what was known then.

A symbol of another exchange counts with its last session that had closed by then: Tokyo's market of a Tuesday holds New
York's Monday, and New York's Tuesday holds Tokyo's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting.features import kernels
from forecasting.panel import Panel
from forecasting.sessions import calendar_of, closes_of, sessions_between

FAST, SLOW = 0.94, 0.99  # the decay of the daily variance (RiskMetrics 1996) and a slow companion
MACRO_MAX_AGE_DAYS = 14  # two weeks, ten sessions: an older value no longer says anything about today,
MACRO_MAX_PAUSES = 1.6  # unless the series comes more seldom: so many times the longest of the three pauses before it
NOT_COUNTED = -1


@dataclass(frozen=True)
class Market:
    """Arrays over the sessions of one exchange (its axis), NaN where not known, known at the close of each."""

    panel: Panel
    members: tuple[int, ...]  # the symbols that are the market, positions in the panel, in the order of their names
    at: np.ndarray  # int32 [R]: the session of the axis that a row counts in, NOT_COUNTED: in none
    size: int  # sessions of the axis
    place: np.ndarray | None  # int32 [T]: where the panel's sessions are on the axis; None: the axis is the panel's own
    returns: np.ndarray  # float64 [R]
    variance: np.ndarray  # float64 [R], EWMA with decay FAST
    macro: Mapping[str, np.ndarray]  # series -> value known at the session's close
    elsewhere: Mapping[str, Market] = field(default_factory=dict)  # where exchanges differ: calendar -> its own
    _memo: dict = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, panel: Panel, returns: np.ndarray, variance: np.ndarray, symbols: tuple[str, ...], macro: pd.DataFrame | None
    ) -> Market:
        """The market made of ``symbols``, taken in the order of their names so that no bit depends on who else is there."""
        wanted = frozenset(symbols)
        members = tuple(i for _, i in sorted((name, i) for i, name in enumerate(panel.symbols) if name in wanted))
        calendars = sorted({calendar_of(symbol) for symbol in panel.symbols})
        parts = _by_calendar(macro)
        if len(calendars) == 1:
            known = known_macro(parts.get(calendars[0], parts.get(None)), panel.sessions)
            return cls(panel, members, panel.at, len(panel.sessions), None, returns, variance, known)._prepared()
        elsewhere = {}
        for name in calendars:
            axis = _axis(panel, name)
            at, place = _counted_at(panel, members, name, axis), _find(panel.sessions, axis)
            known = known_macro(parts.get(name, parts.get(None)), axis)
            elsewhere[name] = cls(panel, members, at, len(axis), place, returns, variance, known)._prepared()
        return cls(panel, members, panel.at, len(panel.sessions), None, returns, variance, {}, elsewhere)

    def _prepared(self) -> Market:
        """What nearly every feature of a market asks for, made before many threads ask for it at once."""
        for _ in (self.mean_scaled, self.fast, self.slow):
            pass
        return self

    def memo(self, key: str, make: Callable[[Market], np.ndarray]) -> np.ndarray:
        """``make(self)`` the first time, the same array afterwards (two threads at once make the same bits twice)."""
        if key not in self._memo:
            self._memo[key] = make(self)
        return self._memo[key]

    def macro_value(self, series: str) -> np.ndarray:
        """The value of ``series`` known at each session's close; NaN where there is none."""
        known = self.macro.get(series)
        return np.full(self.size, np.nan) if known is None else known

    @property
    def whole(self) -> np.ndarray:
        """The axis as one run of rows, as the kernels take it."""
        return np.array([0, self.size], dtype=np.int64)

    def average(self, key: str, values: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Mean over the symbols of ``values`` (of the rows of one of them) at each session; what is not known is left out."""

        def make(_: Market) -> np.ndarray:
            total, count = np.zeros(self.size), np.zeros(self.size, dtype=np.int64)
            with np.errstate(all="ignore"):
                for i in self.members:
                    rows = slice(self.panel.starts[i], self.panel.starts[i + 1])
                    kernels.add_by_session(self.at[rows], values(rows), total, count)
                return total / count

        return self.memo(f"average {key}", make)

    @property
    def mean(self) -> np.ndarray:
        """Cross-sectional mean of the session's log total return."""
        return self.average("return", lambda rows: self.returns[rows])

    @property
    def mean_scaled(self) -> np.ndarray:
        """Cross-sectional mean of the session's return over its own scale."""
        return self.average("scaled", self.scaled)

    def scaled(self, rows: slice) -> np.ndarray:
        """The log total returns of some rows over their symbol's scale."""
        return self.returns[rows] / np.sqrt(self.variance[rows])

    @property
    def fast(self) -> np.ndarray:
        """EWMA variance of the mean return, lambda FAST."""
        return self.memo("fast", lambda market: kernels.ewma_square(market.whole, market.mean, FAST))

    @property
    def slow(self) -> np.ndarray:
        """EWMA variance of the mean return, lambda SLOW."""
        return self.memo("slow", lambda market: kernels.ewma_square(market.whole, market.mean, SLOW))

    def over_known(self, values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``values`` of the mean returns of the sessions that have one, at each session: a day on which none of the market's
        symbols trades, because others do, is no session of the market's. In between the last one stays."""
        known = np.isfinite(self.mean)
        before = np.cumsum(known)
        return np.append(np.nan, values(self.mean[known])).take(before)

    def of_symbol(self, symbol: str) -> Market:
        """The market of the symbol's own exchange."""
        return self.elsewhere.get(calendar_of(symbol), self)

    def section(self, name: str, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The market's known values in ``column`` [R], ascending in each session, and where each session begins [size + 1]."""

        def make(_: Market) -> tuple[np.ndarray, np.ndarray]:
            counts = np.zeros(self.size + 1, dtype=np.int64)
            for i in self.members:
                kernels.count_by_session(self.panel.starts[i], self.panel.starts[i + 1], self.at, column, counts)
            first = np.append(0, np.cumsum(counts[:-1]))
            values, free = np.empty(first[-1]), first[:-1].copy()
            for i in self.members:
                kernels.place_by_session(self.panel.starts[i], self.panel.starts[i + 1], self.at, column, free, values)
            kernels.sort_each(first, values)
            return values, first

        return self.memo(f"section {name}", make)


def known_macro(macro: pd.DataFrame | None, sessions: np.ndarray) -> dict[str, np.ndarray]:
    """For each series the last value known at each session's close, float64 [T]; NaN where there is none, or where it is
    older than two weeks and than 1.6 times the longest of the three pauses before it (about seven weeks for a monthly one).

    ``macro``: series, session (the first at whose close the value was public), value; where several rows fall on one
    session the last in the frame counts.
    """
    if macro is None or macro.empty:
        return {}
    known: dict[str, np.ndarray] = {}
    usable = macro[macro["value"].notna()]
    for series, rows in usable.groupby("series", sort=True):
        rows = rows.drop_duplicates("session", keep="last").sort_values("session", kind="stable")
        day = rows["session"].to_numpy().astype("datetime64[D]")
        limit, pause = np.full(len(day), float(MACRO_MAX_AGE_DAYS)), MACRO_MAX_PAUSES * np.diff(day).astype(np.int64)
        for before in range(1, 4):  # of three, since a revision can follow its value at once
            limit[before:] = np.maximum(limit[before:], pause[: max(len(day) - before, 0)])
        latest = np.searchsorted(day, sessions, side="right") - 1
        held = np.maximum(latest, 0)
        fresh = (latest >= 0) & ((sessions - day[held]).astype(np.int64) <= limit[held])
        known[str(series)] = np.where(fresh, rows["value"].to_numpy(dtype=np.float64)[latest], np.nan)
    return known


def _by_calendar(macro: pd.DataFrame | None) -> dict[str | None, pd.DataFrame]:
    """The macro rows for each calendar at whose closes they were public; under None where they do not say."""
    if macro is None:
        return {}
    if "calendar" not in macro.columns:
        return {None: macro}
    return {str(name): rows for name, rows in macro.groupby("calendar", sort=True)}


def _axis(panel: Panel, calendar: str) -> np.ndarray:
    """The calendar's sessions within the panel's, and the days of its own rows: no other symbol has a say in it."""
    own = [panel.session_of(i) for i, symbol in enumerate(panel.symbols) if calendar_of(symbol) == calendar]
    return np.union1d(sessions_between(calendar, panel.sessions[0], panel.sessions[-1]), np.concatenate(own))


def _find(days: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The position of each day on the axis, int32; NOT_COUNTED where it is none of its sessions."""
    at = np.minimum(np.searchsorted(axis, days), len(axis) - 1)
    return np.where(axis[at] == days, at, NOT_COUNTED).astype(np.int32)


def _counted_at(panel: Panel, members: tuple[int, ...], calendar: str, axis: np.ndarray) -> np.ndarray:
    """For each row the session of ``axis`` at whose close it is the latest that its symbol had, int32 [R].

    A row counts in the first session that closes no earlier than it. Of two rows of a symbol that fall on one session,
    because there was no session between them, the later counts.
    """
    at = np.full(panel.rows, NOT_COUNTED, dtype=np.int32)
    closes, positions = closes_of(calendar, axis), {}
    for i in members:
        rows, other = slice(panel.starts[i], panel.starts[i + 1]), calendar_of(panel.symbols[i])
        if other not in positions:  # of every session of the panel, as if it were one of the other exchange
            own = other == calendar
            positions[other] = _find(panel.sessions, axis) if own else _first_after(panel, other, closes)
        found = positions[other][panel.at[rows]]
        later = np.append(found[1:] == found[:-1], False)
        at[rows] = np.where(later | (found >= len(axis)), NOT_COUNTED, found)
    return at


def _first_after(panel: Panel, other: str, closes: np.ndarray) -> np.ndarray:
    own = [i for i, symbol in enumerate(panel.symbols) if calendar_of(symbol) == other]
    days = np.unique(np.concatenate([panel.at[panel.starts[i] : panel.starts[i + 1]] for i in own]))
    found = np.full(len(panel.sessions), len(closes), dtype=np.int64)
    found[days] = np.searchsorted(closes, closes_of(other, panel.sessions[days]), side="left")
    return found
