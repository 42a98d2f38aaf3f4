"""Cleaning: which bars are fit to be stored, and why each of the others is set aside. Nothing is repaired by guessing.

Every row that comes in is stored, set aside with one reason, or merged into its identical twin; the counts always add up.
Reason codes are stable: they are stored in the quarantine, counted in reports and explained in the documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting import series_rules
from forecasting.schemas import PRICES, broken_rules

BAR_COLUMNS = ("symbol", "session", *PRICES, "volume")
QUARANTINE_COLUMNS = ("symbol", "session", "reason", "severity", "message", "row_json")

# code: (severity, what is wrong). The order is the order of importance: a row that breaks several rules is set aside
# under the first. 'reject' sets aside all rows of the symbol in this batch, 'quarantine' the row; 'warn' keeps the row.
REASONS: dict[str, tuple[str, str]] = {
    "malformed": ("reject", "the column types are not those of bars"),
    "bad_symbol": ("quarantine", "the symbol is not one that an exchange would write"),
    "bad_session": ("quarantine", "the session is not a date"),
    "shifted_sessions": ("reject", "the dates fit the exchange's sessions only when moved by a day, or not at all"),
    "unit_changed": ("reject", "all prices are a hundred or a thousand times what is stored"),
    "future_session": ("quarantine", "the session lies in the future"),
    "not_final": ("quarantine", "the session was not over, its bar can still change"),
    "not_a_session": ("quarantine", "the exchange was closed on that date"),
    "not_a_number": ("quarantine", "a price or the volume is text that is not a number"),
    "nan_close": ("quarantine", "the close is not known"),
    "non_finite": ("quarantine", "a price or the volume is infinite"),
    "non_positive_price": ("quarantine", "a price is zero or negative"),
    "implausible_price": ("quarantine", "a price is above a billion or below a millionth"),
    "negative_volume": ("quarantine", "the volume is negative"),
    "high_below_low": ("quarantine", "the high is below the low"),
    "outside_range": ("quarantine", "the open or the close lies outside low..high"),
    "duplicate_conflict": ("quarantine", "two different bars for one symbol and session; neither can be preferred"),
    "unit_jump": ("quarantine", "prices jump a hundred- or a thousandfold and back, as from a change of unit"),
    "duplicate_identical": ("warn", "the same bar came more than once; one was kept"),
    "open_unknown": ("warn", "the open is 0 or missing; stored as not known"),
    "range_unknown": ("warn", "the high or the low is missing"),
    "volume_unknown": ("warn", "the volume is missing"),
    "stale": ("warn", "ten or more identical bars in a row without volume"),
    "zero_volume_move": ("warn", "the close moved on a day without volume"),
    "large_move": ("warn", "the close moved by more than half, on high volume"),
    "large_move_unconfirmed": ("warn", "the close moved by more than half, without a volume to match"),
    "level_shift": ("warn", "prices stay at a hundred- or a thousandfold from a session on"),
}


@dataclass(frozen=True)
class Warned:
    """Rows of a symbol that were kept although something about them is odd; ``session`` is the first of them."""

    symbol: str
    session: pd.Timestamp
    reason: str
    rows: int

    def __str__(self) -> str:
        more = f" and {self.rows - 1} more" if self.rows > 1 else ""
        return f"{self.symbol} {self.session:%Y-%m-%d}{more}: {REASONS[self.reason][1]} ({self.reason})"


@dataclass(frozen=True)
class Cleaned:
    """``bars``: fit to be stored, BAR_COLUMNS in (symbol, session) order. ``quarantine``: QUARANTINE_COLUMNS, one row a row
    set aside. ``merged``: identical twins left out. ``received`` = len(bars) + len(quarantine) + merged."""

    bars: pd.DataFrame
    quarantine: pd.DataFrame
    warnings: tuple[Warned, ...]
    merged: int
    received: int


def clean_bars(
    bars: pd.DataFrame,
    calendar_sessions: np.ndarray | Mapping[str, np.ndarray] | None,
    today_limit: date,
    actions: pd.DataFrame | None = None,
    stored: Mapping[str, float] | None = None,
) -> Cleaned:
    """Split ``bars`` (BAR_COLUMNS, as a source delivers them, any order) into what can be stored and what cannot.

    ``calendar_sessions``: the exchange's sessions over the whole span of the bars (datetime64, ascending), for all symbols
    or by symbol; None, or a symbol not among them: dates are not judged. ``today_limit``: the last session that is final;
    later bars are set aside. ``actions`` (symbol, session, kind, value): a jump that a split explains is none.
    ``stored``: each symbol's last stored close before these bars; a batch that begins at a hundred times that is rejected.
    Raises KeyError naming the columns where one of BAR_COLUMNS is missing.
    """
    missing = [column for column in BAR_COLUMNS if column not in bars.columns]
    if missing:
        raise KeyError(f"bars without {', '.join(missing)}; expected {', '.join(BAR_COLUMNS)}")
    frame, unreadable = _coerced(bars)
    verdict = _Verdict(len(frame))
    verdict.set("not_a_number", unreadable)
    for code, rows in broken_rules(frame).items():
        verdict.set(code, rows)
    code_of, names = pd.factorize(frame["symbol"], sort=True)
    day = frame["session"].to_numpy().astype("datetime64[D]")
    _judge_dates(verdict, code_of, names, day, calendar_sessions, np.datetime64(today_limit, "D"))
    order = _order(code_of, day, verdict.good)
    order, merged = _judge_duplicates(verdict, frame, code_of, day, order)
    rows = series_rules.Rows.of(frame, order, code_of, day, _split_rows(actions, code_of, names, day, order))
    _judge_series(verdict, rows, order, names, stored)
    keep = order[verdict.good[order]]
    kept = frame.iloc[keep].reset_index(drop=True)
    kept["open"] = kept["open"].where(kept["open"] > 0.0)
    warned = _warnings(rows, verdict.good[order], frame, order, merged)
    return Cleaned(kept, _set_aside(bars, frame, verdict), warned, len(merged), len(frame))


class _Verdict:
    """For each row the first reason against it, by the order of REASONS."""

    codes = tuple(REASONS)

    def __init__(self, rows: int) -> None:
        self.rank = np.full(rows, len(self.codes), dtype=np.int16)
        self.merged = np.zeros(rows, dtype=bool)
        self.also: dict[int, set[str]] = {}

    @property
    def good(self) -> np.ndarray:
        return (self.rank == len(self.codes)) & ~self.merged

    def set(self, code: str, rows: np.ndarray) -> None:
        """``rows``: positions or a mask of the rows that ``code`` speaks against."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        for row in rows[self.rank[rows] < len(self.codes)]:
            self.also.setdefault(int(row), {self.codes[self.rank[row]]}).add(code)
        self.rank[rows] = np.minimum(self.rank[rows], self.codes.index(code))


