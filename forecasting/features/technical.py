"""Prices, lags, returns and the classical indicators, free of the price level; names ending in ``level`` keep it.

Prices are the forward-adjusted ones of a Block: in units of the symbol's first row, so that levels are comparable along
the symbol's history and a later split changes none of them. Recursions start as TA-Lib's do.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import WHOLE_HISTORY, kernels, register
from forecasting.features import technical_kernels as technical
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block

CLOSE = ("close", "split")
BAR = ("high", "low", "close", "split")
FAST, SLOW, SIGNAL = 12, 26, 9  # the usual MACD (Appel 1979)


def _log_close(b: Block) -> np.ndarray:
    return b.memo(("log_close",), lambda: kernels.logarithm(b.close))


def _sma(b: Block, n: int) -> np.ndarray:
    return b.memo(("sma", n), lambda: windows.rolling_sum(b.starts, b.close, n) / n)


def _ema(b: Block, n: int) -> np.ndarray:
    return b.memo(("ema", n), lambda: technical.smoothed(b.starts, b.close, n, 2.0 / (n + 1)))


def _macd(b: Block) -> tuple[np.ndarray, np.ndarray]:
    return b.memo(("macd",), lambda: technical.macd(b.starts, b.close, FAST, SLOW, SIGNAL))


def _bollinger(b: Block, n: int) -> tuple[np.ndarray, np.ndarray]:
    return b.memo(("bollinger", n), lambda: windows.bollinger(b.starts, b.close, n))


def _atr(b: Block, n: int) -> np.ndarray:
    reach = b.memo(("true_range",), lambda: technical.true_range(b.starts, b.high, b.low, b.close))
    return b.memo(("atr", n), lambda: technical.smoothed(b.starts, reach, n, 1.0 / n))


def _percent_k(b: Block, n: int) -> np.ndarray:
    return b.memo(("percent_k", n), lambda: windows.percent_k(b.starts, b.high, b.low, b.close, n))


@register(inputs=("open", "split"), warm_up=0, memory=WHOLE_HISTORY, group="level")
def open_(b: Block) -> np.ndarray:
    """Open, in units of the symbol's first row (multiplied by the splits since)."""
    return b.open


@register(inputs=("high", "split"), warm_up=0, memory=WHOLE_HISTORY, group="level")
def high(b: Block) -> np.ndarray:
    """High, in units of the symbol's first row (multiplied by the splits since)."""
    return b.high


@register(inputs=("low", "split"), warm_up=0, memory=WHOLE_HISTORY, group="level")
def low(b: Block) -> np.ndarray:
    """Low, in units of the symbol's first row (multiplied by the splits since)."""
    return b.low


@register(inputs=CLOSE, warm_up=0, memory=WHOLE_HISTORY, group="level")
def close(b: Block) -> np.ndarray:
    """Close, in units of the symbol's first row (multiplied by the splits since)."""
    return b.close


@register(inputs=("volume", "split"), warm_up=0, memory=WHOLE_HISTORY, group="level")
def log_volume(b: Block) -> np.ndarray:
    """log(1 + volume in shares of the symbol's first row)."""
    return kernels.logarithm(1.0 + b.volume)


@register(inputs=CLOSE, warm_up=lambda n: n, group="lag", parameters="n")
def close_lag(b: Block, n: int) -> np.ndarray:
    """log(close n sessions ago / close)."""
    return -kernels.difference(b.starts, _log_close(b), n)


@register(inputs=CLOSE, warm_up=lambda n: n, memory=WHOLE_HISTORY, group="level", parameters="n")
def close_level_lag(b: Block, n: int) -> np.ndarray:
    """Close n sessions ago, in units of the symbol's first row."""
    return kernels.lag(b.starts, b.close, n)


@register(inputs=("close", "split", "dividend"), warm_up=lambda n: n, group="return", parameters="n")
def return_(b: Block, n: int) -> np.ndarray:
    """Log total return of the last n sessions."""
    return kernels.difference(b.starts, b.log_index, n)


@register(inputs=("close", "split", "dividend"), warm_up=lambda n: n, group="return", parameters="n")
def volatility(b: Block, n: int) -> np.ndarray:
    """Standard deviation of the last n daily log total returns (divisor n)."""
    return windows.deviation(b.starts, b.returns, n)


@register(inputs=("close", "split", "dividend"), warm_up=lambda n: n, group="return", parameters="n")
def skew(b: Block, n: int) -> np.ndarray:
    """Skewness of the last n daily log total returns; 0 where they do not differ."""
    _, m2, m3 = windows.rolling_moments(b.starts, b.returns, n)
    return np.where(m2 > 0.0, m3 / (m2 * np.sqrt(m2)), np.where(np.isnan(m2), np.nan, 0.0))


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="trend", parameters="n")
def slope(b: Block, n: int) -> np.ndarray:
    """Slope per session of the least-squares line through the last n log closes; 0 for n = 1."""
    return windows.rolling_slope(b.starts, _log_close(b), n) if n > 1 else 0.0 * b.close


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="trend", parameters="n")
def sma(b: Block, n: int) -> np.ndarray:
    """Close over the mean of the last n closes, less 1."""
    return windows.from_mean(b.starts, b.close, n)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, memory=WHOLE_HISTORY, group="level", parameters="n")
