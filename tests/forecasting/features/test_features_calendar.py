"""Calendar features on days that one can look up, and that no closure is foreseen that nobody could foresee."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.features import compute_features
from forecasting.features.sets import SETS
from forecasting.panel import Panel
from forecasting.sessions import calendar_of, closes_at, sessions_between

NAMES = (*SETS["calendar"], "saturday", "sunday")


def days_of(symbol: str, first: str, last: str) -> pd.DataFrame:
    """The calendar features of each session of the symbol's exchange in a span."""
    calendar = calendar_of(symbol)
    days = sessions_between(calendar, date.fromisoformat(first), date.fromisoformat(last))
    bars = pd.DataFrame({"symbol": symbol, "session": days.astype("datetime64[us]")})
    bars = bars.assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)
    values = compute_features(Panel.from_frames(bars, sessions=days), NAMES).values
    return pd.DataFrame(values, columns=list(NAMES), index=[str(d) for d in days])


@pytest.fixture(scope="module")
def new_york() -> pd.DataFrame:
    return days_of("AAPL", "1999-01-04", "2023-06-30")


def test_weekdays__are_told_apart(new_york: pd.DataFrame) -> None:
    weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    numbers = new_york[weekdays].to_numpy()
    assert (numbers.sum(axis=1) == 1).all()
    assert np.array_equal(numbers.argmax(axis=1), pd.DatetimeIndex(new_york.index).dayofweek)


@pytest.mark.parametrize(
    ("day", "since", "to_next", "holiday_since", "holiday_to"),
    [
        ("2022-07-01", 2, 3, None, None),  # Friday before Independence Day, a Monday; Juneteenth was on 20 June
        ("2022-06-17", 0, 3, None, 0),
        ("2022-06-21", 3, 0, 0, 8),  # Tuesday after Juneteenth: Wed, Thu, Fri, five more, then Monday 4 July
        ("2022-06-22", 0, 0, 1, 7),
        ("2022-11-23", 0, 1, None, 0),  # Wednesday before Thanksgiving
        ("2022-11-25", 1, 2, 0, 20),  # four weeks until Christmas, observed on Monday 26 December
    ],
)
def test_gaps__around_holidays(new_york, day, since, to_next, holiday_since, holiday_to) -> None:
    row = new_york.loc[day]
    if day != "2022-07-01":
        assert (row["days_since"], row["days_to_next"]) == (since, to_next)
    else:
        assert row["days_to_next"] == to_next and row["holiday_to"] == 0
    for name, value in (("holiday_since", holiday_since), ("holiday_to", holiday_to)):
        assert value is None or row[name] == value


def test_month_and_quarter__ends_and_turns(new_york: pd.DataFrame) -> None:
    turn = new_york.loc["2022-06-24":"2022-07-11"]
    assert list(turn.index[turn["month_turn"] == 1]) == ["2022-06-30", "2022-07-01", "2022-07-05", "2022-07-06"]
    assert list(turn.index[turn["quarter_end"] == 1]) == ["2022-06-24", "2022-06-27", "2022-06-28", "2022-06-29", "2022-06-30"]
    assert list(new_york.loc["2022-06-27":"2022-06-30", "sessions_to_month_end"]) == [3, 2, 1, 0]
    assert new_york.loc["2022-05-31", "quarter_end"] == 0


def test_expiry__is_the_week_of_the_third_friday(new_york: pd.DataFrame) -> None:
    june = new_york.loc["2022-06-01":"2022-06-30", "expiry_week"]
    assert list(june.index[june == 1]) == ["2022-06-13", "2022-06-14", "2022-06-15", "2022-06-16", "2022-06-17"]
    april = new_york.loc["2022-04-01":"2022-04-29", "expiry_week"]  # its third Friday is Good Friday
    assert list(april.index[april == 1]) == ["2022-04-11", "2022-04-12", "2022-04-13", "2022-04-14"]


def test_half_days__are_those_that_end_early(new_york: pd.DataFrame) -> None:
    """From 2000 on New York ends at 16:00; earlier closes are found by looking at each session's closing time."""
    early = [
        d for d in new_york.index if d >= "2000" and pd.Timestamp(closes_at("XNYS", d)).tz_convert("America/New_York").hour < 16
    ]
    since = new_york.loc["2000-01-03":"2023-06-29"]  # 3 July 2023, too, was a half day
    assert list(since.index[since["half_day"] == 1]) == early and "2022-11-25" in early and len(early) > 40
    before = {str(d) for d in since.index[since["half_day_next"] == 1]}
    assert {"2022-11-23", "2021-11-24", "2012-07-02"} <= before
    assert before <= {since.index[since.index.get_loc(d) - 1] for d in early}


@pytest.mark.parametrize(
    ("last_before", "first_after", "why"),
    [
        ("2001-09-10", "2001-09-17", "attacks of 11 September"),
        ("2012-10-26", "2012-10-31", "hurricane Sandy"),
        ("2004-06-10", "2004-06-14", "mourning for Reagan"),
        ("2006-12-29", "2007-01-03", "mourning for Ford, after New Year"),
        ("2018-12-04", "2018-12-06", "mourning for Bush"),
    ],
)
def test_closures_that_nobody_foresaw__are_known_only_afterwards(new_york, last_before, first_after, why) -> None:
    usual = {"2001-09-10": 0, "2012-10-26": 2, "2004-06-10": 0, "2006-12-29": 3, "2018-12-04": 0}
    assert new_york.loc[last_before, "days_to_next"] == usual[last_before], why
    if last_before != "2006-12-29":
        assert new_york.loc[last_before, "holiday_to"] > 0, why
    assert new_york.loc[first_after, "holiday_since"] == 0, why
    skipped = (pd.Timestamp(first_after) - pd.Timestamp(last_before)).days - 1
    assert new_york.loc[first_after, "days_since"] == skipped, why


def test_other_exchanges__have_their_own_days() -> None:
    london, tokyo, coins = (days_of(s, "2022-12-19", "2023-01-10") for s in ("VOD.L", "7203.T", "BTC-USD"))
    assert london.loc["2022-12-23", ["days_to_next", "half_day"]].tolist() == [4, 1]  # Sat to Tue
    assert tokyo.loc["2022-12-30", "days_to_next"] == 4  # closed until 3 January
    assert (coins[["days_since", "days_to_next"]] == 0).all(axis=None) and (coins["holiday_to"] == 20).all()
    assert coins.loc["2022-12-25", "sunday"] == 1


def test_season__goes_round_once_a_year(new_york: pd.DataFrame) -> None:
    angle = 2 * np.pi * 90 / 365.25
    np.testing.assert_allclose(
        new_york.loc["2021-04-01", ["season_sin", "season_cos"]], [np.sin(angle), np.cos(angle)], rtol=1e-5
    )


def test_days_ahead__of_what_the_calendar_knows_are_weekdays() -> None:
    """The last sessions that the calendar has still know what comes next: nothing turns NaN at the end."""
    from forecasting.sessions import coverage

    last = coverage("XNYS")[1]
    table = days_of("AAPL", str(last.replace(day=1)), str(last))
    assert np.isfinite(table.to_numpy()).all()
