"""Volatility and liquidity features against their formulas, written out row by row from plain lists."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from forecasting.features import compute_features
from forecasting.panel import Panel
from tests.references import features as slow
from tests.references.market import small_actions, small_bars, small_panel

ROWS = (25, 60, 130, 329)
LOG2 = math.log(2)


class Told:
    """One symbol's bars as plain lists with what all definitions share."""

    def __init__(self, panel: Panel, i: int) -> None:
        self.h = slow.history(panel, i)
        self.r = self.h.returns
        self.scale = [math.sqrt(v) for v in slow.ewma_variance(self.r, 0.94)]
        self.raw = self.h.raw
        self.value = [c * v / 1e6 for c, v in zip(self.raw["close"], self.raw["volume"], strict=True)]

    def night(self, t: int) -> float:
        return slow._overnight(self.h, t)

    def parkinson(self, t: int) -> float:
        high, low = self.raw["high"][t], self.raw["low"][t]
        return math.log(high / low) ** 2 / (4 * LOG2) if high > low else math.nan

    def garman_klass(self, t: int) -> float:
        o, c = self.raw["open"][t], self.raw["close"][t]
        if math.isnan(o):
            return self.parkinson(t)
        return math.log(self.raw["high"][t] / self.raw["low"][t]) ** 2 / 2 - (2 * LOG2 - 1) * math.log(c / o) ** 2

    def rogers_satchell(self, t: int) -> float:
        o, h, low, c = (self.raw[name][t] for name in ("open", "high", "low", "close"))
        if math.isnan(o):
            return self.parkinson(t)
        return math.log(h / c) * math.log(h / o) + math.log(low / c) * math.log(low / o)

    def over_scale(self, one, t: int, n: int) -> float:
        known = [x for x in (one(k) for k in range(t - n + 1, t + 1)) if not math.isnan(x)]
        return math.log(math.sqrt(sum(known) / len(known)) / self.scale[t]) if known else 0.0

    def yang_zhang(self, t: int, n: int) -> float:
        k = 0.34 / (1.34 + (n + 1) / (n - 1))
        span = range(t - n + 1, t + 1)
        night = np.var([self.night(j) for j in span], ddof=1)
        bodies = [self.raw["close"][j] / self.raw["open"][j] for j in span]
        day = np.var([0.0 if math.isnan(x) else math.log(x) for x in bodies], ddof=1)
        ranges = np.mean([self.rogers_satchell(j) for j in span])
        return math.log(math.sqrt(night + k * day + (1 - k) * ranges) / self.scale[t])

    def last(self, values: list, t: int, n: int) -> np.ndarray:
        return np.array(values[t - n + 1 : t + 1])


def check(name: str, expected, panel: Panel, symbols: tuple[int, ...] = (0, 3), rows: tuple[int, ...] = ROWS) -> None:
    """``expected(told, t)`` is the value of row t; compared for two symbols, one of them with a split and dividends."""
    values = compute_features(panel, (name,)).values[:, 0]
    for i in symbols:
        told = Told(panel, i)
        for t in rows:
            np.testing.assert_allclose(
                values[panel.starts[i] + t], expected(told, t), rtol=3e-5, atol=3e-6, err_msg=f"{name}, symbol {i}, row {t}"
            )


def semivariance(d: Told, t: int, sign: int) -> float:
    return math.sqrt(np.mean([x * x if sign * x > 0 else 0.0 for x in d.last(d.r, t, 20)])) / d.scale[t]


def bipower(d: Told, t: int) -> float:
    both = sum(abs(d.r[j] * d.r[j - 1]) for j in range(t - 19, t + 1))
    return max(-1.0, 1 - math.pi / 2 * both / sum(x * x for x in d.last(d.r, t, 20)))


def vol_of_vol(d: Told, t: int) -> float:
    return np.std([math.log(d.scale[j] / d.scale[j - 1]) for j in range(t - 4, t + 1)])


def overnight_share(d: Told, t: int) -> float:
    night = [d.night(j) for j in range(t - 19, t + 1)]
    day = [d.r[j] - d.night(j) for j in range(t - 19, t + 1)]
    return sum(x * x for x in night) / sum(x * x for x in night + day)


VOLATILITY = {
    "ewma_vol_10": lambda d, t: math.log(math.sqrt(slow.ewma_variance(d.r[: t + 1], 1 - 2 / 11)[-1]) / d.scale[t]),
    "parkinson_20": lambda d, t: d.over_scale(d.parkinson, t, 20),
    "garman_klass_20": lambda d, t: d.over_scale(d.garman_klass, t, 20),
    "rogers_satchell_5": lambda d, t: d.over_scale(d.rogers_satchell, t, 5),
    "yang_zhang_20": lambda d, t: d.yang_zhang(t, 20),
    "har_1": lambda d, t: d.over_scale(lambda k: d.night(k) ** 2 + d.garman_klass(k), t, 1),
    "har_22": lambda d, t: d.over_scale(lambda k: d.night(k) ** 2 + d.garman_klass(k), t, 22),
    "semivariance_up_20": lambda d, t: semivariance(d, t, 1),
    "semivariance_down_20": lambda d, t: semivariance(d, t, -1),
    "downside_share_20": lambda d, t: sum(x * x for x in d.last(d.r, t, 20) if x < 0) / sum(x * x for x in d.last(d.r, t, 20)),
    "largest_return_20": lambda d, t: max(d.last(d.r, t, 20)) / d.scale[t],
    "smallest_return_20": lambda d, t: min(d.last(d.r, t, 20)) / d.scale[t],
    "jump_share_20": bipower,
    "vol_of_vol_5": vol_of_vol,
    "overnight_share_20": overnight_share,
    "autocorrelation_20": lambda d, t: (
        sum(d.r[j] * d.r[j - 1] for j in range(t - 19, t + 1)) / sum(x * x for x in d.last(d.r, t, 20))
    ),
    "variance_ratio_20": lambda d, t: min(
        5.0, sum(sum(d.r[j - 4 : j + 1]) ** 2 for j in range(t - 19, t + 1)) / (5 * sum(x * x for x in d.last(d.r, t, 20)))
    ),
}


