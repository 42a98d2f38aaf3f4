"""How much is traded and how far that moves the price. A volume of zero and an unknown one are no volume."""

from __future__ import annotations

import numpy as np

from forecasting.features import kernels, register
from forecasting.features import oscillator_kernels as oscillators
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block
from forecasting.features.default import FAST_MEMORY, SEED
from forecasting.features.oscillators import _known_volume
from forecasting.features.volatility import RANGES, RETURNS, window

TRADED = (*RETURNS, "volume")
YEAR = 250  # sessions
MILLION = 1e6
ROOT = 3.0 - 2.0 * 2.0**0.5  # of Corwin and Schultz


def _value(b: Block) -> np.ndarray:
    """Close times volume as traded, in millions of the symbol's currency; a split changes nothing in it."""
    return b.memo(("value",), lambda: b.raw("close") * np.nan_to_num(b.raw("volume"), nan=0.0) / MILLION)


def _amihud(b: Block, n: int) -> np.ndarray:
    value = np.where(_value(b) > 0.0, _value(b), np.nan)
    return kernels.logarithm(
        np.where(np.isnan(kernels.lag(b.starts, b.close, n)), np.nan, window(b, np.abs(b.returns) / value, n))
    )


@register(inputs=TRADED, warm_up=lambda n: n, group="liquidity", parameters="n")
def amihud(b: Block, n: int) -> np.ndarray:
    """Log of the mean over n sessions of |log return| over the value traded in millions (Amihud 2002); sessions without
    volume left out."""
    return _amihud(b, n)


@register(inputs=TRADED, warm_up=lambda n: max(n, YEAR), memory=lambda n: max(n, YEAR), group="liquidity", parameters="n")
def amihud_ratio(b: Block, n: int) -> np.ndarray:
    """Amihud's illiquidity of n sessions over that of 250, as a log."""
    return _amihud(b, n) - _amihud(b, YEAR)


@register(inputs=("close", "volume"), warm_up=lambda n: n - 1, group="liquidity", parameters="n")
def dollar_volume(b: Block, n: int) -> np.ndarray:
    """Log of the mean value traded in n sessions (close times volume as traded), in millions of the symbol's currency."""
    return kernels.logarithm(windows.rolling_sum(b.starts, _value(b), n) / n)


@register(
    inputs=("volume", "split"), warm_up=lambda n: max(n, YEAR) - 1, memory=lambda n: max(n, YEAR), group="liquidity",
    parameters="n",
)  # fmt: skip
def volume_trend(b: Block, n: int) -> np.ndarray:
    """Log of the mean volume of n sessions over that of 250; 0 without volume."""
    short, long_ = (windows.rolling_sum(b.starts, _known_volume(b), k) / k for k in (n, YEAR))
    return np.where(np.isnan(short + long_), np.nan, kernels.log_ratio(short, long_, 0.0))


@register(inputs=("volume", "split"), warm_up=lambda n: n - 1, group="liquidity", parameters="n")
def volume_variation(b: Block, n: int) -> np.ndarray:
    """Standard deviation of the volume of n sessions over its mean (divisor n); 0 without volume."""
    mean, m2 = windows.rolling_variance(b.starts, _known_volume(b), n)
    return np.where(mean > 0.0, np.sqrt(m2) / mean, np.where(np.isnan(mean), np.nan, 0.0))


@register(inputs=("volume",), warm_up=lambda n: n - 1, group="liquidity", parameters="n")
def zero_volume(b: Block, n: int) -> np.ndarray:
    """Share of the last n sessions without volume, 0 to 1."""
    return windows.rolling_sum(b.starts, np.where(_known_volume(b) > 0.0, 0.0, 1.0), n) / n


@register(inputs=RETURNS, warm_up=lambda n: n, group="liquidity", parameters="n")
def zero_return(b: Block, n: int) -> np.ndarray:
    """Share of the last n sessions without a change of price, 0 to 1 (Lesmond, Ogden and Trzcinka 1999)."""
    return windows.rolling_sum(b.starts, np.where(b.returns == 0.0, 1.0, 0.0 * b.returns), n) / n


@register(
    inputs=RETURNS, warm_up=lambda n: max(n + 1, SEED), memory=lambda n: max(n + 1, FAST_MEMORY), group="liquidity",
    parameters="n",
)  # fmt: skip
def roll_spread(b: Block, n: int) -> np.ndarray:
    """Roll's effective spread (1984) over the scale: twice the root of minus the covariance over n sessions of the log return
    with the one before; 0 where that covariance is positive."""
    before = kernels.lag(b.starts, b.returns, 1)
    both, now, then = (windows.rolling_sum(b.starts, x, n) / n for x in (b.returns * before, b.returns + 0.0 * before, before))
    return 2.0 * np.sqrt(np.maximum(now * then - both, 0.0)) / b.scale


@register(
    inputs=RANGES, warm_up=lambda n: max(n, SEED), memory=lambda n: max(n, FAST_MEMORY), group="liquidity", parameters="n"
)  # fmt: skip
def high_low_spread(b: Block, n: int) -> np.ndarray:
    """Mean over n sessions of the spread alpha of Corwin and Schultz (2012) from the ranges of two sessions and of both
    together, negative ones as 0, over the scale; pairs without a range left out."""
    one, two = oscillators.two_session_ranges(b.starts, b.high, b.low, b.close)
    today, both = kernels.logarithm(one), kernels.logarithm(two)
    before = kernels.lag(b.starts, b.log_range, 1)
    beta = today * today + before * before
    alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / ROOT - both / np.sqrt(ROOT)
    mean = window(b, np.where(beta > 0.0, np.maximum(alpha, 0.0), np.nan), n) / b.scale
    return np.where((b.nth < n) | np.isnan(b.scale), np.nan, np.nan_to_num(mean, nan=0.0))


@register(inputs=TRADED, warm_up=lambda n: n, group="liquidity", parameters="n")
def volume_correlation(b: Block, n: int) -> np.ndarray:
    """Correlation over n sessions of |log return| with log(1 + volume) (Karpoff 1987), -1 to 1; 0 where one does not vary."""
    size, volume = np.abs(b.returns), kernels.logarithm(1.0 + _known_volume(b))
    centre = windows.rolling_variance(b.starts, volume + 0.0 * size, n)
    spread = windows.rolling_variance(b.starts, size, n)
    both = windows.rolling_sum(b.starts, size * volume, n) / n - spread[0] * centre[0]
    whole = np.sqrt(spread[1] * centre[1])
    return np.where(whole > 1e-12, np.clip(both / whole, -1.0, 1.0), np.where(np.isnan(both), np.nan, 0.0))
