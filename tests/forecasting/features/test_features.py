"""Features: the compiled passes against slow loops and TA-Lib, warm-up, memory, and what may not change a bit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import SettingError
from forecasting.features import (
    DEFAULT_FEATURES,
    WHOLE_HISTORY,
    compute_features,
    describe,
    ewma_volatility,
    expand,
    feature,
    known_names,
    log_returns,
    register,
)
from forecasting.features import registry as features_module
from forecasting.features.sets import CORE
from forecasting.panel import Panel
from tests.references import features as slow
from tests.references.market import small_actions, small_bars, small_macro, small_panel

TECHNICAL = (
    "close_lag_1", "close_lag_10", "return_1", "return_5", "sma_20", "ema_12", "rsi_14", "macd", "macd_signal", "macd_hist",
    "bollinger_20", "bollinger_width_20", "atr_14", "obv", "volatility_20", "skew_20", "slope_10", "stochastic_14",
    "stochastic_signal_14", "log_volume", "close", "high", "low", "sma_level_10", "ema_level_10", "atr_level_14", "obv_level",
    "close_level_lag_2", "open", "macro_VIX", "macro_change_VIX", "macro_place_DGS10", "momentum_5", "cmo_9", "z_score_20",
    "adx_5", "kama_10", "trix_8", "kurtosis_20", "yang_zhang_10", "jump_share_60", "roll_spread_20", "beta_20", "saturday",
)  # fmt: skip
ALL = tuple(dict.fromkeys((*DEFAULT_FEATURES, *TECHNICAL, *expand(["set:all"]))))
SERIES = ("VIX", "VIX3M", "DGS2", "DGS10", "DGS30", "DFF", "BAA10Y", "T10YIE", "DTWEXBGS", "DCOILWTICO")


def same_bits(one: np.ndarray, two: np.ndarray) -> bool:
    return np.array_equal(one.view(np.uint32), two.view(np.uint32))


def whole_macro(days: np.ndarray) -> pd.DataFrame:
    """Every series that a feature asks for, with a value on each of the days and the two months before them."""
    days = pd.DatetimeIndex(days)
    every = days.union(pd.bdate_range(days[0] - pd.Timedelta(days=60), days[0])).as_unit("us")
    walk = np.cumsum(np.random.default_rng(8).normal(0, 0.01, (len(SERIES), len(every))), axis=1)
    parts = [pd.DataFrame({"series": s, "session": every, "value": 20 * np.exp(x)}) for s, x in zip(SERIES, walk, strict=True)]
    return pd.concat(parts, ignore_index=True)


def test_default_features__are_the_fifteen_of_the_recipe_and_eleven_of_events() -> None:
    assert len(DEFAULT_FEATURES) == 26
    assert DEFAULT_FEATURES[:3] == ("ret", "abs_ret", "overnight")


@pytest.mark.parametrize("market", [("S0", "S1", "S2", "S3"), ("S1", "S3")])
def test_core_features__equal_the_slow_loops(market: tuple[str, ...]) -> None:
    panel, macro = small_panel(), small_macro()
    fast = compute_features(panel, CORE, market_symbols=market, macro=macro)
    plain = slow.default_features(panel, macro, market)
    assert fast.values.dtype == np.float32 and fast.values.flags.c_contiguous
    for column, name in enumerate(CORE):
        np.testing.assert_allclose(fast.values[:, column], plain[name], rtol=2e-5, atol=2e-6, equal_nan=True, err_msg=name)


def test_windows__equal_the_slow_loops() -> None:
    panel = small_panel(symbols=1)
    h = slow.history(panel, 0)
    values = compute_features(panel, ("volatility_7", "skew_7", "slope_7", "sma_level_7", "bollinger_7", "stochastic_7")).values
    mean, std = slow.windowed(h.close, 7, "mean"), slow.windowed(h.close, 7, "std")
    top, bottom = slow.windowed(h.high, 7, "max"), [-x for x in slow.windowed([-x for x in h.low], 7, "max")]
    expected = [
        slow.windowed(h.returns, 7, "std"), slow.windowed(h.returns, 7, "skew"),
        slow.windowed([np.log(c) for c in h.close], 7, "slope"), mean,
        [0.5 + (c - m) / (4 * s) for c, m, s in zip(h.close, mean, std, strict=True)],
        [100 * (c - b) / (t - b) for c, t, b in zip(h.close, top, bottom, strict=True)],
    ]  # fmt: skip
    np.testing.assert_allclose(values.T, np.array(expected), rtol=1e-5, atol=1e-6)


def test_technical_features__equal_ta_lib() -> None:
    talib = pytest.importorskip("talib")
    bars = small_bars(symbols=1).assign(open=lambda f: f["open"].fillna(f["close"]))
    panel = Panel.from_frames(bars)
    high, low, close, volume = panel.high, panel.low, panel.close, panel.volume
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    macd, signal, histogram = talib.MACD(close)  # shown only where the signal exists
    k, d = talib.STOCHF(high, low, close, 14, 3)
    expected = {
        "sma_level_20": talib.SMA(close, 20), "ema_level_12": talib.EMA(close, 12), "rsi_14": talib.RSI(close, 14),
        "macd": macd / close, "macd_signal": signal / close, "macd_hist": histogram / close,
        "bollinger_20": (close - lower) / (upper - lower), "bollinger_width_20": (upper - lower) / middle,
        "atr_level_14": talib.ATR(high, low, close, 14), "obv_level": talib.OBV(close, volume),
        "slope_10": talib.LINEARREG_SLOPE(np.log(close), 10), "stochastic_14": k, "stochastic_signal_14": d,
    }  # fmt: skip
    values = compute_features(panel, tuple(expected)).values
    for column, (name, reference) in enumerate(expected.items()):
        known = np.isfinite(reference)
        assert known.sum() > 250, name
        np.testing.assert_allclose(values[known, column], reference[known], rtol=1e-6, atol=2e-7, err_msg=name)


def test_close_lag__is_the_log_of_the_earlier_close_over_the_last() -> None:
    bars = small_bars(symbols=1).head(4).assign(close=[10.0, 11.0, 12.0, 6.0], open=1.0, high=20.0, low=1.0)
    actions = pd.DataFrame({"symbol": ["S0"], "session": bars["session"].iloc[[3]], "kind": ["split"], "value": [2.0]})
    panel = Panel.from_frames(bars, actions)
    values = compute_features(panel, ("close_lag_1", "close_lag_2", "close", "close_level_lag_1")).values
    expected = [  # the 6.00 after a 2:1 split are 12.00 in units of the first row
        [np.nan, np.nan, 10.0, np.nan],
        [np.log(10 / 11), np.nan, 11.0, 10.0],
        [np.log(11 / 12), np.log(10 / 12), 12.0, 11.0],
        [0.0, np.log(11 / 12), 12.0, 12.0],
    ]
    np.testing.assert_allclose(values, np.array(expected), rtol=1e-6)


def test_log_returns__pay_dividends_and_undo_splits() -> None:
    bars = small_bars(symbols=1).head(3).assign(close=[100.0, 51.0, 50.0])
    actions = pd.DataFrame({
        "symbol": "S0", "session": bars["session"].iloc[[1, 2]].to_numpy(), "kind": ["split", "dividend"], "value": [2.0, 1.0],
    })  # fmt: skip
    returns = log_returns(Panel.from_frames(bars, actions))
    np.testing.assert_allclose(returns, [np.nan, np.log(102 / 100), 0.0], atol=1e-15)


def test_ewma_volatility__starts_at_the_mean_square_of_twenty_returns() -> None:
    close = 100 * np.cumprod(np.append(1.0, np.tile([1.01, 1 / 1.01], 11)))  # 22 returns, all +-log 1.01
    bars = small_bars(symbols=1).head(23).assign(close=close)
    volatility = ewma_volatility(Panel.from_frames(bars))
    assert np.isnan(volatility[:20]).all()
    np.testing.assert_allclose(volatility[20:], np.log(1.01), rtol=1e-12)


@pytest.fixture(scope="module")
def young() -> np.ndarray:
    """All features of one symbol whose every cell is known, from its first row on."""
    bars = small_bars(symbols=1).assign(open=lambda f: f["open"].fillna(f["close"]))
    return compute_features(Panel.from_frames(bars), ALL, macro=whole_macro(bars["session"].unique())).values


@pytest.mark.parametrize("name", ALL)
def test_warm_up__is_exactly_the_rows_that_are_unknown(name: str, young: np.ndarray) -> None:
    values, warm_up = young[:, ALL.index(name)], feature(name).warm_up
    if feature(name).inputs == ("macro",):  # known before the first session, but changes count from it
        warm_up = {"macro_place_DGS10": 249}.get(name, feature(name).memory)
    assert np.isnan(values[:warm_up]).all()
    assert np.isfinite(values[warm_up:]).all()


MEMORIES = sorted({max(feature(name).memory, feature(name).warm_up) for name in ALL if feature(name).memory != WHOLE_HISTORY})


@pytest.mark.parametrize("memory", MEMORIES)
def test_memory__values_from_that_much_history_agree_with_the_whole(memory: int, long_history) -> None:
    """K23: what the daily run computes from a shorter history is what training computed from a longer one."""
    bars, macro, whole = long_history
    names = [n for n in ALL if feature(n).memory != WHOLE_HISTORY and max(feature(n).memory, feature(n).warm_up) == memory]
    days = np.sort(bars["session"].unique())
    recent = Panel.from_frames(bars[bars["session"] >= days[-memory - 1]])
    values = compute_features(recent, names, macro=macro).values
    for column, name in enumerate(names):
        known = whole[:, ALL.index(name)]
        spread = np.nanstd(known) if np.isfinite(known).any() else 0.0
        assert abs(values[-1, column] - known[-1]) <= 1e-4 * spread, name


@pytest.fixture(scope="module")
def long_history() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Three symbols over 1,600 sessions without a pause, every macro series, and all features of the whole."""
    bars = small_bars(symbols=4, sessions=1_600)[lambda f: f["symbol"] != "S2"]
    macro = whole_macro(bars["session"].unique())
    return bars, macro, compute_features(Panel.from_frames(bars), ALL, macro=macro).values