def sma_level(b: Block, n: int) -> np.ndarray:
    """Mean of the last n closes, in units of the symbol's first row."""
    return _sma(b, n)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, memory=lambda n: 10 * n, group="trend", parameters="n")
def ema(b: Block, n: int) -> np.ndarray:
    """Close over its exponential moving average of span n, less 1."""
    return b.close / _ema(b, n) - 1.0


@register(inputs=CLOSE, warm_up=lambda n: n - 1, memory=WHOLE_HISTORY, group="level", parameters="n")
def ema_level(b: Block, n: int) -> np.ndarray:
    """Exponential moving average of span n of the close, in units of the symbol's first row."""
    return _ema(b, n)


@register(inputs=CLOSE, warm_up=SLOW - 1, memory=10 * SLOW, group="trend")
def macd(b: Block) -> np.ndarray:
    """EMA of span 12 less EMA of span 26, over the close."""
    return _macd(b)[0] / b.close


@register(inputs=CLOSE, warm_up=SLOW + SIGNAL - 2, memory=10 * SLOW, group="trend")
def macd_signal(b: Block) -> np.ndarray:
    """EMA of span 9 of the MACD, over the close."""
    return _macd(b)[1] / b.close


@register(inputs=CLOSE, warm_up=SLOW + SIGNAL - 2, memory=10 * SLOW, group="trend")
def macd_hist(b: Block) -> np.ndarray:
    """MACD less its signal, over the close."""
    line, signal = _macd(b)
    return (line - signal) / b.close


@register(inputs=CLOSE, warm_up=lambda n: n, memory=lambda n: 20 * n, group="oscillator", parameters="n")
def rsi(b: Block, n: int) -> np.ndarray:
    """Relative strength index of n sessions (Wilder 1978), 0 to 100; 50 where the close has not moved."""
    return b.memo(("rsi", n), lambda: technical.relative_strength(b.starts, b.close, n))


@register(inputs=BAR, warm_up=lambda n: n - 1, group="oscillator", parameters="n")
def stochastic(b: Block, n: int) -> np.ndarray:
    """Place of the close between the lowest low and the highest high of n sessions (Lane's %K), 0 to 100; else 50."""
    return _percent_k(b, n)


@register(inputs=BAR, warm_up=lambda n: n + 1, group="oscillator", parameters="n")
def stochastic_signal(b: Block, n: int) -> np.ndarray:
    """Mean of the last three %K of n sessions (Lane's %D)."""
    return windows.known_mean(b.starts, _percent_k(b, n), 3)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="band", parameters="n")
def bollinger(b: Block, n: int) -> np.ndarray:
    """Place of the close between the Bollinger bands of n sessions and two standard deviations: 0 lower, 1 upper (%b)."""
    return _bollinger(b, n)[0]


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="band", parameters="n")
def bollinger_width(b: Block, n: int) -> np.ndarray:
    """Distance of the Bollinger bands of n sessions over their mean."""
    return _bollinger(b, n)[1]


@register(inputs=BAR, warm_up=lambda n: n, memory=lambda n: 20 * n, group="band", parameters="n")
def atr(b: Block, n: int) -> np.ndarray:
    """Average true range of n sessions (Wilder 1978) over the close."""
    return _atr(b, n) / b.close


@register(inputs=BAR, warm_up=lambda n: n, memory=WHOLE_HISTORY, group="level", parameters="n")
def atr_level(b: Block, n: int) -> np.ndarray:
    """Average true range of n sessions (Wilder 1978), in units of the symbol's first row."""
    return _atr(b, n)


@register(inputs=("close", "volume", "split"), warm_up=lambda n: n, group="volume", parameters="n", default=20)
def obv(b: Block, n: int) -> np.ndarray:
    """Change of the on-balance volume over n sessions as a share of their volume, -1 to 1; 0 without volume."""
    share = windows.volume_balance(b.starts, _signed_volume(b), b.volume, n)
    return np.where(np.isnan(kernels.lag(b.starts, b.close, n)), np.nan, share)  # the first row's sign is only a convention


@register(inputs=("close", "volume", "split"), warm_up=0, memory=WHOLE_HISTORY, group="level")
def obv_level(b: Block) -> np.ndarray:
    """On-balance volume (Granville 1963) since the symbol's first row, in shares of that row."""
    return kernels.cumulative(b.starts, _signed_volume(b))


def _signed_volume(b: Block) -> np.ndarray:
    return b.memo(("signed_volume",), lambda: technical.signed_volume(b.starts, b.close, b.volume))