@pytest.mark.parametrize("name", VOLATILITY)
def test_volatility__equals_its_formula(name: str) -> None:
    check(name, VOLATILITY[name], small_panel())


def amihud(d: Told, t: int, n: int) -> float:
    ratios = [abs(d.r[j]) / d.value[j] for j in range(t - n + 1, t + 1) if d.value[j] > 0]
    return math.log(sum(ratios) / len(ratios))


def roll(d: Told, t: int) -> float:
    now, before = d.last(d.r, t, 20), d.last(d.r, t - 1, 20)
    covariance = np.mean(now * before) - np.mean(now) * np.mean(before)
    return 2 * math.sqrt(max(-covariance, 0.0)) / d.scale[t]


def corwin_schultz(d: Told, t: int) -> float:
    found = []
    for j in range(t - 19, t + 1):
        (h0, h1), (l0, l1), c0 = d.h.high[j - 1 : j + 1], d.h.low[j - 1 : j + 1], d.h.close[j - 1]
        shift = l1 - c0 if l1 > c0 else h1 - c0 if h1 < c0 else 0.0
        h1, l1 = h1 - shift, l1 - shift
        beta = math.log(h1 / l1) ** 2 + math.log(h0 / l0) ** 2
        gamma = math.log(max(h0, h1) / min(l0, l1)) ** 2
        root = 3 - 2 * math.sqrt(2)
        found.append(max((math.sqrt(2 * beta) - math.sqrt(beta)) / root - math.sqrt(gamma / root), 0.0))
    return np.mean(found) / d.scale[t]


LIQUIDITY = {
    "amihud_20": lambda d, t: amihud(d, t, 20),
    "dollar_volume_20": lambda d, t: math.log(np.mean(d.last(d.value, t, 20))),
    "volume_variation_20": lambda d, t: np.std(d.last(d.h.volume, t, 20)) / np.mean(d.last(d.h.volume, t, 20)),
    "zero_volume_20": lambda d, t: np.mean(d.last(d.h.volume, t, 20) == 0.0),
    "zero_return_20": lambda d, t: np.mean(d.last(d.r, t, 20) == 0.0),
    "roll_spread_20": roll,
    "high_low_spread_20": corwin_schultz,
    "volume_correlation_20": lambda d, t: np.corrcoef(np.abs(d.last(d.r, t, 20)), np.log1p(d.last(d.h.volume, t, 20)))[0, 1],
}


@pytest.mark.parametrize("name", LIQUIDITY)
def test_liquidity__equals_its_formula(name: str) -> None:
    check(name, LIQUIDITY[name], small_panel())


def test_liquidity__of_short_against_long_spans() -> None:
    panel = small_panel()
    check("amihud_ratio_20", lambda d, t: amihud(d, t, 20) - amihud(d, t, 250), panel, rows=(250, 329))
    trend = lambda d, t: math.log(np.mean(d.last(d.h.volume, t, 20)) / np.mean(d.last(d.h.volume, t, 250)))  # noqa: E731
    check("volume_trend_20", trend, panel, rows=(249, 329))


def test_ranges__that_are_not_known_say_nothing() -> None:
    """Indices of long ago have closes only: a range estimate is then the scale itself, 0 above it."""
    bars = small_bars(symbols=1).assign(open=np.nan, high=lambda f: f["close"], low=lambda f: f["close"])
    names = ("parkinson_20", "garman_klass_20", "rogers_satchell_20", "har_22", "high_low_spread_20")
    values = compute_features(Panel.from_frames(bars), names).values
    assert (values[30:] == 0.0).all()


def test_a_single_wild_range__leaves_the_window_without_a_trace() -> None:
    bars = small_bars(symbols=1)
    wild = bars.assign(high=np.where(bars.index == 60, bars["high"] * 3, bars["high"]))
    names = ("parkinson_20", "garman_klass_20", "rogers_satchell_20", "yang_zhang_20", "high_low_spread_20", "har_22")
    one, two = (compute_features(Panel.from_frames(b), names).values for b in (bars, wild))
    assert not np.allclose(one[70], two[70])
    assert np.array_equal(one[83:], two[83:])


def test_a_split__changes_no_volume_or_range_feature() -> None:
    """A 2:1 split of S0 as it is traded (half the price, twice the shares) leaves every feature as it was."""
    bars = small_bars(symbols=1)
    later = bars["session"] >= bars["session"].iloc[100]
    prices = {c: np.where(later, bars[c] / 2, bars[c]) for c in ("open", "high", "low", "close")}
    traded = bars.assign(volume=np.where(later, bars["volume"] * 2, bars["volume"]), **prices)
    split = small_actions().iloc[:0]
    split = pd.concat(
        [split, pd.DataFrame({"symbol": ["S0"], "session": [bars["session"].iloc[100]], "kind": ["split"], "value": [2.0]})]
    )
    names = (*VOLATILITY, *LIQUIDITY, "adx_14", "mfi_14", "accumulation_20", "kama_20", "cci_20")
    one = compute_features(Panel.from_frames(bars), names).values
    two = compute_features(Panel.from_frames(traded, split), names).values
    np.testing.assert_allclose(one, two, rtol=2e-5, atol=2e-5)