def test_threads__change_no_bit() -> None:
    panel, macro = small_panel(symbols=9, sessions=3_000), small_macro()
    assert len(features_module._blocks(panel.starts)) > 1
    one, two = (compute_features(panel, ALL, macro=macro, threads=n).values for n in (1, 2))
    assert same_bits(one, two)


@pytest.mark.parametrize("rows", [1, 700, 1_000_000])
def test_how_many_rows_are_computed_together__changes_no_bit(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    panel, macro = small_panel(), small_macro()
    expected = compute_features(panel, ALL, macro=macro).values
    monkeypatch.setattr(features_module, "BLOCK_ROWS", rows)
    assert len(features_module._blocks(panel.starts)) == {1: 4, 700: 2, 1_000_000: 1}[rows]
    assert same_bits(compute_features(panel, ALL, macro=macro).values, expected)


def test_a_feature_with_the_name_of_one_that_others_rank__is_still_its_own() -> None:
    """The event features ask for volume_surprise of all symbols; a planted one of that name must not be replaced by it."""
    planted = replace(feature("volume_surprise"), compute=lambda block: np.full(len(block.at), 7.0))
    values = compute_features(small_panel(), (planted, "jump_10", "volume_surprise")).values
    assert (values[:, 0] == 7.0).all() and np.nanstd(values[:, 2]) > 0.1


def test_another_symbol__changes_no_bit_of_the_others() -> None:
    market, macro = ("S0", "S1", "S3"), small_macro()
    bars = small_bars()
    stranger = small_bars(symbols=1, seed=99).assign(symbol="A", session=lambda f: f["session"] + pd.Timedelta(days=1))
    alone = Panel.from_frames(bars, small_actions())
    among = Panel.from_frames(pd.concat([stranger, bars]), small_actions())  # 'A' sorts first and trades on Saturdays
    expected = compute_features(alone, ALL, market_symbols=market, macro=macro).values
    actual = compute_features(among, ALL, market_symbols=market, macro=macro).values
    keep = np.array(among.symbols)[among.symbol_index] != "A"
    assert len(among.sessions) > len(alone.sessions)
    # changes count sessions of the panel, and there are more of them now: those on which a bar of the exchange lies
    without = [i for i, n in enumerate(ALL) if feature(n).inputs != ("macro",) or feature(n).memory == 0]
    assert len(without) > len(ALL) - 14 and same_bits(actual[keep][:, without], expected[:, without])


def test_default_market__is_all_symbols() -> None:
    panel = small_panel()
    one = compute_features(panel, ("market_return",)).values
    two = compute_features(panel, ("market_return",), market_symbols=panel.symbols).values
    fewer = compute_features(panel, ("market_return",), market_symbols=("S0",)).values
    assert same_bits(one, two) and not same_bits(one, fewer)


def test_a_gap_of_two_months__is_not_a_return() -> None:
    panel = small_panel()
    begin = panel.starts[2]
    assert np.isnan(compute_features(panel, ("ret",)).values[begin + 150, 0])
    assert np.isfinite(compute_features(panel, ("ret",)).values[begin + 151, 0])


def test_macro__a_value_older_than_two_weeks_is_not_known() -> None:
    panel = small_panel(symbols=1)
    macro = pd.DataFrame({"series": "VIX", "session": [pd.Timestamp("2021-03-01")], "value": [40.0]})
    level = pd.Series(compute_features(panel, ("vix_level",), macro=macro).values[:, 0], index=panel.session)
    assert level["2021-02-26"] == 0.0  # not public yet
    np.testing.assert_allclose(level["2021-03-01":"2021-03-15"], np.log(2.0), rtol=1e-6)
    assert (level["2021-03-16":] == 0.0).all()


def test_macro__a_monthly_value_is_known_until_the_next_one_and_not_for_ever() -> None:
    """1.6 times the longest of three pauses: 29 days here, so 46 days; the first of a series has only the two weeks."""
    panel = Panel.from_frames(small_bars(symbols=1))
    sessions = pd.to_datetime(["2021-02-10", "2021-03-11", "2021-03-12"]).as_unit("us")  # corrected on the next day
    told = pd.DataFrame({"series": "CPI", "session": sessions, "value": [1.0, 2.0, 2.5]})
    known = compute_features(panel, ["macro_CPI"], macro=told).values[:, 0]
    days = [[str(d) for d in panel.session[known == value][[0, -1]]] for value in (1.0, 2.0, 2.5)]
    assert days == [["2021-02-10", "2021-02-24"], ["2021-03-11", "2021-03-11"], ["2021-03-12", "2021-04-27"]]


def test_unknown_cells__an_open_an_index_without_volume_and_a_flat_bar() -> None:
    bars = small_bars(symbols=1).assign(open=np.nan, volume=0.0, high=lambda f: f["close"], low=lambda f: f["close"])
    names = ("overnight", "volume_surprise", "range", "range_vol", "obv", "atr_14")
    values = compute_features(Panel.from_frames(bars), names).values
    assert np.isfinite(values[25:]).all()
    assert (values[25:, :5] == 0.0).all()


def test_constant_series__has_no_scale_and_no_infinity() -> None:
    bars = small_bars(symbols=1).assign(open=5.0, high=5.0, low=5.0, close=5.0)
    panel = Panel.from_frames(bars)
    assert np.isnan(ewma_volatility(panel)).all()
    values = compute_features(panel, ALL).values
    assert not np.isinf(values).any()
    assert (values[30:, ALL.index("rsi_14")] == 50.0).all() and (values[30:, ALL.index("bollinger_20")] == 0.5).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.01, 1e6), min_size=1, max_size=70),
    st.integers(2, 25),
)
def test_any_prices__a_window_holds_exactly_its_rows(closes: list[float], n: int) -> None:
    days = pd.bdate_range("2022-01-03", periods=len(closes)).as_unit("us")
    frame = pd.DataFrame({"symbol": "S", "session": days, "close": closes}).assign(
        open=closes, high=closes, low=closes, volume=1.0
    )
    values = compute_features(Panel.from_frames(frame), (f"sma_level_{n}", f"bollinger_width_{n}", f"stochastic_{n}")).values
    for t in range(len(closes)):
        if t < n - 1:
            assert np.isnan(values[t]).all()
            continue
        window = np.array(closes[t - n + 1 : t + 1])
        place = 50.0 if np.ptp(window) == 0 else 100 * (window[-1] - window.min()) / np.ptp(window)
        expected = (window.mean(), 4 * window.std() / window.mean(), place)
        np.testing.assert_allclose(values[t], expected, rtol=1e-4, atol=1e-4)


