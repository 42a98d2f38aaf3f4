"""What a web source delivered for its symbols, row by row, put into the form that every source answers in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from forecasting.errors import Malformed, NextcloseError, NoBars, NoSession, Partial, SourceError
from sources import spelling, tables
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, REJECT_COLUMNS, Basis, Fetched, in_span, missing_symbols, typed_frame
from sources.cells import read_columns
from sources.raw_table import RawTable

_PRICES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Delivered:
    """One symbol's rows: ``bars`` (BAR_COLUMNS and adj_ratio), ``actions``, ``rejects``, in the order of ``Fetched``."""

    bars: pd.DataFrame
    actions: pd.DataFrame
    rejects: pd.DataFrame
    currency: str | None = None

    @property
    def rows(self) -> int:
        return len(self.bars) + len(self.rejects)


def table_of(source: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> RawTable:
    """Rows of JSON as a raw table, every cell as the text that was delivered; a row too short or too long is a broken line."""
    width = len(names)
    whole = [(n, row) for n, row in enumerate(rows, start=1) if isinstance(row, (list, tuple)) and len(row) == width]
    broken = []
    if len(whole) < len(rows):
        good = {n for n, _ in whole}
        for n, row in enumerate(rows, start=1):
            if n not in good:
                broken.append((n, "wrong_width", f"is no row of {width} cells", str(row)[:500]))
    columns = {
        name: pa.array([None if row[i] is None else str(row[i]) for _, row in whole], pa.string())
        for i, name in enumerate(names)
    }
    return RawTable(Path(source), columns, np.array([n for n, _ in whole], dtype=np.int64), broken)


def csv_of(source: str, symbol: str, content: bytes) -> RawTable:
    """The body of a CSV answer as a raw table; Malformed where it is none."""
    try:
        return tables.read_table_bytes(Path(f"{source}.csv"), content)
    except NextcloseError as error:
        raise Malformed(source, symbol, f"an answer that is no table of prices ({error})") from error


def read_delivered(source: str, symbol: str, raw: RawTable, currency: str | None = None) -> Delivered:
    """Bars, actions and rejects of one symbol, ascending. Malformed where a column is missing or no date can be read.

    A column of dividends or splits gives actions (a split of 1.0 is none); an adjusted close gives ``adj_ratio``.
    """
    try:
        found = spelling.recognise(list(raw.columns), {})
        missing = [w for w in spelling.NEEDED if w not in found]
        if missing:
            has = ", ".join(list(raw.columns)[:8]) or "nothing"
            raise ValueError(f"there is no {missing[0]} among {has}")
        found.pop("symbol", None)  # the source may write it in its own way
        read = read_columns(raw, found, symbol, ".", "mdy", lambda _: _zone_of(symbol))
    except (ValueError, NextcloseError) as error:
        raise Malformed(source, symbol, f"an answer that is no table of prices ({error})") from error
    session = read.session.astype("datetime64[us]")
    order = np.argsort(session, kind="stable")
    session, numbers = session[order], {w: v[order] for w, v in read.numbers.items()}
    nothing = np.full(len(session), np.nan)
    close = numbers.get("close", nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(close > 0, numbers.get("adj_close", nothing) / close, np.nan)
    bars = {"symbol": [symbol] * len(session), "session": session} | {w: numbers.get(w, nothing) for w in _PRICES}
    rejects = [(symbol, *rest) for _, *rest in read.rejects]
    return Delivered(
        typed_frame((*BAR_COLUMNS, "adj_ratio"), bars | {"adj_ratio": ratio}),
        _actions(symbol, session, numbers),
        typed_frame(REJECT_COLUMNS, rejects or None),
        currency,
    )


def _actions(symbol: str, session: np.ndarray, numbers: Mapping[str, np.ndarray]) -> pd.DataFrame:
    parts = []
    for kind, value in (("split", numbers.get("split")), ("dividend", numbers.get("dividend"))):
        if value is not None:
            there = value > 0.0
            if kind == "split":
                there &= value != 1.0
            parts.append(pd.DataFrame({"symbol": symbol, "session": session[there], "kind": kind, "value": value[there]}))
    frame = typed_frame(ACTION_COLUMNS, pd.concat(parts) if parts else None)
    return frame.sort_values(["session", "kind"], kind="stable", ignore_index=True)


def check_symbol(source: str, symbol: str, theirs: str, named: object) -> None:
    """Malformed where an answer names another symbol than the one asked for; a name left out, or spelled BRK.B, is fine."""
    if named and spelling.plain(named) != spelling.plain(theirs):
        raise Malformed(source, symbol, f"asked for {theirs}, it answered about {str(named)[:20]!r}", "try again later")


def _zone_of(symbol: str):
    from forecasting.sessions import calendar_of, timezone_of

    return timezone_of(calendar_of(symbol))


def without_rows(source: str, symbol: str, start: date | None, end: date | None) -> SourceError:
    """For an answer in good form that holds no row. Ten days hold a session on every exchange, fewer may be holidays."""
    if start is None or end is None or (end - start).days >= 10:
        return NoBars(source, symbol, "an answer without a single bar", "try again later")
    return NoSession(source, symbol, f"no session from {start} to {end}")


def fetched(
    source: str,
    wanted: Sequence[str],
    answers: Mapping[str, Delivered],
    failures: Mapping[str, SourceError],
    start: date | None,
    end: date | None,
    basis: Basis,
    notes: Sequence[str] = (),
) -> Fetched:
    """All symbols' rows of the span in (symbol, session) order; every wanted symbol has bars or a failure."""

    def joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
        frames = [f[in_span(f["session"].to_numpy(), start, end)] for f in frames]
        frames = [f for f in frames if len(f)]
        if not frames:
            return typed_frame(columns)
        by = ["symbol", "session", "kind"] if "kind" in columns else ["symbol", "session"]
        return typed_frame(columns, pd.concat(frames)).sort_values(by, kind="stable", ignore_index=True)

    bars = joined([a.bars for a in answers.values()], (*BAR_COLUMNS, "adj_ratio"))
    rejects = joined([a.rejects for a in answers.values()], REJECT_COLUMNS)
    asked = tuple(answers)
    failures = dict(failures) | missing_symbols(source, asked, asked, tuple(bars["symbol"].unique()), start, end)
    for symbol, rows in rejects[~rejects["symbol"].isin(bars["symbol"])].groupby("symbol"):
        first = rows.iloc[0]["message"]
        failures[symbol] = Partial(source, symbol, f"none of its {len(rows)} rows could be read; the first: {first}")
    return Fetched(
        bars,
        joined([a.actions for a in answers.values()], ACTION_COLUMNS),
        basis,
        {s: failures[s] for s in wanted if s in failures},
        tuple(notes),
        {s: a.currency for s, a in answers.items() if a.currency and s not in failures},
        rejects,
    )
