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

from forecasting.quality import date_rules, row_rules, series_rules, split_rules
from forecasting.quality.thresholds import QualityThresholds
from forecasting.reasons import QUARANTINE_COLUMNS, REASONS, Warned, in_order, warned_of
from forecasting.schemas import PRICES
from forecasting.sessions import calendar_of

__all__ = ["BAR_COLUMNS", "QUARANTINE_COLUMNS", "REASONS", "Cleaned", "Warned", "clean_bars"]

BAR_COLUMNS = ("symbol", "session", *PRICES, "volume")
# Exchanges that quote in pence, cents and agorot: a source that mixes units there gives some prices in the main unit.
MINOR_UNIT = ("XLON", "XJSE", "XTAE")


@dataclass(frozen=True)
class Cleaned:
    """``bars``: fit to be stored, BAR_COLUMNS in (symbol, session) order. ``quarantine``: QUARANTINE_COLUMNS, one row a row
    set aside. ``merged``: identical twins left out. ``received`` = len(bars) + len(quarantine) + merged."""

    bars: pd.DataFrame
    quarantine: pd.DataFrame
    warnings: tuple[Warned, ...]
    merged: int
    received: int


_DEFAULT = QualityThresholds()


def clean_bars(
    bars: pd.DataFrame,
    calendar_sessions: np.ndarray | Mapping[str, np.ndarray] | None,
    today_limit: date | Mapping[str, date],
    actions: pd.DataFrame | None = None,
    stored: Mapping[str, float] | None = None,
    thresholds: QualityThresholds = _DEFAULT,
) -> Cleaned:
    """Split ``bars`` (BAR_COLUMNS, as a source delivers them, any order) into what can be stored and what cannot.

    ``calendar_sessions``: the exchange's sessions over the whole span of the bars (datetime64, ascending), for all symbols
    or by symbol; None, or a symbol not among them: dates are not judged. ``today_limit``: the last session that is final, for
    all symbols or by symbol (one not among them has the earliest of the limits); later bars are set aside.
    ``actions`` (symbol, session, kind, value): a jump that a split explains is none. ``stored``: each symbol's last stored
    close before these bars; a batch that begins at a hundred times that is rejected. A column ``adj_ratio`` (adjusted close
    over close, as delivered) helps to tell splits that were applied to some rows only.
    Raises KeyError naming the columns where one of BAR_COLUMNS is missing.
    """
    missing = [column for column in BAR_COLUMNS if column not in bars.columns]
    if missing:
        raise KeyError(f"bars without {', '.join(missing)}; expected {', '.join(BAR_COLUMNS)}")
    frame, unreadable = _coerced(bars)
    verdict = _Verdict(len(frame))
    verdict.set("not_a_number", unreadable)
    code_of, names = pd.factorize(frame["symbol"], sort=True)
    day = frame["session"].to_numpy().astype("datetime64[D]")
    broken, doubtful = row_rules.judge(frame, code_of, names, day, thresholds)
    for code, rows in broken.items():
        verdict.set(code, rows)
    groups = date_rules.groups_of(code_of, names, calendar_sessions)
    traded = frame["volume"].to_numpy() > 0.0
    limits = date_rules.limits_of(today_limit, names)
    dated = date_rules.judge(code_of, day, groups, limits, calendar_sessions is not None, traded, thresholds)
    for code, rows in (
        ("shifted_sessions", dated.shifted), ("not_a_session", dated.closed), ("not_final", dated.running),
        ("future_session", dated.late),
    ):  # fmt: skip
        verdict.set(code, rows)
    acting = _acting(actions, names)
    order = _order(code_of, day, verdict.good | verdict.only("implausible_price", np.append(acting, False)[code_of]))
    order, merged = _judge_duplicates(verdict, frame, code_of, day, order)
    splits, dividends = _action_rows(actions, code_of, names, day, order)
    rows = series_rules.Rows.of(frame, order, code_of, day, splits, dividends)
    shifted = _judge_series(verdict, rows, order, names, stored, thresholds)
    good = verdict.good[order]
    keep = order[good]
    kept = frame.iloc[keep][list(BAR_COLUMNS)].reset_index(drop=True)
    kept["open"] = kept["open"].where(kept["open"] > 0.0)
    rows = rows if good.all() else rows.keep(good)
    growth = rows.growth()
    found = series_rules.warnings(rows, growth, split_rules.unexplained(rows, growth), thresholds)
    found |= {"level_shift": shifted[good], "range_doubtful": doubtful[keep], "calendar_disagrees": dated.unknown_session[keep]}
    found["not_daily"] = np.append(dated.not_daily, False)[rows.code]
    found["volume_unknown"] |= np.isnan(rows.volume) & np.array([_has_volume(name) for name in names] + [False])[rows.code]
    about = {code: keep[mask] for code, mask in found.items()} | {"duplicate_identical": merged}
    warned = [*warned_of(frame["symbol"], day, about)]
    dead = np.unique(code_of[dated.shifted & (code_of >= 0)])
    leave_out = dated.not_daily.copy()
    leave_out[dead] = True
    over = np.where(dated.late, np.datetime64("NaT"), day)  # a date in the future opens no gap
    warned += date_rules.gaps(code_of, over, names, groups, leave_out, thresholds)
    return Cleaned(kept, _set_aside(bars, frame, verdict), in_order(warned), len(merged), len(frame))


