"""The one protocol behind which every source of prices stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from forecasting.errors import NoSession, SourceError, UnknownSymbol

BAR_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume")
ACTION_COLUMNS = ("symbol", "session", "kind", "value")
REJECT_COLUMNS = ("symbol", "session", "row", "reason", "message", "row_json")
Basis = Literal["as_traded", "adjusted"]

_TYPES = {
    "symbol": "str",
    "session": "datetime64[us]",
    "kind": "str",
    "row": "int64",
    "reason": "str",
    "message": "str",
    "row_json": "str",
}


def typed_frame(columns: Sequence[str], rows: object = None) -> pd.DataFrame:
    """A frame of these columns in their agreed types (numbers float64); without ``rows`` an empty one."""
    frame = pd.DataFrame(rows, columns=list(columns)) if rows is not None else pd.DataFrame(columns=list(columns))
    return frame.astype({c: _TYPES.get(c, "float64") for c in columns})


def no_rejects() -> pd.DataFrame:
    return typed_frame(REJECT_COLUMNS)


@dataclass(frozen=True)
class Cost:
    """What asking a source costs: requests a symbol, the least seconds between two requests, and the most requests in any
    24 hours (None: no limit is known)."""

    requests_per_symbol: float = 0.0
    seconds_between: float = 0.0
    per_day: int | None = None


@dataclass(frozen=True)
class Fetched:
    """What a source answered for some symbols.

    ``bars``: BAR_COLUMNS; session is datetime64[us] without a time zone (the exchange's trading date), prices float64 in
    the symbol's currency, volume float64 in shares. ``actions``: ACTION_COLUMNS; kind is 'split' (value: new shares per
    old share) or 'dividend' (value: cash per share as paid then), session is the ex-date.
    ``basis`` says whether bars are as traded or came already adjusted (then ``actions`` is empty).
    ``failures`` holds, for each symbol without an answer, why. ``notes`` are sentences for the person who asked.
    ``rejects``: REJECT_COLUMNS; what the source delivered and could not be read as written: ``row`` is the line of the
    file (-1 where there is none), ``reason`` a stable code, ``row_json`` the row as delivered. Every delivered row is
    either in ``bars`` or here, so that what came in can be accounted for.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    basis: Basis = "as_traded"
    failures: Mapping[str, SourceError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    currency: Mapping[str, str] = field(default_factory=dict)
    rejects: pd.DataFrame = field(default_factory=no_rejects)


class Source(Protocol):
    """A source of daily prices. ``name`` is what settings, tables and messages call it.

    ``tells_actions``, where a source has it, says whether it knows of splits and dividends.

    A source that asks over the network also has ``cost`` (a Cost) and ``meter`` (a sources.meter.Meter that counts its
    requests and keeps them within the budget; the run puts one there that remembers earlier runs).
    """

    name: str

    def symbols(self) -> tuple[str, ...] | None:
        """The symbols it holds, sorted, or None where only asking tells (Yahoo)."""

    def fetch(self, symbols: Sequence[str], start: date | None, end: date | None) -> Fetched:
        """Bars and actions of ``symbols`` with start <= session <= end (None: all there is).

        One failing symbol is an entry in ``failures``, never an exception; an exception (SourceError, PricesFileError)
        means that nothing could be had.
        """

    def identity(self) -> str:
        """What the prices come from, for lineage: the same text means the same answers, except for a live source."""


def within(frame: pd.DataFrame, symbols: Sequence[str], start: date | None, end: date | None) -> pd.DataFrame:
    """The rows of ``symbols`` with start <= session <= end, in (symbol, session) order."""
    keep = frame["symbol"].isin(list(symbols)).to_numpy(dtype=bool) & in_span(frame["session"].to_numpy(), start, end)
    return frame[keep].sort_values(["symbol", "session"], kind="stable", ignore_index=True)


def in_span(session: np.ndarray, start: date | None, end: date | None) -> np.ndarray:
    """Whether start <= session <= end, bool; a session that is missing (NaT) counts as inside."""
    inside = np.ones(len(session), dtype=bool)
    if start is not None:
        inside &= ~(session < np.datetime64(start, "us"))
    if end is not None:
        inside &= ~(session > np.datetime64(end, "us"))
    return inside


def missing_symbols(
    source: str, wanted: Sequence[str], held: Sequence[str], answered: Sequence[str], start: date | None, end: date | None
) -> dict[str, SourceError]:
    """Why each wanted symbol has no bars: the source does not hold it, or not in the span."""
    known, got = set(held), set(answered)
    failures: dict[str, SourceError] = {}
    for symbol in wanted:
        if symbol not in known:
            holds = ", ".join(sorted(held)[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
            failures[symbol] = UnknownSymbol(source, symbol, "no such symbol there", f"it holds {holds or 'none'}")
        elif symbol not in got:
            failures[symbol] = NoSession(source, symbol, f"no session from {start or 'the first'} to {end or 'the last'}")
    return failures
