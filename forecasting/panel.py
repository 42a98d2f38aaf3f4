"""Prices as the models see them: one flat block of rows in (symbol, session) order.

Prices stay **as traded**; splits and dividends are separate columns that take effect on their own session. Everything
downstream works with returns and ratios built from them, so an action that happens later cannot change an earlier row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

ROW_COLUMNS = ("at", "ordinal", "open", "high", "low", "close", "volume", "split", "dividend")


@dataclass(frozen=True)
class Panel:
    """Clean bars of S symbols, R rows in all, in (symbol, session) order.

    ``starts`` has S + 1 entries: the rows of symbol ``i`` are ``starts[i]:starts[i + 1]``, oldest first.
    ``at`` gives for each row the position of its session in ``sessions`` (the T sessions of all calendars, ascending),
    ``ordinal`` its number on the calendar of the symbol's own exchange: "five sessions later" is counted there.
    Prices are float64 in the symbol's currency, volume in shares; ``split`` is new shares per old share effective at the
    row's open (1.0: none), ``dividend`` the cash per share that goes ex at the row's open (0.0: none).
    """

    symbols: tuple[str, ...]
    starts: np.ndarray  # int64 [S + 1]
    sessions: np.ndarray  # datetime64[D] [T]
    at: np.ndarray  # int32 [R]
    ordinal: np.ndarray  # int32 [R]
    open: np.ndarray  # float64 [R]
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    split: np.ndarray
    dividend: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    @property
    def session(self) -> np.ndarray:
        """The session of each row, datetime64[D] [R]."""
        return self.sessions[self.at]

    @property
    def symbol_index(self) -> np.ndarray:
        """The position of each row's symbol in ``symbols``, int32 [R]."""
        return np.repeat(np.arange(len(self.symbols), dtype=np.int32), np.diff(self.starts))

    @classmethod
    def from_frames(
        cls,
        bars: pd.DataFrame,
        actions: pd.DataFrame | None = None,
        sessions: np.ndarray | Mapping[str, np.ndarray] | None = None,
    ) -> Panel:
        """Build from clean bars (symbol, session, open, high, low, close, volume) and actions (symbol, session, kind, value).

        ``sessions``: the calendar's sessions that the rows are placed in, for all symbols or for each its own; by default
        those that occur in ``bars``. An action whose ex-date has no bar takes effect at the symbol's next bar. Row order
        does not matter. Raises ValueError for a duplicate (symbol, session) or a bar outside the symbol's sessions.
        """
        if not _in_order(bars):
            bars = bars.sort_values(["symbol", "session"], kind="stable")
        day = bars["session"].to_numpy().astype("datetime64[D]")
        name = bars["symbol"].to_numpy(dtype=object)
        first = np.ones(len(name), dtype=bool)
        first[1:] = name[1:] != name[:-1]
        starts = np.append(np.flatnonzero(first), len(name)).astype(np.int64)
        symbols = tuple(name[starts[:-1]])
        own = (
            sessions
            if isinstance(sessions, Mapping)
            else dict.fromkeys(symbols, np.unique(day) if sessions is None else sessions)
        )
        own = {symbol: np.asarray(own[symbol], dtype="datetime64[D]") for symbol in symbols}
        different = list({id(days): days for days in own.values()}.values())  # symbols of one exchange share one array
        merged = different[0] if len(different) == 1 else np.unique(np.concatenate([day[:0], *different]))
        at, ordinal = _place(day, merged), np.empty(len(day), dtype=np.int32)
        for symbol, a, b in zip(symbols, starts[:-1], starts[1:], strict=True):
            ordinal[a:b] = _place(day[a:b], own[symbol])
        if (~first[1:] & (at[1:] == at[:-1])).any():
            raise ValueError("two bars for one symbol and session")
        columns = {
            c: np.ascontiguousarray(bars[c].to_numpy(dtype=np.float64)) for c in ("open", "high", "low", "close", "volume")
        }
        panel = cls(symbols, starts, merged, at, ordinal, **columns, split=np.ones(len(name)), dividend=np.zeros(len(name)))
        return panel if actions is None or actions.empty else panel._with_actions(actions)

    def _with_actions(self, actions: pd.DataFrame) -> Panel:
        split, dividend = self.split.copy(), self.dividend.copy()
        position = {symbol: i for i, symbol in enumerate(self.symbols)}
        ordered = actions.sort_values(["symbol", "session", "kind"], kind="stable")
        for symbol, day, kind, value in zip(
            ordered["symbol"],
            ordered["session"].to_numpy().astype("datetime64[D]"),
            ordered["kind"],
            ordered["value"],
            strict=True,
        ):
            i = position.get(symbol)
            if i is None:
                continue
            a, b = self.starts[i], self.starts[i + 1]
            row = a + np.searchsorted(self.session_of(i), day)
            if row >= b or row == a:  # after the last bar, or before the first: no return spans it
                continue
            if kind == "split":
                split[row] *= value
            else:
                dividend[row] += value
        return replace(self, split=split, dividend=dividend)

    def session_of(self, i: int) -> np.ndarray:
        """The sessions of symbol ``i``, datetime64[D]."""
        return self.sessions[self.at[self.starts[i] : self.starts[i + 1]]]

    def cumsum(self, values: np.ndarray) -> np.ndarray:
        """Running sum of ``values`` (float64 [R]) that starts anew at each symbol, NaN counted as 0.

        One sum a symbol, not differences of one long sum: a symbol's numbers must not depend on its neighbours' bits.
        """
        result = np.nan_to_num(values, nan=0.0)
        for a, b in zip(self.starts[:-1], self.starts[1:], strict=True):
            np.cumsum(result[a:b], out=result[a:b])
        return result

    def take_rows(self, keep: np.ndarray) -> Panel:
        """The panel of the rows where ``keep`` (bool [R]) is true; symbols left without rows disappear."""
        index = self.symbol_index[keep]
        kept = np.unique(index)
        counts = np.bincount(np.searchsorted(kept, index), minlength=len(kept))
        arrays = {c: getattr(self, c)[keep] for c in ROW_COLUMNS}
        return Panel(
            tuple(self.symbols[i] for i in kept), np.append(0, np.cumsum(counts)).astype(np.int64), self.sessions, **arrays
        )

    def until(self, origin: object) -> Panel:
        """Only what had happened by the close of ``origin``: the rows and the sessions up to and including it."""
        origin = np.datetime64(str(origin)[:10], "D")
        cut = self.take_rows(self.session <= origin)
        return replace(cut, sessions=self.sessions[self.sessions <= origin])

    def only(self, symbols: tuple[str, ...]) -> Panel:
        """The panel of these symbols; the sessions stay."""
        wanted = np.isin(np.array(self.symbols, dtype=object), np.array(symbols, dtype=object))
        return self.take_rows(wanted[self.symbol_index])


def _place(day: np.ndarray, sessions: np.ndarray) -> np.ndarray:
    """The position of each day in ``sessions``, int32; ValueError where it is none of them."""
    at = np.searchsorted(sessions, day).astype(np.int32)
    if len(day) and ((at >= len(sessions)).any() or (sessions[np.minimum(at, len(sessions) - 1)] != day).any()):
        raise ValueError("a bar lies on a day that is not one of the sessions")
    return at


def _in_order(bars: pd.DataFrame) -> bool:
    """Whether the bars come in (symbol, session) order, as the store gives them: sorting text is the slow part."""
    symbol, day = bars["symbol"].to_numpy(dtype=object), bars["session"].to_numpy()
    same = symbol[1:] == symbol[:-1]
    return bool(((day[1:] >= day[:-1]) | ~same).all() and (symbol[1:][~same] > symbol[:-1][~same]).all())