def _coerced(bars: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The bars in the types of RawBars, and which rows held text that is not a number."""
    frame = pd.DataFrame(index=pd.RangeIndex(len(bars)))
    frame["symbol"] = pd.Series(bars["symbol"].to_numpy(), dtype="str")
    frame["session"] = _dates(bars["session"].reset_index(drop=True))
    unreadable = np.zeros(len(bars), dtype=bool)
    for column in (*PRICES, "volume"):
        given = bars[column].reset_index(drop=True)
        number = pd.to_numeric(given, errors="coerce").astype(np.float64)
        if not pd.api.types.is_numeric_dtype(given):
            unreadable |= (number.isna() & given.notna()).to_numpy()
        frame[column] = number
    return frame, unreadable


def _dates(session: pd.Series) -> pd.Series:
    """Trading dates, datetime64[us], from timestamps, dates or ISO text; NaT where it is none of these.

    With a time zone the date is the one on the exchange's own clock, as written, never the one in UTC.
    """
    if not pd.api.types.is_datetime64_dtype(session):
        code, distinct = pd.factorize(session)
        text = pd.Series([str(value)[:10] for value in distinct], dtype="str")
        parsed = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").to_numpy()
        session = pd.Series(np.append(parsed, np.datetime64("NaT"))[code])  # an unknown one has code -1
    return session.astype("datetime64[us]").dt.normalize()


def _judge_dates(
    verdict: _Verdict, code_of: np.ndarray, names: pd.Index, day: np.ndarray, sessions: object, limit: np.datetime64
) -> None:
    late, running = day > limit, np.zeros(len(day), dtype=bool)
    if sessions is None:
        running = day == np.busday_offset(limit, 1, roll="backward")
    groups = []
    if isinstance(sessions, Mapping):
        # Symbols of one exchange share their array; asking once for each symbol would take a minute for a panel of 300.
        calendars = {id(sessions[name]): sessions[name] for name in names if name in sessions}
        whose = np.array([id(sessions[name]) if name in sessions else 0 for name in names] + [0])
        groups = [(whose[code_of] == key, known) for key, known in calendars.items()]
    elif sessions is not None:
        groups = [(np.ones(len(day), dtype=bool), sessions)]
    for member, known in groups:
        known = np.asarray(known).astype("datetime64[D]")
        running |= member & np.isin(day, known[np.searchsorted(known, limit, side="right") :][:1])
        closed = member & ~late & ~np.isnat(day) & ~np.isin(day, known)
        verdict.set("not_a_session", closed)
        if closed.any():
            _judge_shift(verdict, code_of, day, known, member & ~late, closed)
    verdict.set("not_final", late & running)
    verdict.set("future_session", late & ~running)


def _judge_shift(
    verdict: _Verdict, code_of: np.ndarray, day: np.ndarray, known: np.ndarray, judged: np.ndarray, closed: np.ndarray
) -> None:
    """Reject a symbol most of whose dates are no sessions, or would nearly all be if moved by one day.

    The second catches midnights of another time zone: of Monday to Friday moved to Sunday to Thursday only a fifth is wrong.
    """
    size = int(code_of.max()) + 1
    valid = judged & (code_of >= 0)
    count = np.bincount(code_of[valid], minlength=size)
    wrong = np.bincount(code_of[closed & (code_of >= 0)], minlength=size)
    for i in np.flatnonzero((count >= 5) & (wrong > 0.1 * count)):
        own = day[judged & (code_of == i)]
        moved = min(_share_closed(own + step, known) for step in (-1, 1))
        if wrong[i] > 0.5 * count[i] or moved < 0.02:
            verdict.set("shifted_sessions", code_of == i)


def _share_closed(day: np.ndarray, known: np.ndarray) -> float:
    """The share of days that are no sessions, of those between the first and the last session."""
    inside = day[(day >= known[0]) & (day <= known[-1])] if len(known) else day[:0]
    return float(np.mean(~np.isin(inside, known))) if len(inside) else 1.0


def _order(code_of: np.ndarray, day: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Positions of the good rows in (symbol, session) order; rows of one day keep the order in which they came."""
    rows = np.flatnonzero(good)
    key = code_of[rows].astype(np.int64) * 10_000_000 + day[rows].astype(np.int64)
    return rows if len(rows) < 2 or (np.diff(key) >= 0).all() else rows[np.argsort(key, kind="stable")]


def _judge_duplicates(
    verdict: _Verdict, frame: pd.DataFrame, code_of: np.ndarray, day: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Good rows without duplicates in order, and the rows that were merged into an identical one before them."""
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (code_of[order[1:]] == code_of[order[:-1]]) & (day[order[1:]] == day[order[:-1]])
    if not same.any():
        return order, np.empty(0, dtype=np.int64)
    group = np.cumsum(~same)
    size = np.bincount(group)
    in_group = size[group] > 1
    values = frame.loc[order[in_group], [*PRICES, "volume"]].to_numpy()
    first = np.searchsorted(group[in_group], group[in_group])  # the first row of each row's group
    differs = ~((values == values[first]) | (np.isnan(values) & np.isnan(values[first]))).all(axis=1)
    conflicting = np.isin(group[in_group], group[in_group][differs])
    verdict.set("duplicate_conflict", order[in_group][conflicting])
    merged = order[in_group][~conflicting & (first != np.arange(len(first)))]
    verdict.merged[merged] = True
    return order[verdict.good[order]], merged


def _split_rows(
    actions: pd.DataFrame | None, code_of: np.ndarray, names: pd.Index, day: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Which of the ordered rows are the first on or after a split of their symbol, bool."""
    found = np.zeros(len(order), dtype=bool)
    if actions is None or not len(actions):
        return found
    key = code_of[order].astype(np.int64) * 10_000_000 + day[order].astype(np.int64)
    splits = actions[actions["kind"] == "split"]
    code = names.get_indexer(splits["symbol"])
    ex_date = splits["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
    at = np.searchsorted(key, code.astype(np.int64) * 10_000_000 + ex_date)
    inside = (code >= 0) & (at < len(order))
    at, code = at[inside], code[inside]
    found[at[code_of[order[at]] == code]] = True
    return found


def _judge_series(
    verdict: _Verdict, rows: series_rules.Rows, order: np.ndarray, names: pd.Index, stored: Mapping[str, float] | None
) -> None:
    verdict.set("unit_jump", order[series_rules.unit_jump(rows)[0]])
    for i, name in enumerate(names):
        if stored and name in stored:
            own = slice(*np.searchsorted(rows.code, [i, i + 1]))
            if rows.close[own].size and series_rules.is_unit(np.median(rows.close[own][:5]) / stored[name], 2.0):
                verdict.set("unit_changed", order[own])


def _warnings(
    rows: series_rules.Rows, good: np.ndarray, frame: pd.DataFrame, order: np.ndarray, merged: np.ndarray
) -> tuple[Warned, ...]:
    found = {code: order[mask & good] for code, mask in series_rules.warnings(rows).items()}
    found["duplicate_identical"] = merged
    warned = []
    for code, at in found.items():
        if len(at):
            table = pd.DataFrame({"symbol": frame["symbol"].to_numpy()[at], "session": frame["session"].to_numpy()[at]})
            for symbol, session in table.groupby("symbol", sort=True)["session"]:
                warned.append(Warned(str(symbol), session.min(), code, len(session)))
    rank = {code: i for i, code in enumerate(REASONS)}
    return tuple(sorted(warned, key=lambda w: (w.symbol, rank[w.reason])))


def _set_aside(given: pd.DataFrame, frame: pd.DataFrame, verdict: _Verdict) -> pd.DataFrame:
    rows = np.flatnonzero(~verdict.good & ~verdict.merged)
    reason = [verdict.codes[r] for r in verdict.rank[rows]]
    records = given.iloc[rows][[c for c in given.columns if c in BAR_COLUMNS]].astype(object)
    text = [json.dumps({k: _plain(v) for k, v in record.items()}, allow_nan=False) for record in records.to_dict("records")]
    message = []
    for row, code in zip(rows, reason, strict=True):
        others = sorted(verdict.also.get(int(row), set()) - {code})
        message.append(REASONS[code][1] + (f" (also {', '.join(others)})" if others else ""))
    out = frame.iloc[rows][["symbol", "session"]].reset_index(drop=True)
    out["reason"], out["severity"] = reason, [REASONS[code][0] for code in reason]
    out["message"], out["row_json"] = message, text
    for column in ("reason", "severity", "message", "row_json"):
        out[column] = out[column].astype("str")
    return out.sort_values(["symbol", "session", "reason", "row_json"], kind="stable").reset_index(drop=True)


def _plain(value: object) -> object:
    """A cell as JSON can hold it: NaN as null, infinity as text."""
    if isinstance(value, (pd.Timestamp, date, np.datetime64)):
        return str(value)[:10]
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(value) if np.isfinite(value) else str(float(value))
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
