"""Whether two sources tell the same prices: what differs, by how much, and how grave that is.

Some defects leave no trace inside one source: a dividend that was forgotten in prices and actions alike, a close that is
wrong by three percent, a day's bar taken from another day. A second source sees them. Nothing is decided here about who is
right: a disagreement is a row with both values, and 'quarantine' says that neither should be used before somebody looked.

- Both as traded: open, high, low and close are compared as they are.
- One of them adjusted (or both, perhaps on different days): levels differ by design, so what is compared is how close moves
  from one common session to the next, passing over days with an action, and where open, high and low lie beside the close.
- Volume is compared loosely and never worse than 'warn': sources count different venues.
- A session that only one of them has, inside the span of both, is a 'warn'.
- ``adj_ratio``, where both have it: a step that only one of them makes is a 'warn'; it says that their dividends differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from forecasting.quality.thresholds import QualityThresholds

# code: (severity, what is wrong); which of them a row falls under follows from its field and verdict, see ``reason_of``
REASONS: dict[str, tuple[str, str]] = {
    "sources_disagree": ("quarantine", "two sources tell prices too far apart; neither should be used before somebody looked"),
    "actions_disagree": ("quarantine", "a split or dividend that the other source does not know, or knows otherwise"),
    "sources_differ": ("warn", "two sources tell prices a little apart"),
    "actions_differ": ("warn", "two sources tell the same split or dividend a little apart, or on different days"),
    "adjustment_differs": ("warn", "the adjusted close of only one source makes a step: their dividends or splits differ"),
    "volume_differs": ("warn", "two sources tell very different volumes"),
    "one_source_only": ("warn", "only one of two sources has the session"),
}
_BY_FIELD = {"session": "one_source_only", "volume": "volume_differs", "adj_ratio": "adjustment_differs"}

COLUMNS = ("symbol", "session", "field", "first_value", "second_value", "difference", "verdict")
Agreement = Literal["agree", "warn", "quarantine"]
_KEY = ["symbol", "session"]
_PRICES = ("open", "high", "low", "close")
_RETURN_WITHIN = 60  # sessions within which a wrong block of an adjusted series comes back; longer it is a step


@dataclass(frozen=True)
class Compared:
    """``disagreements``: COLUMNS, a row a cell that differs; 'difference' is second over first minus 1 (NaN where one of them
    has nothing), 'verdict' is warn or quarantine. ``compared``: bars that both have; ``agreed``: those without such a row."""

    disagreements: pd.DataFrame
    agreed: int
    compared: int

    @property
    def verdict(self) -> Agreement:
        said = set(self.disagreements["verdict"])
        return "quarantine" if "quarantine" in said else "warn" if said else "agree"


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    thresholds: QualityThresholds,
    basis_first: str = "as_traded",
    basis_second: str = "as_traded",
    actions: pd.DataFrame | None = None,
) -> Compared:
    """Compare two sources' bars (BAR_COLUMNS, perhaps adj_ratio; any order; of duplicates the last counts), symbol by symbol
    over the span that both cover. ``actions`` (symbol, session): ex-dates told by either, needed where one is adjusted."""
    pairs = _paired(first, second)
    both = pairs[pairs["_merge"] == "both"].reset_index(drop=True)
    found = [_only_one(pairs)]
    if basis_first == basis_second == "as_traded":
        found += [_cells(both, f, both[f"{f}_1"], both[f"{f}_2"], thresholds) for f in _PRICES]
    else:
        found.append(_moves(both, _at_action(both, actions), thresholds))
        for field in _PRICES[:3]:
            one, other = both[f"{field}_1"] / both["close_1"], both[f"{field}_2"] / both["close_2"]
            found.append(_cells(both, field, one, other, thresholds))
    found.append(_volumes(both, thresholds))
    if "adj_ratio_1" in both:
        found.append(_adjustments(both, thresholds))
    table = _sorted(pd.concat([part for part in found if len(part)], ignore_index=True) if any(map(len, found)) else found[0])
    differing = table.loc[~table["field"].eq("session"), _KEY].drop_duplicates()
    return Compared(table, len(both) - len(differing), len(both))


def compare_actions(
    first: pd.DataFrame, second: pd.DataFrame, thresholds: QualityThresholds, spans: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The splits and dividends (ACTION_COLUMNS) that two sources tell differently, COLUMNS with 'split' or 'dividend' as field.

    ``spans`` (symbol, start, end; see ``common_spans``): only actions inside are compared, None for all. An action that one
    of them does not know is a 'quarantine', an amount that differs is judged as a price is, and the same action on two days
    no more than ``action_days`` apart is a 'warn' at the first source's day.
    """
    one, other = (_inside(a, spans).drop_duplicates([*_KEY, "kind"], keep="last") for a in (first, second))
    pairs = one.merge(other, on=[*_KEY, "kind"], how="outer", suffixes=("_1", "_2"), indicator=True)
    both = pairs[pairs["_merge"] == "both"]
    ratio = both["value_2"] / both["value_1"]
    beyond = _size(ratio) - 1.0
    said = _table(both, both["kind"], both["value_1"], both["value_2"], ratio - 1.0, _verdicts(beyond, thresholds))
    found = [said[(beyond > thresholds.agree_within).to_numpy()]]
    found.append(_unmatched(pairs[pairs["_merge"] != "both"], thresholds))
    parts = [part for part in found if len(part)]
    return _sorted(pd.concat(parts, ignore_index=True) if parts else said.iloc[:0])


