"""The rows of a few symbols with everything that features are made of, each piece computed once and only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting import feature_kernels as kernels
from forecasting.panel import Panel
from forecasting.sessions import calendar_of

FAST, SLOW = 0.94, 0.99  # the decay of the daily variance (RiskMetrics 1996) and a slow companion
VOLUME_DECAY = 0.97
MACRO_MAX_AGE_DAYS = 14  # two weeks, ten sessions: an older value no longer says anything about today,
MACRO_MAX_PAUSES = 1.6  # unless the series comes more seldom: so many times the longest of the three pauses before it
SESSIONS_A_YEAR = 252


class _once:
    """A property computed at its first use. Python 3.11's cached_property would hold one lock for all blocks meanwhile."""

    def __init__(self, make: Callable[[Block], np.ndarray]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __get__(self, block: Block, owner: type) -> np.ndarray:
        value = block.__dict__[self.make.__name__] = self.make(block)
        return value


@dataclass(frozen=True)
class Market:
    """What is common to all symbols of a session: arrays over the T sessions of the panel, NaN where not known."""

    mean_scaled: np.ndarray  # cross-sectional mean of return over scale, float64 [T]
    fast: np.ndarray  # EWMA variance of the cross-sectional mean return, lambda FAST
    slow: np.ndarray  # the same, lambda SLOW
    macro: dict[str, np.ndarray]  # series -> value known at the session's close
    elsewhere: dict[str, Market] = field(
        default_factory=dict
    )  # where exchanges differ: calendar -> the same, known at its closes
    _memo: dict = field(default_factory=dict, repr=False, compare=False)

    def memo(self, key: str, make: Callable[[Market], np.ndarray]) -> np.ndarray:
        """``make(self)`` the first time, the same array afterwards (two threads at once make the same bits twice)."""
        if key not in self._memo:
            self._memo[key] = make(self)
        return self._memo[key]

    def macro_value(self, series: str) -> np.ndarray:
        """The value of ``series`` known at each session's close; NaN where there is none."""
        known = self.macro.get(series)
        return np.full(self.fast.size, np.nan) if known is None else known

    @classmethod
    def of(
        cls, panel: Panel, returns: np.ndarray, scale: np.ndarray, symbols: tuple[str, ...], macro: pd.DataFrame | None
    ) -> Market:
        """Means over ``symbols``, summed in the order of their names so that a bit never depends on who else is there."""
        order = [(name, i) for i, name in enumerate(panel.symbols) if name in frozenset(symbols)]
        size = len(panel.sessions)
        scaled_sum, scaled_count = np.zeros(size), np.zeros(size, dtype=np.int64)
        sum_, count = np.zeros(size), np.zeros(size, dtype=np.int64)
        scaled = returns / scale
        for _, i in sorted(order):
            begin, end = panel.starts[i], panel.starts[i + 1]
            kernels.add_by_session(begin, end, panel.at, scaled, scaled_sum, scaled_count)
            kernels.add_by_session(begin, end, panel.at, returns, sum_, count)
        with np.errstate(invalid="ignore"):
            mean_scaled, mean = scaled_sum / scaled_count, sum_ / count
        whole = np.array([0, size], dtype=np.int64)
        fast, slow = kernels.ewma_square(whole, mean, FAST), kernels.ewma_square(whole, mean, SLOW)
        if macro is None or "calendar" not in macro.columns:
            return cls(mean_scaled, fast, slow, known_macro(macro, panel.sessions))
        known = {str(name): known_macro(rows, panel.sessions) for name, rows in macro.groupby("calendar", sort=True)}
        return cls(mean_scaled, fast, slow, {}, {name: cls(mean_scaled, fast, slow, values) for name, values in known.items()})


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


@dataclass(frozen=True)
class Block:
    """Consecutive rows of whole symbols; features read it and return one float64 [rows].

    ``open`` .. ``close`` and ``volume`` are carried forward: the first row as traded, later rows multiplied (volume:
    divided) by the splits since. A later split or dividend therefore changes no earlier row.
    """

    panel: Panel
    begin: int
    end: int
    starts: np.ndarray  # int64, relative to begin
    returns: np.ndarray  # log total return, float64 [rows]
    variance: np.ndarray  # EWMA variance with decay FAST
    market: Market | None
    _memo: dict = field(default_factory=dict, repr=False, compare=False)

    def memo(self, key: tuple, make) -> np.ndarray:
        """``make()`` the first time, the same array afterwards."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def raw(self, column: str) -> np.ndarray:
        """A column of the panel as traded."""
        return getattr(self.panel, column)[self.begin : self.end]

    @_once
    def at(self) -> np.ndarray:
        return self.raw("at")

    @_once
    def day(self) -> np.ndarray:
        return self.panel.sessions[self.at].astype(np.int64)

    @_once
    def factor(self) -> np.ndarray:
        return kernels.forward_factor(self.starts, self.raw("split"))

    @_once
    def open(self) -> np.ndarray:
        return self.raw("open") * self.factor

    @_once
    def high(self) -> np.ndarray:
        return self.raw("high") * self.factor

    @_once
    def low(self) -> np.ndarray:
        return self.raw("low") * self.factor

    @_once
    def close(self) -> np.ndarray:
        return self.raw("close") * self.factor

    @_once
    def volume(self) -> np.ndarray:
        return self.raw("volume") / self.factor

    @_once
    def scale(self) -> np.ndarray:
        """EWMA volatility of the daily log return, known at the row's close."""
        return np.sqrt(self.variance)

    @_once
    def log_variance(self) -> np.ndarray:
        return kernels.logarithm(self.variance)

    @_once
    def log_index(self) -> np.ndarray:
        """Log of the total-return index, 0 at the first row."""
        return kernels.cumulative(self.starts, self.returns)

    @_once
    def log_range(self) -> np.ndarray:
        """log(high / low); 0 where one of them is not known."""
        return kernels.log_ratio(self.raw("high"), self.raw("low"), 0.0)

    def by_session(self, key: str, make: Callable[[Market], np.ndarray]) -> np.ndarray:
        """An array over the sessions, made once for all blocks under ``key``, at each row's session."""
        if not self.market.elsewhere:
            return self.market.memo(key, make).take(self.at, mode="clip")
        values = np.empty(len(self.at))
        first = int(np.searchsorted(self.panel.starts, self.begin))
        for symbol, a, b in zip(self.panel.symbols[first:], self.starts[:-1], self.starts[1:], strict=False):
            market = self.market.elsewhere.get(calendar_of(symbol), self.market)
            values[a:b] = market.memo(key, make).take(self.at[a:b], mode="clip")
        return values
