"""How much a symbol moves, from ranges and returns, at several speeds; over the scale (EWMA volatility, lambda 0.94), so that
what is left says how today's volatility differs from the forecast that the scale already is.

A session whose high is not above its low says nothing about a range and is left out of range estimates; where a window has
no other, they are 0 (the scale itself). An unknown open counts as if the session had opened anywhere in its range.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import kernels, register
from forecasting.features import oscillator_kernels as oscillators
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block
from forecasting.features.default import FAST_MEMORY, SEED

RETURNS = ("close", "split", "dividend")
RANGES = ("high", "low", "close", "split", "dividend")
BARS = ("open", *RANGES)
LOG_2 = float(np.log(2.0))


def _after_scale(n: int) -> int:
    return max(n - 1, SEED)


def _remembered(n: int) -> int:
    return max(n, FAST_MEMORY)


def window(b: Block, x: np.ndarray, n: int) -> np.ndarray:
    """Mean of the known ones of the last n values; NaN where none is known or there are not n rows yet."""
    total = windows.rolling_sum(b.starts, np.nan_to_num(x, nan=0.0), n)
    count = windows.rolling_sum(b.starts, np.where(np.isnan(x), 0.0, 1.0), n)
    return np.where(count > 0.0, total / count, np.nan)


def _over_scale(b: Block, mean_square: np.ndarray, before: int) -> np.ndarray:
    """Half the log of a mean square over the squared scale, from row ``before`` on; 0 where its window told nothing."""
    ratio = 0.5 * (kernels.logarithm(mean_square) - b.log_variance)
    return np.where(np.isnan(b.variance) | (b.nth < before), np.nan, np.nan_to_num(ratio, nan=0.0))


def _range_square(b: Block) -> np.ndarray:
    return b.memo(("range_square",), lambda: np.where(b.log_range > 0.0, b.log_range * b.log_range, np.nan))


def _parkinson(b: Block) -> np.ndarray:
    return _range_square(b) / (4.0 * LOG_2)


def _ratio(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return kernels.log_ratio(one, two, np.nan)


def _garman_klass(b: Block) -> np.ndarray:
    def make() -> np.ndarray:
        body = _ratio(b.raw("close"), b.raw("open"))
        value = 0.5 * _range_square(b) - (2.0 * LOG_2 - 1.0) * body * body
        return np.where(np.isnan(body), _parkinson(b), np.maximum(value, 0.0))

    return b.memo(("garman_klass",), make)


def _rogers_satchell(b: Block) -> np.ndarray:
    def make() -> np.ndarray:
        high, low, open_, close = (b.raw(c) for c in ("high", "low", "open", "close"))
        value = _ratio(high, close) * _ratio(high, open_) + _ratio(low, close) * _ratio(low, open_)
        value = np.where(np.isnan(_ratio(close, open_)), _parkinson(b), np.maximum(value, 0.0))
        return np.where(np.isnan(_range_square(b)), np.nan, value)

    return b.memo(("rogers_satchell",), make)


def _jump(b: Block) -> np.ndarray:
    """Log return from the previous close to the open; 0 where the open is not known."""
    columns = (b.raw(c) for c in ("open", "close", "split", "dividend"))
    return b.memo(("jump",), lambda: kernels.overnight(b.starts, b.day, *columns))


@register(
    inputs=RETURNS, warm_up=SEED, memory=lambda n: max(FAST_MEMORY, 6 * n), group="volatility", parameters="n"
)  # fmt: skip
def ewma_vol(b: Block, n: int) -> np.ndarray:
    """Log of the EWMA volatility of span n (lambda = 1 - 2 / (n + 1), started as the scale is) over the scale."""
    return 0.5 * (kernels.logarithm(kernels.ewma_square(b.starts, b.returns, 1.0 - 2.0 / (n + 1))) - b.log_variance)


@register(inputs=RANGES, warm_up=_after_scale, memory=_remembered, group="volatility", parameters="n")
def parkinson(b: Block, n: int) -> np.ndarray:
    """Log of the range volatility of n sessions over the scale: mean of log(high / low)^2 / (4 log 2) (Parkinson 1980)."""
    return _over_scale(b, window(b, _parkinson(b), n), n - 1)


@register(inputs=BARS, warm_up=_after_scale, memory=_remembered, group="volatility", parameters="n")
def garman_klass(b: Block, n: int) -> np.ndarray:
    """Log of the volatility of n sessions by Garman and Klass (1980) over the scale: mean of log(high / low)^2 / 2 less
    (2 log 2 - 1) log(close / open)^2."""
    return _over_scale(b, window(b, _garman_klass(b), n), n - 1)


@register(inputs=BARS, warm_up=_after_scale, memory=_remembered, group="volatility", parameters="n")
def rogers_satchell(b: Block, n: int) -> np.ndarray:
    """Log of the volatility of n sessions by Rogers and Satchell (1991) over the scale: mean of log(high / close)
    log(high / open) + log(low / close) log(low / open)."""
    return _over_scale(b, window(b, _rogers_satchell(b), n), n - 1)


@register(inputs=BARS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def yang_zhang(b: Block, n: int) -> np.ndarray:
    """Log of the volatility of n sessions by Yang and Zhang (2000) over the scale: variance of the overnight returns + k
    variance of log(close / open) + (1 - k) Rogers-Satchell, k = 0.34 / (1.34 + (n + 1) / (n - 1)), divisors n - 1."""
    if n < 2:
        return np.full(len(b.close), np.nan)
    k, less_one = 0.34 / (1.34 + (n + 1.0) / (n - 1.0)), n / (n - 1.0)
    body = np.nan_to_num(_ratio(b.raw("close"), b.raw("open")), nan=0.0)
    night, day = (windows.rolling_variance(b.starts, x, n)[1] * less_one for x in (_jump(b), body))
    ranges = window(b, _rogers_satchell(b), n)
    return _over_scale(b, night + k * day + (1.0 - k) * np.where(np.isnan(ranges), 0.0, ranges), n)


@register(inputs=BARS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def har(b: Block, n: int) -> np.ndarray:
    """Log of the realised volatility of the last n sessions over the scale: mean of squared overnight return plus
    Garman-Klass variance; with n = 1, 5 and 22 the terms of the heterogeneous autoregression (Corsi 2009)."""
    night = _jump(b)
    return _over_scale(b, window(b, night * night + _garman_klass(b), n), n)


def _half(b: Block, n: int, sign: float) -> np.ndarray:
    part = np.where(sign * b.returns > 0.0, b.returns * b.returns, 0.0 * b.returns)
    return windows.rolling_sum(b.starts, part, n)


@register(inputs=RETURNS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def semivariance_up(b: Block, n: int) -> np.ndarray:
    """Root of the mean over n sessions of the squared positive log returns, over the scale (Barndorff-Nielsen, Kinnebrock
    and Shephard 2010)."""
    return np.sqrt(_half(b, n, 1.0) / n) / b.scale


@register(inputs=RETURNS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def semivariance_down(b: Block, n: int) -> np.ndarray:
    """Root of the mean over n sessions of the squared negative log returns, over the scale (Barndorff-Nielsen, Kinnebrock
    and Shephard 2010)."""
    return np.sqrt(_half(b, n, -1.0) / n) / b.scale


@register(inputs=RETURNS, warm_up=lambda n: n, group="volatility", parameters="n")
def downside_share(b: Block, n: int) -> np.ndarray:
    """Share of the squared log returns of n sessions that fell on losing ones, 0 to 1; 0.5 where nothing moved."""
    up, down = _half(b, n, 1.0), _half(b, n, -1.0)
    return np.where(up + down > 0.0, down / (up + down), np.where(np.isnan(up), np.nan, 0.5))


@register(inputs=RETURNS, warm_up=lambda n: n, group="return", parameters="n")
def kurtosis(b: Block, n: int) -> np.ndarray:
    """Excess kurtosis of the last n daily log total returns (divisor n); 0 where they do not differ."""
    mean, m2 = windows.rolling_variance(b.starts, b.returns, n)
    fourth = oscillators.fourth_moment(b.starts, b.returns, mean, n)
    return np.where(m2 > 0.0, fourth / (m2 * m2) - 3.0, np.where(np.isnan(m2), np.nan, 0.0))


@register(inputs=RETURNS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def largest_return(b: Block, n: int) -> np.ndarray:
    """Largest daily log total return of n sessions over the scale (MAX of Bali, Cakici and Whitelaw 2011)."""
    return windows.rolling_maximum(b.starts, b.returns, n) / b.scale


@register(inputs=RETURNS, warm_up=lambda n: max(n, SEED), memory=_remembered, group="volatility", parameters="n")
def smallest_return(b: Block, n: int) -> np.ndarray:
    """Smallest daily log total return of n sessions over the scale."""
    return -windows.rolling_maximum(b.starts, -b.returns, n) / b.scale


@register(inputs=RETURNS, warm_up=lambda n: n + 1, group="volatility", parameters="n")
def jump_share(b: Block, n: int) -> np.ndarray:
    """Share of the squared log returns of n sessions that neighbouring moves do not explain: 1 less pi / 2 times the sum of
    |r_t| |r_t-1| over the sum of r_t^2 (bipower variation, Barndorff-Nielsen and Shephard 2004), not below -1; 0 where nothing
    moved."""
    size = np.abs(b.returns)
    both = windows.rolling_sum(b.starts, size * kernels.lag(b.starts, size, 1), n)
    whole = windows.rolling_sum(b.starts, size * size, n)
    return np.where(whole > 0.0, np.maximum(1.0 - 0.5 * np.pi * both / whole, -1.0), np.where(np.isnan(both), np.nan, 0.0))


@register(
    inputs=RETURNS, warm_up=lambda n: n + SEED, memory=lambda n: n + FAST_MEMORY, group="volatility", parameters="n"
)  # fmt: skip
def vol_of_vol(b: Block, n: int) -> np.ndarray:
    """Standard deviation over n sessions of the daily change of the scale's log (divisor n)."""
    change = kernels.difference(b.starts, 0.5 * b.log_variance, 1)
    return windows.deviation(b.starts, change, n)


