"""Which splits and dividends can be believed. One in doubt is set aside with its reason; none is ever rewritten.

Three witnesses are heard about an action: the prices, which fall by a dividend and jump by a split; the source's own adjusted
closes (``adj_ratio``), which it computed from some amount; and the symbol's other dividends.

- Two witnesses against the amount set the action aside: the adjusted closes tell a hundredth and the price did not fall, or
  the price did not fall at all by what would have been a quarter of it.
- The adjusted closes alone do not: they are never stored, so that a dividend which they leave out or count twice is kept,
  with a warning over the rows whose adjusted closes are wrong.
- A hundredfold is never a coincidence: where amount and adjusted closes differ by just that, one of them is wrong, and the
  dividend is kept only if prices prefer it.

What no rule here can see without a second source: a dividend that is missing from actions and adjusted closes alike; one that
is a little wrong in both; a small one told a hundred times too small in both; a split that was invented together with prices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.quality.dividend_rules import Dividends, judge_dividends
from forecasting.quality.tape import Tape
from forecasting.quality.thresholds import QualityThresholds
from forecasting.reasons import QUARANTINE_COLUMNS, REASONS, Warned, warned_of
from forecasting.schemas import fit_actions

ACTION_COLUMNS = ("symbol", "session", "kind", "value")
_SHOWS = 0.6  # share of a split by which prices may miss it and still show it
_SMALLEST_STEP = 2e-3  # of the adjusted closes; a smaller one that nobody named is no news
_DEFAULT = QualityThresholds()


@dataclass(frozen=True)
class CleanedActions:
    """``actions``: to be believed, ACTION_COLUMNS in (symbol, session, kind) order. ``quarantine``: QUARANTINE_COLUMNS, one row
    an action set aside. ``warnings``: bars whose adjusted closes, as the source gave them, do not fit the actions."""

    actions: pd.DataFrame
    quarantine: pd.DataFrame
    warnings: tuple[Warned, ...]


def clean_actions(actions: pd.DataFrame, bars: pd.DataFrame, thresholds: QualityThresholds = _DEFAULT) -> CleanedActions:
    """Judge ``actions`` (symbol, session, kind, value) by ``bars``: symbol, session, close as traded, and ``adj_ratio``
    (adjusted close over close as delivered) where the source gave it; best the bars that cleaning kept.

    Actions without a bar before them are kept: nothing can be told. The same action told twice is one.
    """
    actions = actions[list(ACTION_COLUMNS)].drop_duplicates(ignore_index=True)
    fit, wrong = fit_actions(actions)
    fit = fit.sort_values(["symbol", "session", "kind"], kind="stable", ignore_index=True)
    tape = Tape.of(bars, fit)
    reason = np.full(len(fit), "", dtype=object)
    said = np.full(len(fit), "", dtype=object)
    for i in _unseen_splits(tape):
        reason[i], said[i] = "split_not_in_prices", f"a split of {tape.value[i]:g} for 1"
    dividends: Dividends = judge_dividends(tape, thresholds)
    for i, (code, text) in dividends.doubts.items():
        reason[i], said[i] = code, text
    doubt = reason != ""
    impossible = [f"a {kind} of {value}" for kind, value in zip(wrong["kind"], wrong["value"], strict=True)]
    parts = [_rows(wrong, ["bad_action"] * len(wrong), impossible), _rows(fit[doubt], reason[doubt], said[doubt])]
    quarantine = pd.concat(parts, ignore_index=True).sort_values(
        ["symbol", "session", "reason"], kind="stable", ignore_index=True
    )
    found = dividends.about | {"adjusted_step_without_action": _steps_without_action(tape)}
    warned = warned_of(pd.Series(tape.names[tape.code] if len(tape.code) else [], dtype="str"), tape.day, found)
    return CleanedActions(fit[~doubt].reset_index(drop=True), quarantine, warned)


def _unseen_splits(tape: Tape) -> list[int]:
    """Splits that the prices, taken as traded, do not show though they are large enough to be seen."""
    found = []
    for i in np.flatnonzero(tape.is_split & (tape.at >= 0)):
        at, size = tape.at[i], np.log(tape.value[i])
        if abs(size) < max(0.1, 4.0 * tape.usual_move(at)):
            continue
        dividend = np.log1p(-min(tape.share_at(at), 0.95))
        without = abs(tape.move[at] - dividend)
        with_it = abs(tape.move[at] + size - dividend)
        if with_it > _SHOWS * abs(size) and without < (1.0 - _SHOWS) * abs(size):
            found.append(int(i))
    return found


def _steps_without_action(tape: Tape) -> np.ndarray:
    """Rows at which the adjusted closes step and no action is known, positions."""
    at = np.flatnonzero(np.abs(tape.step) > _SMALLEST_STEP)  # NaN compares as false
    near = tape.acts[at] | (tape.sparse[at] & tape.acts[np.maximum(at - 1, 0)])
    at = at[~near]
    return np.array([i for i in at if abs(tape.step[i]) > 2.0 * tape.noise(i)], dtype=np.int64)


def _rows(actions: pd.DataFrame, reason: Sequence[str], said: Sequence[str]) -> pd.DataFrame:
    """Actions as rows for the quarantine."""
    out = actions[["symbol", "session"]].reset_index(drop=True)
    out["reason"] = list(reason)
    out["severity"] = [REASONS[code][0] for code in reason]
    out["message"] = [f"{REASONS[code][1]}: {text}" for code, text in zip(reason, said, strict=True)]
    out["row_json"] = [
        json.dumps({"symbol": s, "session": str(d)[:10], "kind": k, "value": v if np.isfinite(v) else str(v)})
        for s, d, k, v in actions.itertuples(index=False)
    ]
    for column in ("symbol", "reason", "severity", "message", "row_json"):
        out[column] = out[column].astype("str")
    return out.astype({"session": "datetime64[us]"})[list(QUARANTINE_COLUMNS)]
