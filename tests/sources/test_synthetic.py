"""The synthetic market: its truth is known, and it is the same every time."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.actions import derive_actions
from forecasting.errors import NoSession, SettingError, UnknownSymbol
from forecasting.sessions import sessions_between
from sources.synthetic import SyntheticMarket, SyntheticSource
from sources.synthetic_defects import DEFECTS


def closes(market: SyntheticMarket) -> pd.DataFrame:
    return market.drawn.bars.pivot(index="session", columns="symbol", values="close")


def log_returns(market: SyntheticMarket) -> pd.DataFrame:
    return np.log(closes(market)).diff().iloc[1:]


def test_synthetic__equal_seeds_give_equal_bits_and_others_do_not():
    one, same = SyntheticMarket(seed=1, symbols=3, sessions=300), SyntheticMarket(seed=1, symbols=3, sessions=300)
    assert one.drawn.bars.equals(same.drawn.bars) and one.drawn.actions.equals(same.drawn.actions)
    assert one.identity() == same.identity() != SyntheticMarket(seed=2, symbols=3, sessions=300).identity()
    assert not one.drawn.bars.equals(SyntheticMarket(seed=2, symbols=3, sessions=300).drawn.bars)


@pytest.mark.parametrize("kind", ["market", "random_walk"])
def test_synthetic__more_symbols_and_later_sessions_change_nothing_before(kind):
    alone = SyntheticMarket(symbols=("MID",), sessions=500, kind=kind, signal=0.1).drawn.bars
    crowd = SyntheticMarket(
        symbols=("AAA", "MID", "ZZZ", *(f"X{i}" for i in range(30))), sessions=700, kind=kind, signal=0.1
    ).drawn.bars
    again = crowd[crowd["symbol"] == "MID"].head(len(alone)).reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, again, check_exact=True)


def test_synthetic__bars_are_sound_and_on_the_exchange_s_sessions():
    bars = SyntheticMarket(symbols=30, sessions=600).drawn.bars
    assert (bars["low"] > 0).all() and (bars["volume"] >= 0).all() and not bars.duplicated(["symbol", "session"]).any()
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all() and (
        bars["low"] <= bars[["open", "close"]].min(axis=1)
    ).all()
    days = bars["session"].to_numpy().astype("datetime64[D]")
    assert np.isin(days, sessions_between("XNYS", "2015-01-02", "2018-01-01")).all() and days.min() == np.datetime64(
        "2015-01-02"
    )


def test_synthetic__market_has_clustering_a_common_factor_and_volume_with_volatility():
    market = SyntheticMarket(symbols=40, sessions=1500, events=False)
    r = log_returns(market)
    assert r.abs().apply(lambda c: c.autocorr(1)).mean() > 0.12 and r.kurt().mean() > 1.0
    assert r.corr().to_numpy()[np.triu_indices(40, 1)].mean() > 0.15
    volume = np.log(market.drawn.bars.pivot(index="session", columns="symbol", values="volume")).iloc[1:]
    assert np.mean([volume[s].corr(r[s].abs()) for s in r]) > 0.3


def test_synthetic__random_walk_has_nothing_in_it():
    r = log_returns(SyntheticMarket(symbols=60, sessions=2500, kind="random_walk"))
    noise = 1.0 / np.sqrt(r.size)
    assert (
        abs(r.apply(lambda c: c.autocorr(1)).mean()) < 4 * noise
        and abs(r.abs().apply(lambda c: c.autocorr(1)).mean()) < 4 * noise
    )
    assert abs(r.kurt().mean()) < 0.05 and abs((r.mean() / r.std()).mean()) < 4 * noise
    assert SyntheticMarket(symbols=5, sessions=300, kind="random_walk").drawn.actions.empty


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, -0.02, 0.02), (0.15, 0.13, 0.21), (0.3, 0.37, 0.49)])
def test_synthetic__signal_is_as_strong_as_it_says(strength, low, high):
    r = log_returns(SyntheticMarket(symbols=40, sessions=1500, kind="random_walk", signal=strength))
    past = r.rolling(5).sum().shift(1)
    assert low < np.mean([r[s].corr(past[s]) for s in r]) < high


def test_synthetic__splits_and_dividends_show_in_the_prices():
    drawn = SyntheticMarket(symbols=60, sessions=1500).drawn
    splits = drawn.actions[drawn.actions["kind"] == "split"]
    assert len(splits) > 20 and (drawn.actions["kind"] == "dividend").sum() > 200
    jumps = drawn.bars.assign(jump=drawn.bars.groupby("symbol")["close"].transform(lambda c: c.shift() / c))
    seen = splits.merge(jumps, on=["symbol", "session"])
    assert np.abs(np.log(seen["jump"] / seen["value"])).median() < 0.05


def test_synthetic__derive_actions_finds_what_was_drawn():
    drawn = SyntheticMarket(symbols=12, sessions=1000).drawn
    halted_or_plain = []
    for symbol, bars in drawn.bars.groupby("symbol"):
        mine = drawn.actions[drawn.actions["symbol"] == symbol]
        mine = mine[mine["session"].isin(bars["session"])]
        close, session = bars["close"].to_numpy(), bars["session"].to_numpy()
        factor = np.ones(len(close))
        for _, day, kind, value in mine.itertuples(index=False):
            at = int(np.searchsorted(session, np.datetime64(day)))
            factor[:at] *= 1 / value if kind == "split" else 1 - value / close[at - 1]
        found = derive_actions(bars.assign(adj_close=close * factor))
        assert found[["session", "kind"]].to_numpy().tolist() == mine[["session", "kind"]].to_numpy().tolist()
        np.testing.assert_allclose(found["value"], mine["value"], rtol=1e-5)
        halted_or_plain.append(len(mine))
    assert sum(halted_or_plain) > 50


def test_synthetic__halts_late_listings_and_delistings():
    bars = SyntheticMarket(symbols=200, sessions=1500).drawn.bars
    spans = bars.groupby("symbol")["session"].agg(["min", "max", "size"])
    assert 5 < (spans["min"] > pd.Timestamp("2015-02-01")).sum() < 60 and 3 < (spans["max"] < spans["max"].max()).sum() < 60
    assert (spans["size"] < 1500).mean() > 0.5  # some sessions are missing in most


def test_synthetic__cents():
    bars = SyntheticMarket(symbols=5, sessions=200, cents=True).drawn.bars
    prices = bars[["open", "high", "low", "close"]].to_numpy()
    np.testing.assert_array_equal(prices, np.round(prices, 2))
    assert (bars["high"] >= bars["low"]).all()


def test_synthetic__defects_are_where_they_are_said_to_be():
    clean = SyntheticMarket(symbols=len(DEFECTS), sessions=400, events=False).drawn
    dirty = SyntheticMarket(symbols=len(DEFECTS), sessions=400, events=False, defects=True).drawn
    assert [p.defect for p in dirty.planted] == list(DEFECTS) and not clean.planted
    at = {
        p.defect: dirty.bars[(dirty.bars["symbol"] == p.symbol) & dirty.bars["session"].isin(p.sessions)] for p in dirty.planted
    }
    assert (at["high_below_low"]["high"] < at["high_below_low"]["low"]).all()
    assert (
        (at["zero_price"]["close"] == 0).all()
        and (at["negative_price"]["low"] < 0).all()
        and at["missing_close"]["close"].isna().all()
    )
    assert len(at["duplicate_session"]) == 2 and at["duplicate_session"]["close"].nunique() == 2
    assert len(at["unit_jump"]) == 20 and len(at["stale_repeats"]) == 10 and (at["stale_repeats"]["volume"] == 0).all()
    assert at["weekend_row"]["session"].dt.weekday.tolist() == [5]
    untouched = dirty.bars.merge(clean.bars, how="inner")
    assert len(clean.bars) - len(untouched) == 4 + 20 + 10


def test_synthetic__as_a_source():
    source = SyntheticSource(seed=3, symbols=["B", "A"], sessions=100, start="2020-01-02")
    got = source.fetch(["A", "C"], date(2020, 3, 2), date(2020, 3, 6))
    assert source.symbols() == ("A", "B") and got.bars["session"].dt.date.tolist() == [
        date(2020, 3, d) for d in (2, 3, 4, 5, 6)
    ]
    assert isinstance(got.failures["C"], UnknownSymbol)
    assert isinstance(source.fetch(["A"], date(2030, 1, 1)).failures["A"], NoSession)


@pytest.mark.parametrize("wrong", [{"kind": "crash"}, {"signal": 0.9}, {"sessions": 1}, {"symbols": 0}, {"start": "soon"}])
def test_synthetic__wrong_options(wrong):
    with pytest.raises(SettingError, match=f"synthetic.{next(iter(wrong))}"):
        SyntheticSource(**wrong)
