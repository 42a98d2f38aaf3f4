"""Are these prices as traded? What a file's columns say about it, and the actions that follow.

- Splits or dividends beside an adjusted close, or prices that jump at the splits: as traded, with the actions of the
  columns. Where prices pass smoothly over splits, the source's split adjustment is undone first.
- Dividends or splits, no adjusted close and no such jump: already adjusted for both (yfinance's default output).
- An adjusted close that differs from the close: as traded, or adjusted for splits by the source (either way the returns
  are right); the actions are derived from the ratio of the two.
- Neither, or the two are equal: already adjusted for both, no actions.

The option ``basis`` overrides this: 'as_traded' never undoes anything, 'split_adjusted' always does, 'adjusted' uses no
action.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting.actions import derive_actions
from sources.base import ACTION_COLUMNS, Basis, typed_frame
from sources.unadjust import PRICES, as_traded, moved_along

BASES = ("auto", "as_traded", "split_adjusted", "adjusted")
_SET_ASIDE = 'set basis = "as_traded" if they are as traded'


@dataclass(frozen=True)
class Settled:
    """The verdict over a file's prices; ``changed`` holds the columns that un-adjusting has replaced."""

    basis: Basis
    actions: pd.DataFrame
    notes: tuple[str, ...] = ()
    changed: dict[str, np.ndarray] = field(default_factory=dict)


def settle(
    names: tuple[str, ...], starts: np.ndarray, session: np.ndarray, numbers: dict[str, np.ndarray], basis: str
) -> Settled:
    """Decide by the table above. Rows are in (symbol, session) order, those of symbol i at starts[i]:starts[i + 1]."""
    none = typed_frame(ACTION_COLUMNS)
    if basis == "adjusted":
        return Settled("adjusted", none, ("prices are taken as already adjusted for splits and dividends, as told",))
    if "split" in numbers or "dividend" in numbers:
        return _from_columns(names, starts, session, numbers, basis)
    if "adj_close" in numbers and _differs(numbers):
        return _from_adjusted_close(names, starts, session, numbers, basis)
    if basis in ("as_traded", "split_adjusted"):
        return Settled("as_traded", none, ("the file names no splits or dividends; prices are used as they are, as told",))
    why = (
        "adjusted close and close are equal"
        if "adj_close" in numbers
        else "there is neither an adjusted close nor a split or dividend"
    )
    return Settled("adjusted", none, (f"{why}: prices are taken as already adjusted for both; {_SET_ASIDE}",))


def _differs(numbers: dict[str, np.ndarray]) -> bool:
    close, adjusted = numbers["close"], numbers["adj_close"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool((np.abs(adjusted / close - 1.0) > 1e-6).any())


def _from_adjusted_close(
    names: tuple[str, ...], starts: np.ndarray, session: np.ndarray, numbers: dict[str, np.ndarray], basis: str
) -> Settled:
    symbol = np.repeat(np.array(names, dtype=object), np.diff(starts))
    frame = pd.DataFrame({"symbol": symbol, "session": session, "close": numbers["close"], "adj_close": numbers["adj_close"]})
    actions = derive_actions(frame)
    if basis == "split_adjusted":
        actions = actions[actions["kind"] == "dividend"].reset_index(drop=True)
    splits = int((actions["kind"] == "split").sum())
    found = f"adjusted close against close gave {splits} splits and {len(actions) - splits} dividends"
    how = (
        "prices are as traded"
        if splits
        else "no split shows, so prices are as traded or the source has adjusted them for splits"
    )
    return Settled("as_traded", actions, (f"{found}; {how}",))


def _from_columns(
    names: tuple[str, ...], starts: np.ndarray, session: np.ndarray, numbers: dict[str, np.ndarray], basis: str
) -> Settled:
    blank = np.zeros(len(session))
    split = np.nan_to_num(numbers.get("split", blank))
    is_split = (split > 0.0) & (split != 1.0)
    dividend = _cash(np.nan_to_num(numbers.get("dividend", blank)), np.nan_to_num(numbers.get("capital_gain", blank)))
    votes = 0
    with_splits = np.unique(np.searchsorted(starts, np.flatnonzero(is_split), side="right") - 1)
    for i in with_splits:
        rows = slice(starts[i], starts[i + 1])
        at = is_split[rows]
        votes += moved_along(numbers["close"][rows], session[rows], session[rows][at], split[rows][at])
    if basis == "auto" and "adj_close" not in numbers and votes <= 0:
        note = "there are actions but no adjusted close: prices are taken as already adjusted for both"
        return Settled("adjusted", typed_frame(ACTION_COLUMNS), (f"{note}; {_SET_ASIDE}",))
    undo = basis == "split_adjusted" or (basis == "auto" and votes < 0)
    changed = {c: numbers[c].copy() for c in (*PRICES, "volume")} if undo and is_split.any() else {}
    paid = dividend.copy()
    for i in with_splits if changed else ():
        rows = slice(starts[i], starts[i + 1])
        splits = pd.DataFrame({"session": session[rows][is_split[rows]], "value": split[rows][is_split[rows]]})
        bars = pd.DataFrame({"session": session[rows]} | {c: numbers[c][rows] for c in changed})
        bars, cash = as_traded(bars, pd.DataFrame({"session": session[rows], "value": dividend[rows]}), splits)
        paid[rows] = cash["value"].to_numpy()
        for c in changed:
            changed[c][rows] = bars[c].to_numpy()
    symbol = np.repeat(np.array(names, dtype=object), np.diff(starts))
    parts = [
        pd.DataFrame({"symbol": symbol[at], "session": session[at], "kind": kind, "value": values[at]})
        for kind, at, values in (("split", is_split, split), ("dividend", paid > 0.0, paid))
    ]
    frame = typed_frame(ACTION_COLUMNS, pd.concat(parts)).sort_values(
        ["symbol", "session", "kind"], kind="stable", ignore_index=True
    )
    how = "the source's adjustment for splits was undone" if changed else "prices are as traded"
    count = int(is_split.sum())
    return Settled("as_traded", frame, (f"the file names {count} splits and {len(frame) - count} dividends; {how}",), changed)


def _cash(dividend: np.ndarray, capital_gain: np.ndarray) -> np.ndarray:
    """What a fund paid out. Yahoo counts capital gains inside the dividend for some funds and beside it for others: a
    dividend smaller than the gain cannot contain it."""
    return np.where(dividend >= capital_gain, dividend, dividend + capital_gain)
