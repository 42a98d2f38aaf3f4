"""The rows of a few symbols with everything that features are made of, each piece computed once and only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from forecasting.features import kernels
from forecasting.features.market_context import FAST, Market
from forecasting.panel import Panel

VOLUME_DECAY = 0.97
SESSIONS_A_YEAR = 252


class _once:
    """A property computed at its first use. Python 3.11's cached_property would hold one lock for all blocks meanwhile."""

    def __init__(self, make: Callable[[Block], np.ndarray]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __get__(self, block: Block, owner: type) -> np.ndarray:
        value = block.__dict__[self.make.__name__] = self.make(block)
        return value


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
    market: Market | None = None
    across: Mapping[str, np.ndarray] = field(default_factory=dict)  # columns of the whole panel, ranked or averaged, [R]
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
        return self.panel.sessions.view(np.int64).take(self.at)

    @_once
    def returns(self) -> np.ndarray:
        """Log total return of the session."""
        if self.market is not None:
            return self.market.returns[self.begin : self.end]
        return kernels.log_returns(self.starts, self.day, self.raw("close"), self.raw("split"), self.raw("dividend"))

    @_once
    def variance(self) -> np.ndarray:
        """EWMA variance of the returns with decay FAST."""
        if self.market is not None:
            return self.market.variance[self.begin : self.end]
        return kernels.ewma_square(self.starts, self.returns, FAST)

    @_once
    def nth(self) -> np.ndarray:
        """Rows of the symbol before each row."""
        return np.arange(len(self.at)) - np.repeat(self.starts[:-1], np.diff(self.starts))

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

    def column(self, name: str) -> np.ndarray:
        """The ``across`` feature ``name`` of the block's own rows."""
        return self.across[name][self.begin : self.end]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the block's rows, in their order."""
        first = int(np.searchsorted(self.panel.starts, self.begin))
        return self.panel.symbols[first : first + len(self.starts) - 1]

    def by_session(self, key: str, make: Callable[[Market], np.ndarray]) -> np.ndarray:
        """An array over the sessions, made once for all blocks under ``key``, at each row's session."""
        if not self.market.elsewhere:
            return self.market.memo(key, make).take(self.at, mode="clip")
        values = np.empty(len(self.at))
        for symbol, a, b in zip(self.symbols, self.starts[:-1], self.starts[1:], strict=True):
            market = self.market.of_symbol(symbol)
            values[a:b] = market.memo(key, make).take(market.place.take(self.at[a:b]))
        return values

    def rank(self, name: str) -> np.ndarray:
        """The place of each row's ``across`` feature ``name`` among the market's symbols at its session, -0.5 lowest to 0.5
        highest; the middle of those that are equal. NaN where the feature is not known."""
        column, ranks = self.across[name], np.empty(len(self.at))
        for symbol, a, b in zip(self.symbols, self.starts[:-1], self.starts[1:], strict=True):
            market = self.market.of_symbol(symbol)
            session = self.at[a:b] if market.place is None else market.place.take(self.at[a:b])
            values, first = market.section(name, column)
            ranks[a:b] = kernels.ranks(column[self.begin + a : self.begin + b], session, values, first)
        return ranks
