"""Splits that show in some rows only are found, at their rows; splits that are all right, and real falls, are not."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.quality.cleaning import Cleaned, clean_bars
from forecasting.sessions import sessions_between

DAYS = sessions_between("XNYS", "2024-01-02", "2024-06-28").astype("datetime64[us]")
PRICES = ["open", "high", "low", "close"]
EX = 50


def traded(split: float = 1.0, n: int = 100) -> pd.DataFrame:
    """A hundred bars around 100, moving by about 1 % a day; before row 50 at ``split`` times that, as traded."""
    close = 100.0 * np.exp(np.cumsum(0.01 * np.random.default_rng(3).standard_normal(n)))
    bars = pd.DataFrame(
        {"symbol": "TST", "session": DAYS[:n], "open": close * 0.999, "high": close * 1.01, "low": close * 0.99}
    )
    bars = bars.assign(close=close, volume=10_000.0)
    bars.loc[: EX - 1, PRICES] *= split
    bars.loc[: EX - 1, "volume"] /= split
    return bars


def clean(bars: pd.DataFrame, split: float, ex: int = EX) -> Cleaned:
    actions = pd.DataFrame({"symbol": "TST", "session": DAYS[[ex]], "kind": "split", "value": split})
    return clean_bars(bars, None, date(2024, 7, 1), actions)


def rows_of(cleaned: Cleaned) -> dict[str, list[int]]:
    at = np.searchsorted(DAYS, cleaned.quarantine["session"].to_numpy())
    return {
        code: at[(cleaned.quarantine["reason"] == code).to_numpy()].tolist() for code in cleaned.quarantine["reason"].unique()
    }


@pytest.mark.parametrize("split", [20.0, 5.0, 2.0, 1.5, 0.1, 1 / 30])
def test_split__that_shows_on_its_day_is_in_order(split: float) -> None:
    cleaned = clean(traded(split), split)
    assert len(cleaned.bars) == 100 and cleaned.warnings == ()


@pytest.mark.parametrize("split", [20.0, 4.0, 2.0, 1.5, 0.76, 0.1, 1e-4])
@pytest.mark.parametrize("rows", [[47], [48, 49], [53], [51, 52, 53, 54]])
def test_split__of_which_some_rows_know_nothing_is_flagged_at_those_rows(split: float, rows: list[int]) -> None:
    bars = traded(split)
    bars.loc[rows, PRICES] *= 1.0 / split if rows[0] < EX else split
    assert rows_of(clean(bars, split)) == {"split_not_applied": rows}


@pytest.mark.parametrize("split", [5.0, 2.0, 0.1])
@pytest.mark.parametrize("last", [44, 48, 55])
def test_split__that_was_applied_to_the_newer_rows_only_is_flagged_at_the_older_ones(split: float, last: int) -> None:
    bars = traded(split)
    bars.loc[:last, PRICES] *= split
    assert rows_of(clean(bars, split)) == {"split_not_applied": list(range(last + 1))}


def test_split__two_days_after_it_was_named_makes_no_row_wrong_but_those_between() -> None:
    assert rows_of(clean(traded(4.0), 4.0, ex=48)) == {"split_not_applied": [48, 49]}


def test_split__a_real_fall_by_half_long_after_a_split_is_kept() -> None:
    """AAPL split 2:1 on 2000-06-21 and fell by 52 % on 2000-09-29, seventy sessions later."""
    bars = traded(2.0)
    bars.loc[85:, PRICES] *= 0.48
    bars.loc[85, "volume"] *= 20
    cleaned = clean(bars, 2.0)
    assert len(cleaned.bars) == 100 and [w.reason for w in cleaned.warnings] == ["large_move"]


def test_split__a_special_dividend_of_half_the_price_with_a_consolidation_is_in_order() -> None:
    """33 new shares for 70 old ones and, on the same day, more than a new share's price in cash."""
    bars = traded()
    bars.loc[: EX - 1, PRICES] *= 33 / 70 * 2.0
    actions = pd.DataFrame(
        {"symbol": "TST", "session": DAYS[[EX, EX]], "kind": ["split", "dividend"], "value": [33 / 70, 100.0]}
    )
    cleaned = clean_bars(bars, None, date(2024, 7, 1), actions)
    assert len(cleaned.bars) == 100 and cleaned.warnings == ()


def test_split__that_nobody_named_is_remarked_upon() -> None:
    bars = traded(4.0)
    (warned,) = clean_bars(bars, None, date(2024, 7, 1)).warnings
    assert (warned.reason, warned.sessions) == ("split_unexplained", (bars["session"][EX],))


def test_split__prices_too_small_to_be_true_are_told_as_what_they_are() -> None:
    """A consolidation of 10,000 shares that one row knows twice: 0.00000001 where it should be 0.0001."""
    bars = traded(1e-4)
    bars[PRICES] /= 50.0
    bars.loc[47, PRICES] *= 1e-4
    assert bars.loc[47, "close"] < 1e-6
    assert rows_of(clean(bars, 1e-4)) == {"split_not_applied": [47]}
