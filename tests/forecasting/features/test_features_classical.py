"""The classical indicators against TA-Lib, and where TA-Lib has none against loops written from the definition."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.features import compute_features
from forecasting.panel import Panel
from tests.references import features as slow
from tests.references.market import small_bars, small_panel


def whole_panel() -> Panel:
    """One symbol whose every cell is known: TA-Lib has no holes."""
    return Panel.from_frames(small_bars(symbols=1).assign(open=lambda f: f["open"].fillna(f["close"])))


def test_indicators__equal_ta_lib() -> None:
    talib = pytest.importorskip("talib")
    panel = whole_panel()
    open_, high, low, close, volume = panel.open, panel.high, panel.low, panel.close, panel.volume
    line = np.arange(len(close), dtype=np.float64)
    gathered = talib.AD(high, low, close, volume)
    up, down = talib.AROON(high, low, 25)[::-1]
    expected = {
        "adx_14": talib.ADX(high, low, close, 14), "adx_5": talib.ADX(high, low, close, 5),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14), "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "cci_20": talib.CCI(high, low, close, 20), "williams_14": talib.WILLR(high, low, close, 14),
        "mfi_14": talib.MFI(high, low, close, volume, 14), "roc_10": talib.ROC(close, 10), "trix_15": talib.TRIX(close, 15),
        "aroon_up_25": up, "aroon_down_25": down, "aroon_25": talib.AROONOSC(high, low, 25),
        "aroon_3": talib.AROONOSC(high, low, 3),
        "ultimate": talib.ULTOSC(high, low, close), "balance_of_power": talib.BOP(open_, high, low, close),
        "stochastic_rsi_14": talib.STOCHRSI(close, 14, 14, 1)[0], "ppo": talib.PPO(close, 12, 26, 1),
        "wma_20": close / talib.WMA(close, 20) - 1, "dema_20": close / talib.DEMA(close, 20) - 1,
        "tema_20": close / talib.TEMA(close, 20) - 1, "kama_20": close / talib.KAMA(close, 20) - 1,
        "trend_fit_20": talib.CORREL(np.log(close), line, 20) ** 2, "high_distance_50": np.log(close / talib.MAX(high, 50)),
        "low_distance_50": np.log(close / talib.MIN(low, 50)),
        "z_score_20": (close - talib.SMA(close, 20)) / talib.STDDEV(close, 20),
        "accumulation_20": (gathered[20:] - gathered[:-20]) / (20 * talib.SMA(volume, 20)[20:]),
        "atr_14": talib.NATR(high, low, close, 14) / 100, "return_10": np.log(talib.ROCR(close, 10)),
    }  # fmt: skip
    values = compute_features(panel, tuple(expected)).values
    for column, (name, reference) in enumerate(expected.items()):
        mine = values[len(values) - len(reference) :, column]
        known = np.isfinite(reference)
        assert known.sum() > 230, name
        np.testing.assert_allclose(mine[known], reference[known], rtol=2e-6, atol=2e-5, err_msg=name)


def test_cmo__is_rises_less_falls_over_both() -> None:
    panel = whole_panel()
    change = np.append(np.nan, np.diff(panel.close))
    values = compute_features(panel, ("cmo_9",)).values[:, 0]
    for t in (9, 50, 329):
        last = change[t - 8 : t + 1]
        np.testing.assert_allclose(values[t], 100 * last.sum() / np.abs(last).sum(), rtol=1e-5)
    assert np.isnan(values[8])


def test_indicators__a_split_changes_nothing_but_the_level() -> None:
    """Splits and gaps, unknown opens and days without volume: bounded where they are bounded, known after the warm-up."""
    panel = small_panel()
    names = (
        "adx_14",
        "plus_di_14",
        "aroon_up_25",
        "mfi_14",
        "ultimate",
        "stochastic_rsi_14",
        "williams_14",
        "cmo_14",
        "accumulation_20",
    )
    values = compute_features(panel, names).values
    bounds = [(0, 100)] * 6 + [(-100, 0), (-100, 100), (-1, 1)]
    for column, (low, high) in enumerate(bounds):
        known = values[np.isfinite(values[:, column]), column]
        assert len(known) > 0.85 * len(values) and low - 1e-3 <= known.min() and known.max() <= high + 1e-3, names[column]


def test_indicators__of_a_price_that_does_not_move_are_in_the_middle() -> None:
    bars = small_bars(symbols=1).assign(open=5.0, high=5.0, low=5.0, close=5.0)
    names = (
        "adx_14", "plus_di_14", "cci_20", "mfi_14", "trend_fit_20", "stochastic_rsi_14", "ultimate", "balance_of_power",
        "cmo_14", "kama_20", "trix_15", "z_score_20", "accumulation_20",
    )  # fmt: skip
    values = compute_features(Panel.from_frames(bars), names).values[60:]
    expected = [0, 0, 0, 50, 0, 50, 50, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(values, np.tile(expected, (len(values), 1)), atol=1e-5)


def test_windows_of_moments__equal_the_definition() -> None:
    panel = small_panel(symbols=1)
    returns = np.array(slow.history(panel, 0).returns)
    values = compute_features(panel, ("kurtosis_9", "z_score_9")).values
    for t in (9, 40, 200):
        last = returns[t - 8 : t + 1] - returns[t - 8 : t + 1].mean()
        np.testing.assert_allclose(values[t, 0], (last**4).mean() / (last**2).mean() ** 2 - 3, rtol=1e-4)
