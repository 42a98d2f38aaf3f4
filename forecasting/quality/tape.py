"""Closes and actions of many symbols side by side, as the rules about actions look at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_DAY_KEY = 10_000_000
_AROUND = 100  # bars on each side that tell what is usual
_LATE = 15  # days between an ex-date and the first bar from which on nothing can be told
_LEAST_MOVE = 0.004
_WEEK = 5


@dataclass(frozen=True)
class Tape:
    """Rows in (symbol, session) order: ``move`` = log(close / close before), ``step`` = log(adj_ratio / that of the row
    before), both NaN at a symbol's first row; ``acts``: an action takes effect; ``sparse``: the bar before is five days or
    more away; ``split``: product of the splits there, ``cash``: sum of the dividends.
    Actions: ``at`` = the row at which each takes effect, -1 where none or no row before it is there."""

    names: np.ndarray
    code: np.ndarray
    day: np.ndarray
    close: np.ndarray
    ratio: np.ndarray
    move: np.ndarray
    step: np.ndarray
    acts: np.ndarray
    sparse: np.ndarray
    split: np.ndarray
    cash: np.ndarray
    at: np.ndarray
    value: np.ndarray
    is_split: np.ndarray
    starts: np.ndarray  # the first row of each symbol, and the number of rows at the end

    @classmethod
    def of(cls, bars: pd.DataFrame, actions: pd.DataFrame) -> Tape:
        close = bars["close"].to_numpy(dtype=np.float64)
        day = bars["session"].to_numpy().astype("datetime64[D]")
        code, names = pd.factorize(bars["symbol"], sort=True)
        good = np.flatnonzero((code >= 0) & ~np.isnat(day) & np.isfinite(close) & (close > 0.0))
        key = code[good].astype(np.int64) * _DAY_KEY + day[good].astype(np.int64)
        if len(key) > 1 and not (np.diff(key) > 0).all():
            order = np.argsort(key, kind="stable")
            good, key = good[order], key[order]
            last = np.append(np.diff(key) > 0, True)
            good, key = good[last], key[last]
        code, day, close = code[good], day[good], close[good]
        ratio = bars["adj_ratio"].to_numpy(dtype=np.float64)[good] if "adj_ratio" in bars else np.full(len(good), np.nan)
        first = np.append(True, code[1:] != code[:-1])[: len(code)]
        move, step = np.full(len(close), np.nan), np.full(len(close), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            move[1:] = np.log(close[1:] / close[:-1])
            step[1:] = np.log(ratio[1:] / ratio[:-1])
        move[first], step[first] = np.nan, np.nan
        step[~np.isfinite(step)] = np.nan
        sparse = np.zeros(len(close), dtype=bool)
        sparse[1:] = np.diff(day).astype(np.int64) >= _WEEK
        at = _rows_of(actions, names, key, code, day, first)
        value, is_split = actions["value"].to_numpy(dtype=np.float64), (actions["kind"] == "split").to_numpy(dtype=bool)
        split, cash, acts = np.ones(len(close)), np.zeros(len(close)), np.zeros(len(close), dtype=bool)
        np.multiply.at(split, at[(at >= 0) & is_split], value[(at >= 0) & is_split])
        np.add.at(cash, at[(at >= 0) & ~is_split], value[(at >= 0) & ~is_split])
        acts[at[at >= 0]] = True
        starts = np.append(np.flatnonzero(first), len(close))
        return cls(np.asarray(names, dtype=object), code, day, close, ratio, move, step, acts, sparse, split, cash, at, value,
                   is_split, starts)  # fmt: skip

    def span(self, at: int, around: int = _AROUND) -> slice:
        """The rows of the symbol up to ``around`` before and after row ``at``."""
        place = int(np.searchsorted(self.starts, at, side="right"))
        return slice(max(int(self.starts[place - 1]), at - around), min(int(self.starts[place]), at + around + 1))

    def usual_move(self, at: int) -> float:
        """The symbol's daily standard deviation around a row, in logs, without the days of actions and wild ones.

        A price that seldom changes has a median move of 0, so that the spread of the middle 95 % counts too.
        """
        near = self.span(at)
        moves = self.move[near][~self.acts[near]]
        moves = moves[np.isfinite(moves)]
        if len(moves) < 5:
            return 0.03
        low, high = np.quantile(moves, [0.025, 0.975])
        spread = 1.4826 * np.median(np.abs(moves - np.median(moves)))
        return float(max(spread, np.clip(moves, low, high).std(), _LEAST_MOVE))

    def noise(self, at: int) -> float:
        """How far the adjusted closes step around a row where nothing happens, for their decimals; in logs."""
        near = self.span(at)
        steps = np.abs(self.step[near][~self.acts[near]])
        steps = steps[np.isfinite(steps)]
        return float(max(3.0 * np.quantile(steps, 0.9), 2e-5)) if len(steps) else 2e-5

    def share_at(self, at: int) -> float:
        """The dividends of a row as a share of the close before."""
        return float(self.cash[at] * self.split[at] / self.close[at - 1])


def _rows_of(
    actions: pd.DataFrame, names: pd.Index, key: np.ndarray, code: np.ndarray, day: np.ndarray, first: np.ndarray
) -> np.ndarray:
    found = np.full(len(actions), -1, dtype=np.int64)
    if not len(actions) or not len(key):
        return found
    whose = names.get_indexer(actions["symbol"])
    ex = actions["session"].to_numpy().astype("datetime64[D]")
    at = np.searchsorted(key, whose.astype(np.int64) * _DAY_KEY + ex.astype(np.int64))
    usable = (whose >= 0) & (at < len(key))
    usable[usable] = (code[at[usable]] == whose[usable]) & ~first[at[usable]]
    usable[usable] = (day[at[usable]] - ex[usable]).astype(np.int64) <= _LATE
    found[usable] = at[usable]
    return found