def reason_of(field: str, verdict: str) -> str:
    """The code of REASONS for a row of the disagreements."""
    about = "actions" if field in ("split", "dividend") else "sources"
    return _BY_FIELD.get(field) or f"{about}_{'disagree' if verdict == 'quarantine' else 'differ'}"


def common_spans(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """For each symbol of both: symbol, start, end, the first and last session of the span that both sources cover."""
    one, other = (f.groupby("symbol")["session"].agg(["min", "max"]) for f in (first, second))
    spans = one.join(other, how="inner", lsuffix="_1", rsuffix="_2")
    start, end = spans[["min_1", "min_2"]].max(axis=1), spans[["max_1", "max_2"]].min(axis=1)
    table = pd.DataFrame({"symbol": spans.index, "start": start.to_numpy(), "end": end.to_numpy()})
    return table[table["start"] <= table["end"]].reset_index(drop=True)


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Both sources' rows side by side (suffixes _1 and _2) in (symbol, session) order, inside the span that both cover."""
    spans = common_spans(first, second)
    one, other = (_inside(f, spans).drop_duplicates(_KEY, keep="last") for f in (first, second))
    columns = [*_KEY, *_PRICES, "volume"] + (["adj_ratio"] if "adj_ratio" in one and "adj_ratio" in other else [])
    pairs = one[columns].merge(other[columns], on=_KEY, how="outer", suffixes=("_1", "_2"), indicator=True)
    return pairs.sort_values(_KEY, ignore_index=True)


def _inside(frame: pd.DataFrame, spans: pd.DataFrame | None) -> pd.DataFrame:
    if spans is None:
        return frame
    known = frame[frame["session"].notna()].merge(spans, on="symbol")
    return known[(known["session"] >= known["start"]) & (known["session"] <= known["end"])].drop(columns=["start", "end"])


def _only_one(pairs: pd.DataFrame) -> pd.DataFrame:
    rows = pairs[pairs["_merge"] != "both"]
    return _table(rows, "session", rows["close_1"], rows["close_2"], np.nan, "warn")


def _cells(both: pd.DataFrame, field: str, one: pd.Series, other: pd.Series, t: QualityThresholds) -> pd.DataFrame:
    """Where a price differs by more than rounding. A price that one of them does not know, or tells as 0, is not compared."""
    one, other = one.where(one > 0), other.where(other > 0)
    ratio = other / one
    beyond = _size(ratio) - 1.0
    rounding = _coarseness(both)
    far = (beyond > t.agree_within) & ((other - one).abs() > rounding)
    rows = both[far]
    return _table(rows, field, both[f"{field}_1"][far], both[f"{field}_2"][far], ratio[far] - 1.0, _verdicts(beyond[far], t))


def _coarseness(both: pd.DataFrame) -> np.ndarray:
    """Half of the last decimal with which the coarser of the two writes the symbol's closes, and a little, [rows]."""
    out = np.zeros(len(both))
    for rows in both.groupby("symbol", sort=False).indices.values():
        out[rows] = 1.02 * max(_half_unit(both[c].to_numpy()[rows]) for c in ("close_1", "close_2"))
    return out


def _half_unit(values: np.ndarray) -> float:
    """Half of the last decimal (0 to 6) that these prices are written with; 0.0 where they need more."""
    known = values[np.isfinite(values)][:400]
    for places in range(7):
        if (np.abs(known - np.round(known, places)) <= 2.0**-23 * np.abs(known)).all():
            return 0.5 * 10.0**-places
    return 0.0


def _at_action(both: pd.DataFrame, actions: pd.DataFrame | None) -> np.ndarray:
    """Rows that are the first common session on or after an ex-date of their symbol, bool."""
    hit = np.zeros(len(both), dtype=bool)
    if actions is None or actions.empty or both.empty:
        return hit
    names = both["symbol"].unique()
    day = both["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
    key = pd.Index(names).get_indexer(both["symbol"]) * 10_000_000 + day
    code = pd.Index(names).get_indexer(actions["symbol"])
    wanted = code * 10_000_000 + actions["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
    at = np.searchsorted(key, wanted[code >= 0])
    code = code[code >= 0][at < len(key)]
    at = at[at < len(key)]
    hit[at[key[at] // 10_000_000 == code]] = True
    return hit


def _moves(both: pd.DataFrame, at_action: np.ndarray, t: QualityThresholds) -> pd.DataFrame:
    """Where the two closes part: rows that leave the common level and come back, or the first row of a step that stays."""
    one, other = both["close_1"].to_numpy(), both["close_2"].to_numpy()
    known = np.flatnonzero((one > 0) & (other > 0))
    level = np.log(other[known] / one[known])
    symbol = both["symbol"].to_numpy()[known]
    fresh = np.append(True, symbol[1:] != symbol[:-1]) if len(known) else np.zeros(0, dtype=bool)
    # An action between two known rows counts for the later one, also where the ex-date itself is unknown to one of them.
    passed = np.append(0, np.cumsum(at_action)[known])
    within = np.log1p(t.agree_within) + _blur(both, one, other)[known]
    rows, gaps = _strays(level, fresh | (np.diff(passed) > 0), within)
    frame = both.iloc[known[rows]]
    verdicts = _verdicts(np.expm1(np.abs(gaps)), t)
    return _table(frame, "close", frame["close_1"], frame["close_2"], np.expm1(gaps), verdicts)


def _blur(both: pd.DataFrame, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far rounding alone can part the two closes of a row, relative."""
    blur = np.zeros(len(both))
    for rows in both.groupby("symbol", sort=False).indices.values():
        for values in (one[rows], other[rows]):
            blur[rows] += 1.02 * _half_unit(values) / np.where(values > 0, values, np.inf)
    return blur


def _strays(level: np.ndarray, allowed: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions that lie off the level, and by how much. The level may change freely where ``allowed``; where it changes
    otherwise and does not come back within _RETURN_WITHIN rows, that row alone is told and the level is the new one."""
    rows: list[int] = []
    gaps: list[float] = []
    jumps = allowed.copy()
    jumps[1:] |= np.abs(np.diff(level)) > np.maximum(within[1:], within[:-1])
    starts = np.flatnonzero(jumps)
    ends = np.append(starts[1:], len(level))[: len(starts)]
    base = 0.0
    for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
        near = _near(starts, allowed, i)
        if allowed[a]:  # the level of the longest stretch near by: the first rows may be the ones that stray
            longest = max((i, *near), key=lambda j: ends[j] - starts[j])
            base = float(np.median(level[starts[longest] : ends[longest]]))
        gap = float(np.median(level[a:b]) - base)
        if abs(gap) <= within[a:b].max():
            continue
        returns = any(abs(level[starts[j]] - base) <= within[starts[j]] for j in near)
        told = range(a, b if returns else a + 1)
        rows += told
        gaps += [gap] * len(told)
        base += 0.0 if returns else gap
    return np.array(rows, dtype=np.int64), np.array(gaps)


def _near(starts: np.ndarray, allowed: np.ndarray, i: int) -> list[int]:
    """The stretches after the i-th that begin soon after it, of the same symbol and before its next action."""
    found = []
    for j in range(i + 1, len(starts)):
        if allowed[starts[j]] or starts[j] - starts[i] > _RETURN_WITHIN:
            break
        found.append(j)
    return found


def _volumes(both: pd.DataFrame, t: QualityThresholds) -> pd.DataFrame:
    one, other = both["volume_1"].where(both["volume_1"] > 0), both["volume_2"].where(both["volume_2"] > 0)
    ratio = other / one
    far = (_size(ratio) - 1.0) > t.volume_within
    return _table(both[far], "volume", both["volume_1"][far], both["volume_2"][far], ratio[far] - 1.0, "warn")


def _adjustments(both: pd.DataFrame, t: QualityThresholds) -> pd.DataFrame:
    """Steps of adjusted close over close that only one of them makes; 'difference' is by how much the steps differ."""
    one, other = (both[c].where(both[c] > 0) for c in ("adj_ratio_1", "adj_ratio_2"))
    usable = np.flatnonzero((one.notna() & other.notna()).to_numpy())
    rows = both.iloc[usable]
    level = np.log(other.to_numpy()[usable] / one.to_numpy()[usable])
    step = np.zeros(len(level))
    step[1:] = np.diff(level)
    step[1:][rows["symbol"].to_numpy()[1:] != rows["symbol"].to_numpy()[:-1]] = 0.0
    far = np.abs(step) > np.log1p(t.agree_within)
    found = rows[far]
    return _table(found, "adj_ratio", found["adj_ratio_1"], found["adj_ratio_2"], np.expm1(step[far]), "warn")


def _unmatched(alone: pd.DataFrame, t: QualityThresholds) -> pd.DataFrame:
    """Actions of one source only: the same on a near day is a warning, the others are in doubt."""
    here = alone[alone["_merge"] == "left_only"].reset_index(drop=True)
    there = alone[alone["_merge"] == "right_only"].reset_index(drop=True)
    near = here.reset_index().merge(there.reset_index(), on=["symbol", "kind"], suffixes=("_a", "_b"))
    apart = (near["session_a"] - near["session_b"]).abs().dt.days
    ratio = near["value_2_b"] / near["value_1_a"]
    near = near.assign(apart=apart, ratio=ratio)[(apart <= t.action_days) & (_size(ratio) - 1.0 <= t.quarantine_beyond)]
    near = near.sort_values(["apart", "index_a", "index_b"]).drop_duplicates("index_a").drop_duplicates("index_b")
    moved = near.rename(columns={"session_a": "session"})
    parts = [_table(moved, moved["kind"], moved["value_1_a"], moved["value_2_b"], moved["ratio"] - 1.0, "warn")]
    for rows, taken in ((here, near["index_a"]), (there, near["index_b"])):
        rows = rows[~rows.index.isin(taken)]
        parts.append(_table(rows, rows["kind"], rows["value_1"], rows["value_2"], np.nan, "quarantine"))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else _table(here.iloc[:0], "split", np.nan, np.nan, np.nan, "warn")


def _size(ratio: pd.Series) -> pd.Series:
    """The ratio or its inverse, whichever is above 1; NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(ratio, 1.0 / ratio)


def _verdicts(beyond: object, t: QualityThresholds) -> np.ndarray:
    return np.where(np.asarray(beyond) > t.quarantine_beyond, "quarantine", "warn")


def _table(rows: pd.DataFrame, field: object, one: object, other: object, difference: object, verdict: object) -> pd.DataFrame:
    values = {"field": field, "first_value": one, "second_value": other, "difference": difference, "verdict": verdict}
    columns = {name: v.to_numpy() if isinstance(v, pd.Series) else v for name, v in values.items()}
    table = pd.DataFrame({"symbol": rows["symbol"].to_numpy(), "session": rows["session"].to_numpy()})
    table = table.assign(**columns)[list(COLUMNS)]
    numbers = dict.fromkeys(("first_value", "second_value", "difference"), "float64")
    return table.astype({"symbol": "str", "session": "datetime64[us]", "field": "str", "verdict": "str"} | numbers)


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["symbol", "session", "field"], kind="stable", ignore_index=True)
