"""From where on prices, actions and sources are odd: every number behind the rules of data quality, in one place."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def _limit(default: float, description: str, low: float = 0.0, high: float | None = None) -> Any:
    finite = {} if isinstance(default, int) else {"allow_inf_nan": False}
    return Field(default, ge=low, le=high, description=description, **finite)


class QualityThresholds(BaseModel):
    """The limits of the rules; a value outside of what makes sense is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # rows and series
    outside_range: float = _limit(
        0.0005, "relative distance of open and close from low..high that is kept with a warning", 0.0, 0.1
    )
    quoted_range: float = _limit(0.1, "the same where opens and closes are mid-quotes", 0.0, 0.5)
    unit_tolerance: float = _limit(
        1.3, "how far from exactly 100 or 1000 a change of unit may be: a day's move hides in it", 1.0, 3.0
    )
    unit_block: int = _limit(250, "sessions after which a changed level is the symbol's own and no passing error", 1)
    stale_run: int = _limit(10, "identical bars without volume in a row that are stale", 2)
    large_move: float = _limit(0.5, "share of the close before by which it moved", 0.05, 1.0)
    volume_confirms: float = _limit(2.0, "times the median volume of the 20 bars before that confirms a large move", 1.0)
    spike: float = _limit(3.0, "times the closes before and after that a close for one session may be", 1.5)
    long_gap: int = _limit(40, "missing sessions in a row from which on a gap is long", 2)
    closed_symbols: int = _limit(3, "symbols that must lack (or have) a session together before the calendar is doubted", 2)
    split_window: int = _limit(20, "bars from a split within which a jump of its size belongs to it", 1)
    split_tolerance: float = _limit(0.15, "log distance of a jump from the split's ratio that a day's move explains", 0.01, 0.5)
    # actions
    dividend_mismatch: float = _limit(
        0.1, "share of a dividend by which the adjusted closes may tell another amount", 0.01, 0.5
    )
    dividend_refuted: float = _limit(5.0, "daily standard deviations by which a close fell too little for the dividend", 2.0)
    dividend_floor: float = _limit(0.04, "smallest share of the price at which a move can refute a dividend", 0.01, 0.5)
    dividend_repeat: int = _limit(3, "bars within which two alike dividends are one told twice", 1)
    dividend_alike: float = _limit(1.25, "largest ratio of two dividends that are alike", 1.0, 2.0)
    evidence: float = _limit(2.0, "log likelihood ratio from which on the prices prefer one reading of an action", 0.5)
    # two sources
    agree_within: float = _limit(0.001, "relative difference up to which two sources tell the same price", 0.0, 0.05)
    quarantine_beyond: float = _limit(0.02, "relative difference beyond which neither of two prices should be used", 0.001, 1.0)
    volume_within: float = _limit(0.5, "relative difference up to which two sources tell about the same volume", 0.0, 10.0)
    action_days: int = _limit(7, "days apart within which two sources tell the same action on different days", 0)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
