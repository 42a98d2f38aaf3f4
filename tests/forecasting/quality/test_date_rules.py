"""Missing sessions, sessions that the calendar does not know, weekly bars, and limits by symbol."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.quality.cleaning import Cleaned, clean_bars
from forecasting.sessions import sessions_between

DAYS = sessions_between("XNYS", "2024-01-02", "2024-12-31")
LIMIT = date(2024, 12, 31)


def bars_of(symbol: str, days: np.ndarray) -> pd.DataFrame:
    close = 100.0 + np.sin(np.arange(len(days)))
    bars = pd.DataFrame({"symbol": symbol, "session": days.astype("datetime64[us]"), "open": close, "high": close + 1.0})
    return bars.assign(low=close - 1.0, close=close, volume=1000.0)


def warned(cleaned: Cleaned) -> dict[tuple[str, str], list[str]]:
    return {(w.symbol, w.reason): [str(day) for day in w.days] for w in cleaned.warnings}


def test_gap__of_one_session_names_the_session_that_is_missing() -> None:
    cleaned = clean_bars(bars_of("AAPL", np.delete(DAYS, 30)), DAYS, LIMIT)
    assert warned(cleaned) == {("AAPL", "gap"): [str(DAYS[30])]} and len(cleaned.bars) == len(DAYS) - 1


@pytest.mark.parametrize(("missing", "reason"), [(39, "gap"), (40, "long_gap")])
def test_gap__of_forty_sessions_is_a_long_one(missing: int, reason: str) -> None:
    cleaned = clean_bars(bars_of("AAPL", np.delete(DAYS, np.arange(30, 30 + missing))), DAYS, LIMIT)
    assert warned(cleaned) == {("AAPL", reason): [str(day) for day in DAYS[30 : 30 + missing]]}


def test_gap__counts_no_row_that_came_and_was_set_aside() -> None:
    bars = bars_of("AAPL", DAYS[:60])
    bars.loc[20, "close"] = -1.0
    assert clean_bars(bars, DAYS, LIMIT).warnings == ()


def test_gap__before_the_first_and_after_the_last_bar_there_is_none() -> None:
    assert clean_bars(bars_of("AAPL", DAYS[30:60]), DAYS, LIMIT).warnings == ()
    assert clean_bars(bars_of("AAPL", DAYS), None, LIMIT).warnings == ()


def test_closure__that_all_symbols_share_is_one_that_the_calendar_does_not_know() -> None:
    """Jimmy Carter's day of mourning (2025-01-09) was announced ten days before: a calendar of 2024 expected a session."""
    days = np.delete(DAYS, 30)
    three = pd.concat([bars_of("AAPL", days), bars_of("MSFT", np.delete(days, 100)), bars_of("XOM", days)])
    found = warned(clean_bars(three, DAYS, LIMIT))
    assert found == {
        ("AAPL", "calendar_disagrees"): [str(DAYS[30])],
        ("MSFT", "calendar_disagrees"): [str(DAYS[30])],
        ("MSFT", "gap"): [str(days[100])],
        ("XOM", "calendar_disagrees"): [str(DAYS[30])],
    }
    one_is_there = pd.concat([three, bars_of("KO", DAYS)])
    assert {reason for _, reason in warned(clean_bars(one_is_there, DAYS, LIMIT))} == {"gap"}


def test_session__unknown_to_the_calendar_on_which_all_traded_is_kept() -> None:
    saturday = np.datetime64("2024-03-02")
    days = np.sort(np.append(DAYS, saturday))
    four = pd.concat([bars_of(symbol, days) for symbol in ("AAPL", "MSFT", "XOM")] + [bars_of("KO", DAYS)])
    cleaned = clean_bars(four, DAYS, LIMIT)
    assert cleaned.quarantine.empty
    assert warned(cleaned) == {(symbol, "calendar_disagrees"): ["2024-03-02"] for symbol in ("AAPL", "MSFT", "XOM")}
    copies = four.assign(volume=np.where(four["session"] == saturday, 0.0, 1000.0))
    assert clean_bars(copies, DAYS, LIMIT).quarantine["reason"].tolist() == ["not_a_session"] * 3


def test_weekly_bars__are_not_measured_by_the_sessions_of_a_day() -> None:
    mondays = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-12-30"), 7)  # some of them holidays
    cleaned = clean_bars(bars_of("AAPL", mondays), DAYS, LIMIT)
    assert len(cleaned.bars) == len(mondays)
    assert [(w.reason, w.rows) for w in cleaned.warnings] == [("not_daily", len(mondays))]


def test_limit__may_differ_by_symbol() -> None:
    """At noon in New York the session of Tokyo is over and that of New York is not."""
    tokyo = sessions_between("XTKS", "2024-01-04", "2024-12-30")
    both = pd.concat([bars_of("7203.T", tokyo[:60]), bars_of("AAPL", DAYS[:60])])
    last = {"7203.T": tokyo[59].astype(date), "AAPL": DAYS[58].astype(date)}
    cleaned = clean_bars(both, {"7203.T": tokyo, "AAPL": DAYS}, last)
    assert cleaned.quarantine[["symbol", "reason"]].to_numpy().tolist() == [["AAPL", "not_final"]]
    unknown = clean_bars(pd.concat([both, bars_of("MSFT", DAYS[58:60])]), None, last)
    assert unknown.quarantine["symbol"].tolist() == ["AAPL", "MSFT"]  # without a limit of its own: the earliest


def test_dates__before_1970_are_dates_like_others() -> None:
    days = sessions_between("XNYS", "1965-01-04", "1975-12-31")
    assert clean_bars(bars_of("IBM", days), days, LIMIT).warnings == ()