def _has_volume(symbol: str) -> bool:
    """Whether a volume is to be expected; an index and a currency pair have none."""
    return not symbol.startswith("^") and not symbol.endswith("=X")


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

    def only(self, code: str, among: np.ndarray) -> np.ndarray:
        """Rows ``among`` which nothing but ``code`` speaks against, bool."""
        found = among & (self.rank == self.codes.index(code)) & ~self.merged
        found[[row for row in self.also if found[row]]] = False
        return found

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
    if "adj_ratio" in bars:
        ratio = bars["adj_ratio"].to_numpy(dtype=np.float64)
        frame["adj_ratio"] = np.where((ratio > 0.0) & np.isfinite(ratio), ratio, np.nan)
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


def _acting(actions: pd.DataFrame | None, names: pd.Index) -> np.ndarray:
    """Symbols that have a split, bool [symbols]."""
    found = np.zeros(len(names), dtype=bool)
    if actions is not None and len(actions):
        code = names.get_indexer(actions["symbol"][actions["kind"] == "split"])
        found[code[code >= 0]] = True
    return found


def _action_rows(
    actions: pd.DataFrame | None, code_of: np.ndarray, names: pd.Index, day: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(the split ratio, the dividend) of each ordered row: those whose ex-date is its session, or fell between it and the
    row before; 1 and 0 where there is none."""
    split, dividend = np.ones(len(order)), np.zeros(len(order))
    if actions is None or not len(actions) or not len(order):
        return split, dividend
    key = code_of[order].astype(np.int64) * 10_000_000 + day[order].astype(np.int64)
    value = actions["value"].to_numpy(dtype=np.float64)
    usable = (value > 0.0) & np.isfinite(value) & actions["session"].notna().to_numpy()
    code = names.get_indexer(actions["symbol"])
    ex_date = actions["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
    at = np.searchsorted(key, code.astype(np.int64) * 10_000_000 + ex_date)
    usable &= (code >= 0) & (at < len(order))
    usable[usable] = code_of[order[at[usable]]] == code[usable]
    is_split = (actions["kind"] == "split").to_numpy(dtype=bool)
    np.multiply.at(split, at[usable & is_split], value[usable & is_split])
    np.add.at(dividend, at[usable & ~is_split], value[usable & ~is_split])
    return split, dividend


def _judge_series(
    verdict: _Verdict, rows: series_rules.Rows, order: np.ndarray, names: pd.Index, stored: Mapping[str, float] | None,
    thresholds: QualityThresholds,
) -> np.ndarray:  # fmt: skip
    """Rules along a symbol's rows. Returns rows on the shorter side of a change of unit that stays, bool [len(order)]."""
    before = np.full(len(names) + 1, np.nan)
    if stored:
        before[:-1] = pd.Series(stored, dtype=np.float64).reindex(names).to_numpy()
    growth = rows.growth()
    minor = np.zeros(len(names) + 1, dtype=bool)
    for i in np.unique(rows.code[(growth > 10.0) | (growth < 0.1)]):
        minor[i] = calendar_of(names[i]) in MINOR_UNIT
    off = split_rules.not_applied(rows, thresholds)
    verdict.set("split_not_applied", order[off])
    jumps = series_rules.unit_jumps(rows, growth, before, minor, thresholds)
    verdict.set("unit_jump", order[jumps.block & ~jumps.untraded & ~off])
    verdict.set("unit_jump_untraded", order[jumps.block & jumps.untraded & ~off])
    verdict.set("unit_changed", order[series_rules.unit_changed(rows, before, thresholds)])
    good = verdict.good[order]
    left = rows if good.all() else rows.keep(good)
    verdict.set("spike", order[good][series_rules.spikes(left, growth if good.all() else left.growth(), thresholds)])
    return jumps.shifted & ~off


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
