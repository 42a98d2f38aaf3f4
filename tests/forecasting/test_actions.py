"""Splits and dividends read out of close and adj_close."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from forecasting.actions import derive_actions


def prices(close: list[float], adjusted: list[float], symbol: str = "X") -> pd.DataFrame:
    days = pd.bdate_range("2020-01-01", periods=len(close)).astype("datetime64[us]")
    return pd.DataFrame({"symbol": symbol, "session": days, "close": close, "adj_close": adjusted})


def told(actions: pd.DataFrame) -> list[tuple[str, str, float]]:
    return [
        (str(d.date()), k, round(v, 6)) for d, k, v in zip(actions["session"], actions["kind"], actions["value"], strict=True)
    ]


def test_derive_actions__two_for_one_split_with_a_price_jump():
    frame = prices([100.0, 102.0, 50.0, 51.0], [50.0, 51.0, 50.0, 51.0])
    assert told(derive_actions(frame)) == [("2020-01-03", "split", 2.0)]


def test_derive_actions__reverse_split():
    frame = prices([0.50, 0.52, 5.0, 5.1], [5.0, 5.2, 5.0, 5.1])
    assert told(derive_actions(frame)) == [("2020-01-03", "split", 0.1)]


def test_derive_actions__dividend_is_money_as_paid_then():
    # ex-date 2020-01-03, 0.50 a share on a close of 40: earlier prices are multiplied by 1 - 0.5/40 = 0.9875
    frame = prices([41.0, 40.0, 39.6, 39.9], [41.0 * 0.9875, 40.0 * 0.9875, 39.6, 39.9])
    assert told(derive_actions(frame)) == [("2020-01-03", "dividend", 0.5)]


def test_derive_actions__later_actions_change_the_level_but_no_step():
    frame = prices([41.0, 40.0, 39.6, 39.9], [x * 0.123456789 for x in (41.0 * 0.9875, 40.0 * 0.9875, 39.6, 39.9)])
    assert told(derive_actions(frame)) == [("2020-01-03", "dividend", 0.5)]


def test_derive_actions__split_and_dividend_on_one_day():
    # 3:1 and 0.30 a new share (0.90 an old one) on a close of 90: 0.99 / 3 = 0.33
    frame = prices([91.0, 90.0, 30.2, 30.0], [91.0 * 0.33, 90.0 * 0.33, 30.2, 30.0])
    assert told(derive_actions(frame)) == [("2020-01-03", "split", 3.0), ("2020-01-03", "dividend", 0.3)]


def test_derive_actions__fall_without_a_step_is_no_split():
    assert derive_actions(prices([53.5, 25.75, 24.2], [53.5, 25.75, 24.2])).empty


def test_derive_actions__step_without_a_fall_is_no_action():
    assert derive_actions(prices([50.0, 50.5, 50.2, 50.4], [25.0, 25.25, 50.2, 50.4])).empty


def test_derive_actions__rounded_adjusted_closes_invent_nothing():
    rng = np.random.default_rng(3)
    close = np.round(4.0 * np.exp(np.cumsum(rng.normal(0, 0.02, 2500))), 2)
    for factor in (1.0, 0.873, 0.11):
        assert derive_actions(prices(list(close), list(np.round(close * factor, 2)))).empty


def test_derive_actions__finds_dividends_through_two_decimals():
    rng = np.random.default_rng(4)
    close = np.round(40.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 252))), 2)
    factor = np.ones(252)
    for ex in (50, 113, 176, 239):
        factor[:ex] *= 1 - 0.30 / close[ex - 1]
    found = derive_actions(prices(list(close), list(np.round(close * factor, 2))))
    assert list(found["kind"]) == ["dividend"] * 4
    np.testing.assert_allclose(found["value"], 0.30, atol=0.012)


def test_derive_actions__passes_over_missing_zero_and_duplicate_rows_in_any_order():
    frame = prices([41.0, 40.0, 39.6, 39.9], [41.0 * 0.9875, 40.0 * 0.9875, 39.6, 39.9])
    gap = pd.DataFrame(
        {"symbol": "X", "session": pd.to_datetime(["2020-01-07", "2020-01-08"]), "close": [0.0, np.nan], "adj_close": 1.0}
    )
    messy = pd.concat([frame, gap, frame.iloc[[2]]]).iloc[::-1]
    assert told(derive_actions(messy)) == [("2020-01-03", "dividend", 0.5)]
    assert derive_actions(frame.iloc[:0]).empty and derive_actions(frame.iloc[:1]).empty


def test_derive_actions__known_actions_of_the_wiki_extract(shared_data):
    wiki = pd.read_parquet(shared_data / "raw_unadjusted" / "wiki_raw_2000_2013.parquet")
    wiki = wiki.rename(columns={"ticker": "symbol", "date": "session"})
    wiki["session"] = pd.to_datetime(wiki["session"])
    found = derive_actions(wiki)
    keyed = {(s, d.date(), k): v for s, d, k, v in found.itertuples(index=False)}
    splits = {key: v for key, v in keyed.items() if key[2] == "split"}
    assert splits == {
        ("AAPL", date(2000, 6, 21), "split"): 2.0,
        ("AAPL", date(2005, 2, 28), "split"): 2.0,
        ("MSFT", date(2003, 2, 18), "split"): 2.0,
    }
    assert keyed["MSFT", date(2004, 11, 15), "dividend"] == 3.08  # the special one
    assert keyed["AAPL", date(2012, 8, 9), "dividend"] == 2.65
    assert keyed["IBM", date(2007, 5, 8), "dividend"] == 0.40
    assert found["symbol"].value_counts().to_dict() == {"IBM": 52, "MSFT": 38, "AAPL": 5}


def test_derive_actions__prices_that_the_source_split_adjusted_give_dividends_only(shared_data):
    yahoo = pd.read_parquet(shared_data / "long_history" / "yahoo_long.parquet", filters=[("ticker", "==", "AAPL")])
    yahoo = yahoo.rename(columns={"ticker": "symbol", "date": "session"})
    yahoo["session"] = pd.to_datetime(yahoo["session"])
    found = derive_actions(yahoo)
    by_year = found.groupby(found["session"].dt.year).size()
    assert set(found["kind"]) == {"dividend"}
    assert all(by_year[y] == 4 for y in (*range(1988, 1996), *range(2013, 2023))) and not by_year.loc[1996:2011].size
    assert found.set_index("session").loc["2020-08-07", "value"] == 0.205  # 0.82 paid, before the 4:1


def test_derive_actions__splits_where_only_the_day_before_carries_the_factor(shared_data):
    drops = pd.read_parquet(
        shared_data / "panel" / "us_market_raw_2015.parquet", filters=[("ticker", "in", ["AMSC", "MGA", "AAPL"])]
    )
    drops = drops.rename(columns={"ticker": "symbol", "date": "session"})
    drops["session"] = pd.to_datetime(drops["session"])
    splits = {(s, str(d.date())): v for s, d, k, v in derive_actions(drops).itertuples(index=False) if k == "split"}
    assert splits == {("AMSC", "2015-03-25"): 0.1, ("MGA", "2015-03-26"): 2.0}