@register(inputs=("open", *RETURNS), warm_up=lambda n: n, group="volatility", parameters="n")
def overnight_share(b: Block, n: int) -> np.ndarray:
    """Squared overnight log returns of n sessions over those plus the squared ones from open to close; 0.5 where neither
    moved."""
    night = _jump(b)
    day = b.returns - night
    dark = windows.rolling_sum(b.starts, night * night, n)
    light = windows.rolling_sum(b.starts, day * day, n)
    return np.where(dark + light > 0.0, dark / (dark + light), np.where(np.isnan(dark), np.nan, 0.5))


@register(inputs=RETURNS, warm_up=lambda n: n + 1, group="return", parameters="n")
def autocorrelation(b: Block, n: int) -> np.ndarray:
    """Sum over n sessions of r_t r_t-1 over the sum of r_t^2, r the daily log total return, -1 to 1; 0 where nothing
    moved."""
    both = windows.rolling_sum(b.starts, b.returns * kernels.lag(b.starts, b.returns, 1), n)
    whole = windows.rolling_sum(b.starts, b.returns * b.returns, n)
    return np.where(whole > 0.0, np.clip(both / whole, -1.0, 1.0), np.where(np.isnan(both), np.nan, 0.0))


@register(inputs=RETURNS, warm_up=lambda n: n + 4, group="return", parameters="n")
def variance_ratio(b: Block, n: int) -> np.ndarray:
    """Mean over n sessions of the squared five-session log returns over five times that of the daily ones (Lo and MacKinlay
    1988, without the means), 1 for a random walk, at most 5; 1 where nothing moved."""
    week = kernels.difference(b.starts, b.log_index, 5)
    long_, short = windows.rolling_sum(b.starts, week * week, n), windows.rolling_sum(b.starts, b.returns * b.returns, n)
    return np.where(short > 0.0, np.minimum(long_ / (5.0 * short), 5.0), np.where(np.isnan(long_), np.nan, 1.0))
