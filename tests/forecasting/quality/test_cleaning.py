"""Cleaning: which rows are set aside and why, that real data passes, and that no row is ever lost."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.quality.cleaning import BAR_COLUMNS, QUARANTINE_COLUMNS, REASONS, Cleaned, clean_bars
from forecasting.schemas import Bars
from forecasting.sessions import sessions_between

LIMIT = date(2024, 3, 28)
DAYS = sessions_between("XNYS", "2024-01-02", "2024-04-05")


def good(symbol: str = "AAPL", n: int = 40, price: float = 100.0) -> pd.DataFrame:
    """n quiet bars from 2024-01-02 on."""
    close = price * (1 + 0.01 * np.sin(np.arange(n)))
    bars = pd.DataFrame({"symbol": symbol, "session": DAYS[:n].astype("datetime64[us]"), "open": close * 0.999})
    return bars.assign(high=close * 1.01, low=close * 0.99, close=close, volume=1000.0 + np.arange(n))[list(BAR_COLUMNS)]


def changed(row: int, **values: object) -> pd.DataFrame:
    bars = good().astype(object)
    for column, value in values.items():
        bars.iloc[row, bars.columns.get_loc(column)] = value
    return bars


def clean(bars: pd.DataFrame, days: object = DAYS, **options) -> Cleaned:
    cleaned = clean_bars(bars, days, LIMIT, **options)
    assert cleaned.received == len(bars) == len(cleaned.bars) + len(cleaned.quarantine) + cleaned.merged
    return cleaned


def reasons(cleaned: Cleaned) -> list[str]:
    return cleaned.quarantine["reason"].tolist()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"close": np.nan}, "nan_close"),
        ({"close": 0.0}, "non_positive_price"),
        ({"low": -3.0}, "non_positive_price"),
        ({"high": np.inf}, "non_finite"),
        ({"close": 1e308}, "implausible_price"),
        ({"volume": -5}, "negative_volume"),
        ({"high": 90.0}, "high_below_low"),
        ({"close": 150.0}, "outside_range"),
        ({"open": 150.0}, "outside_range"),
        ({"session": "2024-01-15"}, "not_a_session"),  # Martin Luther King's day
        ({"session": "2024-01-13"}, "not_a_session"),  # a Saturday
        ({"session": "2031-01-02"}, "future_session"),
        ({"session": "2024-04-01"}, "not_final"),  # the session after the last final one
        ({"session": "yesterday"}, "bad_session"),
        ({"symbol": "../x"}, "bad_symbol"),
        ({"close": "1,234.56"}, "not_a_number"),
        ({"volume": "-"}, "not_a_number"),
    ],
)
def test_clean__sets_the_row_aside_and_goes_on(values: dict, reason: str) -> None:
    cleaned = clean(changed(20, **values))
    assert reasons(cleaned) == [reason] and len(cleaned.bars) == 39
    row = cleaned.quarantine.iloc[0]
    assert row["severity"] == REASONS[reason][0] and row["message"].startswith(REASONS[reason][1])
    assert list(cleaned.quarantine.columns) == list(QUARANTINE_COLUMNS)


def test_clean__keeps_what_came_as_json() -> None:
    row = json.loads(clean(changed(20, high=np.inf, close="1,234.56")).quarantine["row_json"].iloc[0])
    assert row["close"] == "1,234.56" and row["high"] == "inf" and row["symbol"] == "AAPL" and row["session"] == "2024-01-31"


def test_clean__a_row_with_several_faults_has_one_reason_and_names_the_others() -> None:
    cleaned = clean(changed(20, close=-1.0, volume=-1.0))
    assert reasons(cleaned) == ["non_positive_price"]
    assert cleaned.quarantine["message"].iloc[0] == "a price is zero or negative (also negative_volume, outside_range)"


EMPTY = dict.fromkeys(["open", "high", "low", "close", "volume"], np.nan)


def test_clean__an_empty_row_in_between_is_left_out_with_a_warning() -> None:
    cleaned = clean(changed(20, **EMPTY))
    assert len(cleaned.bars) == 39 and cleaned.warnings == ()
    assert cleaned.quarantine[["reason", "severity"]].to_numpy().tolist() == [["empty_row", "warn"]]
    on_a_holiday = clean(changed(20, **EMPTY, session="2024-01-15"))
    assert reasons(on_a_holiday) == ["empty_row"]


def test_clean__an_empty_row_for_the_newest_session_is_a_close_that_is_not_known() -> None:
    assert reasons(clean(changed(39, **EMPTY))) == ["nan_close"]


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0])
def test_clean__one_price_of_a_row_in_another_unit_is_set_aside_as_that(column: str, factor: float) -> None:
    bars = good()
    bars.loc[20, column] *= factor
    assert reasons(clean(bars)) == ["unit_mix"]


@pytest.mark.parametrize(("symbol", "rows"), [("VOD.L", 0), ("AAPL", 3)])
def test_clean__opens_a_little_outside_of_the_range_are_kept_where_they_are_mid_quotes(symbol: str, rows: int) -> None:
    bars = good(symbol)
    bars.loc[[5, 15, 25], "open"] *= 1.03  # the high is 1 % above the close
    cleaned = clean(bars, {"AAPL": DAYS})
    assert reasons(cleaned) == ["outside_range"] * rows
    assert [(w.reason, w.rows) for w in cleaned.warnings] == ([] if rows else [("range_doubtful", 3)])


def test_clean__opens_that_lie_outside_on_every_fifth_day_are_the_way_of_the_venue() -> None:
    bars = good("XYZ.V")
    bars.loc[::5, "open"] *= 1.03
    bars.loc[7, "open"] *= 1.3
    cleaned = clean(bars, None)
    assert reasons(cleaned) == ["outside_range"] and cleaned.quarantine["session"].iloc[0] == bars["session"][7]


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"open": 0.0}, "open_unknown"), ({"open": np.nan}, "open_unknown"), ({"volume": np.nan}, "volume_unknown"),
        ({"high": np.nan}, "range_unknown"), ({"volume": 0.0}, "zero_volume_move"),
    ],
)  # fmt: skip
def test_clean__keeps_the_row_with_a_warning(values: dict, warning: str) -> None:
    cleaned = clean(changed(20, **values))
    assert len(cleaned.bars) == 40
    (warned,) = cleaned.warnings
    assert (warned.symbol, str(warned.session.date()), warned.reason, warned.rows) == ("AAPL", "2024-01-31", warning, 1)
    assert str(cleaned.warnings[0]).startswith("AAPL 2024-01-31: ")


def test_clean__an_unknown_open_is_stored_as_unknown() -> None:
    assert np.isnan(clean(changed(20, open=0.0)).bars["open"].iloc[20])


def test_clean__good_bars_pass_the_schema_of_stored_bars_sorted() -> None:
    bars = pd.concat([good("MSFT"), good("AAPL")]).iloc[::-1]
    cleaned = clean(bars)
    assert len(Bars.validate(cleaned.bars, lazy=True)) == 80 and cleaned.warnings == ()
    assert cleaned.bars.equals(cleaned.bars.sort_values(["symbol", "session"], ignore_index=True))


def test_clean__identical_duplicates_are_merged() -> None:
    cleaned = clean(pd.concat([good(), good().iloc[[3, 3, 7]]]))
    assert len(cleaned.bars) == 40 and cleaned.merged == 3
    assert [(w.reason, w.rows) for w in cleaned.warnings] == [("duplicate_identical", 3)]


def test_clean__conflicting_duplicates_are_both_set_aside() -> None:
    other = good().iloc[[3]].assign(close=lambda f: f["close"] * 1.001)
    cleaned = clean(pd.concat([good(), other]))
    assert reasons(cleaned) == ["duplicate_conflict"] * 2 and len(cleaned.bars) == 39


def test_clean__of_a_good_and_a_broken_duplicate_the_good_one_is_kept() -> None:
    cleaned = clean(pd.concat([good(), good().iloc[[3]].assign(close=np.nan)]))
    assert reasons(cleaned) == ["nan_close"] and len(cleaned.bars) == 40


def test_clean__one_bad_symbol_leaves_the_others_alone() -> None:
    broken = good("BAD").assign(close=-1.0)
    cleaned = clean(pd.concat([good("AAPL"), broken, good("MSFT")]))
    assert set(cleaned.bars["symbol"]) == {"AAPL", "MSFT"} and set(cleaned.quarantine["symbol"]) == {"BAD"}


@pytest.mark.parametrize("days", [-1, 1])
def test_clean__dates_moved_by_a_day_reject_the_symbol(days: int) -> None:
    moved = good("SAP").assign(session=lambda f: f["session"] + pd.Timedelta(days=days))
    cleaned = clean(pd.concat([good(), moved]))
    assert set(reasons(cleaned)) == {"shifted_sessions"} and len(cleaned.quarantine) == 40
    assert set(cleaned.quarantine["severity"]) == {"reject"} and set(cleaned.bars["symbol"]) == {"AAPL"}


def test_clean__a_few_rows_on_holidays_do_not_reject_the_symbol() -> None:
    odd = good().iloc[[1, 2, 3]].assign(session=pd.to_datetime(["2024-01-15", "2024-02-19", "2024-01-20"]).as_unit("us"))
    cleaned = clean(pd.concat([good(), odd]))
    assert reasons(cleaned) == ["not_a_session"] * 3 and len(cleaned.bars) == 40


def test_clean__crypto_trades_on_sunday_and_calendars_may_differ_by_symbol() -> None:
    days = sessions_between("24/7", "2024-01-02", "2024-02-10")
    coin = good("BTC-USD").assign(session=days[:40].astype("datetime64[us]"))
    cleaned = clean(pd.concat([good(), coin]), {"AAPL": DAYS, "BTC-USD": days})
    assert len(cleaned.bars) == 80
    assert len(clean(coin, None).bars) == 40


def test_clean__the_running_session_is_told_from_the_future_without_a_calendar_too() -> None:
    late = good().iloc[[0, 1]].assign(session=pd.to_datetime(["2024-03-29", "2024-04-03"]).as_unit("us"))
    assert reasons(clean(pd.concat([good(), late]), None)) == ["not_final", "future_session"]


@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0])
def test_clean__a_block_in_another_unit_is_set_aside(factor: float) -> None:
    bars = good()
    bars.loc[10:29, ["open", "high", "low", "close"]] *= factor
    cleaned = clean(bars)
    assert reasons(cleaned) == ["unit_jump"] * 20 and len(cleaned.bars) == 20
    assert cleaned.bars["close"].between(98, 102).all()


def test_clean__a_split_explains_a_hundredfold_jump() -> None:
    bars = good()
    bars.loc[10:29, ["open", "high", "low", "close"]] *= 100.0
    days = bars["session"].iloc[[10, 30]].to_numpy()
    actions = pd.DataFrame({"symbol": "AAPL", "session": days, "kind": "split", "value": [0.01, 100.0]})
    assert len(clean(bars, actions=actions).bars) == 40


def test_clean__prices_that_stay_at_a_hundredfold_with_a_hundredth_of_the_volume_are_kept_with_a_warning() -> None:
    bars = good()
    bars.loc[10:, ["open", "high", "low", "close"]] *= 100.0  # a consolidation of shares that nobody named
    bars.loc[10:, "volume"] /= 100.0
    cleaned = clean(bars)
    assert len(cleaned.bars) == 40
    (shift,) = [w for w in cleaned.warnings if w.reason == "level_shift"]
    assert shift.sessions == tuple(bars["session"][:10])


@pytest.mark.parametrize(
    ("symbol", "stored", "set_aside"),
    [
        ("AAPL", None, range(10)),  # the shorter side
        ("AAPL", 100.0, range(10, 40)),  # what does not fit to what is stored
        ("VOD.L", None, range(10)),  # quoted in pence, so that the lower level is the wrong one
    ],
)
def test_clean__prices_that_stay_at_a_hundredfold_with_the_same_volume_changed_their_unit(symbol, stored, set_aside) -> None:
    bars = good(symbol)
    bars.loc[10:, ["open", "high", "low", "close"]] *= 100.0
    cleaned = clean_bars(bars, None, LIMIT, stored={symbol: stored} if stored else None)
    assert reasons(cleaned) == ["unit_jump"] * len(set_aside)
    assert cleaned.quarantine["session"].tolist() == bars["session"][list(set_aside)].tolist()


def test_clean__the_level_at_which_shares_were_traded_is_the_right_one() -> None:
    bars = good("AET.L", 23)
    bars.loc[[*range(4), *range(13, 23)], ["open", "high", "low", "close"]] /= 100.0
    bars["volume"] = 0.0
    bars.loc[11, "volume"] = 532_454.0
    cleaned = clean_bars(bars, None, LIMIT)
    assert reasons(cleaned) == ["unit_jump"] * 14 and cleaned.bars["close"].min() > 98


def test_clean__a_run_without_trades_in_another_unit_is_left_out_with_a_warning() -> None:
    bars = good()
    bars.loc[10:19, ["open", "high", "low", "close"]] = 1.0
    bars.loc[10:19, "volume"] = 0.0
    cleaned = clean(bars)
    assert reasons(cleaned) == ["unit_jump_untraded"] * 10 and set(cleaned.quarantine["severity"]) == {"warn"}


def test_clean__a_batch_at_a_hundred_times_what_is_stored_is_rejected() -> None:
    cleaned = clean(pd.concat([good("AAPL"), good("VOD.L")]), stored={"AAPL": 99.0, "VOD.L": 1.0})
    assert set(reasons(cleaned)) == {"unit_changed"} and set(cleaned.quarantine["symbol"]) == {"VOD.L"}


def test_clean__a_consolidation_between_what_is_stored_and_the_batch_is_no_change_of_unit() -> None:
    actions = pd.DataFrame({"symbol": "VOD.L", "session": good()["session"].iloc[:1], "kind": "split", "value": 0.01})
    assert reasons(clean(good("VOD.L"), stored={"VOD.L": 1.0}, actions=actions)) == []


def test_clean__a_real_day_of_plus_120_percent_is_kept() -> None:
    bars = good()
    bars.loc[20:, ["open", "high", "low", "close"]] *= 2.2
    quiet = clean(bars)
    bars.loc[20, "volume"] = 50_000.0
    assert len(clean(bars).bars) == len(quiet.bars) == 40
    assert [w.reason for w in clean(bars).warnings] == ["large_move"]
    assert [w.reason for w in quiet.warnings] == ["large_move_unconfirmed"]


@pytest.mark.parametrize(("run", "rows"), [(9, 0), (10, 10), (15, 15)])
def test_clean__ten_identical_bars_without_volume_are_stale(run: int, rows: int) -> None:
    bars = good()
    bars.loc[10 : 9 + run, ["open", "high", "low", "close", "volume"]] = [100.0, 100.0, 100.0, 100.0, 0.0]
    cleaned = clean(bars)
    assert len(cleaned.bars) == 40
    assert sum(w.rows for w in cleaned.warnings if w.reason == "stale") == rows


def test_clean__an_index_without_volume_raises_no_warning() -> None:
    assert clean(good("^GSPC").assign(volume=0.0)).warnings == ()
    assert clean(good("EURUSD=X").assign(volume=np.nan)).warnings == ()


def test_clean__empty_and_without_a_needed_column() -> None:
    cleaned = clean(good().head(0))
    assert cleaned.bars.empty and cleaned.quarantine.empty
    with pytest.raises(KeyError, match="volume"):
        clean_bars(good().drop(columns="volume"), DAYS, LIMIT)


def test_clean__dates_as_text_dates_or_with_a_time_zone_are_the_same() -> None:
    expected = clean(good()).bars
    for session in (
        good()["session"].dt.strftime("%Y-%m-%d"),
        good()["session"].dt.date,
        good()["session"].dt.tz_localize("America/New_York"),
    ):
        pd.testing.assert_frame_equal(clean(good().assign(session=session)).bars, expected)


def test_clean__twice_changes_nothing() -> None:
    once = clean(pd.concat([good("A"), changed(5, close=-1.0), good("B").iloc[::-1]])).bars
    twice = clean(once)
    pd.testing.assert_frame_equal(twice.bars, once)
    assert twice.quarantine.empty


ODD = st.sampled_from([np.nan, np.inf, 0.0, -1.0, 1e308, "x", None, 100.0, 101.0, 10_000.0])
CHANGE = st.tuples(st.integers(0, 39), st.sampled_from(["open", "high", "low", "close", "volume", "session", "symbol"]), ODD)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGE, max_size=25), st.lists(st.integers(0, 39), max_size=10), st.randoms(use_true_random=False))
def test_clean__whatever_comes_in_no_row_is_lost_and_what_is_stored_is_sound(changes, repeated, random) -> None:
    bars = good().astype(object)
    for row, column, value in changes:
        text = column in ("session", "symbol") and value is not None
        bars.iloc[row, bars.columns.get_loc(column)] = str(value) if text else value
    bars = pd.concat([bars, bars.iloc[repeated]], ignore_index=True)
    order = list(range(len(bars)))
    random.shuffle(order)
    cleaned = clean(bars.iloc[order])  # counts the rows
    if len(cleaned.bars):
        Bars.validate(cleaned.bars, lazy=True)
    assert set(reasons(cleaned)) <= set(REASONS)
    pd.testing.assert_frame_equal(clean(bars).bars, cleaned.bars)  # the order of arrival does not matter


def shared_bars(shared_data: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(shared_data / name).rename(columns={"ticker": "symbol", "date": "session"})


@pytest.mark.parametrize(
    ("name", "set_aside"),
    [
        ("panel/sp500_adjusted.parquet", {"outside_range": 1}),  # HUBB 2021-05-05 opened 0.1 % below its low
        ("raw_unadjusted/wiki_raw_2000_2013.parquet", {}),  # as traded, with three splits and AAPL's -52 % day
        ("raw_unadjusted/lean_raw.parquet", {}),
        ("index/spy_adjusted_with_dividends.parquet", {}),
        ("index/gspc_1950_2018.parquet", {}),
        ("panel/yahoo_88_2012_2017.parquet", {"empty_row": 2}),
        ("long_history/yahoo_long.parquet", {"outside_range": 2, "high_below_low": 1, "empty_row": 1}),
        ("long_history/google_finance_to_2017.parquet", {"outside_range": 327, "non_positive_price": 9}),
    ],
)
def test_clean__real_data_passes_but_for_its_true_defects(shared_data: Path, name: str, set_aside: dict) -> None:
    bars = shared_bars(shared_data, name)
    days = sessions_between("XNYS", bars["session"].min(), bars["session"].max())
    cleaned = clean_bars(bars, days, date(2024, 1, 1))
    assert dict(Counter(reasons(cleaned))) == set_aside
    assert cleaned.received == len(bars) == len(cleaned.bars) + len(cleaned.quarantine)


def test_clean__real_falls_and_unknown_opens_are_kept(shared_data: Path) -> None:
    wiki = shared_bars(shared_data, "raw_unadjusted/wiki_raw_2000_2013.parquet")
    cleaned = clean_bars(wiki, None, date(2024, 1, 1))
    fall = "AAPL 2000-09-29: the close moved by more than half, on high volume (large_move)"
    split = "MSFT 2003-02-18: prices and volumes changed as at a split, and none is known (split_unexplained)"
    assert [str(w) for w in cleaned.warnings] == [fall, split]  # the two splits of AAPL hide in moves of the same days
    long = shared_bars(shared_data, "long_history/yahoo_long.parquet").query("symbol == 'BA'")
    kept = clean_bars(long, None, date(2024, 1, 1)).bars
    assert (long["open"] == 0).sum() == kept["open"].isna().sum()


def test_clean__bad_ticks_of_a_real_file(shared_data: Path) -> None:
    bars = pd.read_csv(shared_data / "dirty/yahoo_csv/BTTR.csv.gz").rename(columns=str.lower)
    bars = bars.rename(columns={"date": "session"})
    cleaned = clean_bars(bars.assign(symbol="BTTR"), None, date(2024, 1, 1))
    assert reasons(cleaned) == ["unit_jump_untraded"] * 3  # 0.156 to 156 and back