def test_a_bad_tick__is_forgotten_by_a_window() -> None:
    bars = small_bars(symbols=1)
    bad = bars.assign(close=np.where(bars.index == 50, 1e8, bars["close"]))
    names = ("sma_20", "bollinger_20", "bollinger_width_20", "slope_20", "skew_20")
    clean, dirty = (compute_features(Panel.from_frames(b), names).values for b in (bars, bad))
    assert not np.allclose(clean[55], dirty[55])
    assert same_bits(clean[92:], dirty[92:])


def test_unknown_feature__names_what_there_is() -> None:
    for name in ("nope", "rsi", "rsi_0", "rsi_x", "macro_vix", "ret_3", "close_lag_00001"):
        with pytest.raises(SettingError, match=r"docs/features\.md has them all"):
            feature(name)
    with pytest.raises(SettingError, match="such as rsi_n"):
        feature("rsi")


def test_describe__every_feature_has_a_definition_and_a_warm_up() -> None:
    table = describe()
    assert list(table["name"]) == list(known_names()) and len(table) > 130
    assert table["definition"].str.endswith(".").all()
    row = describe(("rsi_14",)).iloc[0]
    assert (row["warm_up"], row["memory"]) == ("14", "280") and "14 sessions" in row["definition"]


def test_register__a_feature_of_ones_own() -> None:
    try:

        @register(inputs=("high", "low"), warm_up=0)
        def half_range(block) -> np.ndarray:
            """Half of high less low."""
            return 0.5 * (block.high - block.low)

        panel = small_panel()
        values = compute_features(panel, ("half_range", "ret")).values
        factor = compute_features(panel, ("close",)).values[:, 0] / panel.close
        np.testing.assert_allclose(values[:, 0], 0.5 * (panel.high - panel.low) * factor, rtol=1e-5)
        assert feature("half_range").group == "user"
    finally:
        features_module._FAMILIES.pop("half_range", None)


def test_no_rows__gives_no_values() -> None:
    empty = small_panel().until("2000-01-01")
    assert compute_features(empty, DEFAULT_FEATURES).values.shape == (0, 26)


def test_kernels__work_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A project in a read-only folder, a user without a home: compiled in memory, same values."""
    if hasattr(sys, "getwindowsversion"):
        pytest.skip("POSIX permissions")
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import numpy as np, forecasting.features.kernels as k\n"
        "print(k.cumulative(np.array([0, 3]), np.array([1.0, 2.0, 3.0]))[-1])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "6.0", done.stderr


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-300, 1e300))
def test_logarithm__is_within_one_unit_in_the_last_place(x: float) -> None:
    from forecasting.features.kernels import logarithm

    values = logarithm(np.array([x, 1.0, 0.0, -1.0, np.inf, np.nan]))
    exact = np.log(np.longdouble(x))
    assert abs(values[0] - exact) <= np.spacing(abs(float(exact)) + 1e-300)
    assert values[1] == 0.0 and np.isnan(values[2:]).all()
