"""More of the classical indicators, as TA-Lib computes them where it has them; names in units of the price are taken over it.

Prices are the forward-adjusted ones of a Block. An unknown high or low counts as the close, an unknown volume as none.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import kernels, register
from forecasting.features import oscillator_kernels as oscillators
from forecasting.features import technical_kernels as technical
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block
from forecasting.features.technical import BAR, CLOSE, _ema, _log_close, _percent_k, _sma, rsi

VOLUME_BAR = (*BAR, "volume")
WEIGHTS = ((7, 4.0), (14, 2.0), (28, 1.0))  # the spans of the ultimate oscillator and what each counts


def _high(b: Block) -> np.ndarray:
    return b.memo(("known_high",), lambda: np.where(np.isnan(b.high), b.close, b.high))


def _low(b: Block) -> np.ndarray:
    return b.memo(("known_low",), lambda: np.where(np.isnan(b.low), b.close, b.low))


def _typical(b: Block) -> np.ndarray:
    return b.memo(("typical",), lambda: (_high(b) + _low(b) + b.close) / 3.0)


def _known_volume(b: Block) -> np.ndarray:
    return b.memo(("known_volume",), lambda: np.nan_to_num(b.volume, nan=0.0))


def _again(b: Block, n: int, times: int) -> np.ndarray:
    """The exponential moving average of span n of itself."""
    if times == 1:
        return _ema(b, n)
    return b.memo(("ema", n, times), lambda: technical.smoothed(b.starts, _again(b, n, times - 1), n, 2.0 / (n + 1)))


def _directional(b: Block, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return b.memo(("directional", n), lambda: oscillators.directional(b.starts, _high(b), _low(b), b.close, n))


@register(inputs=BAR, warm_up=lambda n: 2 * n - 1, memory=lambda n: 25 * n, group="trend", parameters="n")
def adx(b: Block, n: int) -> np.ndarray:
    """Average directional index of n sessions (Wilder 1978), 0 to 100: how much the price moves one way, whichever it is."""
    return _directional(b, n)[2]


@register(inputs=BAR, warm_up=lambda n: n, memory=lambda n: 20 * n, group="trend", parameters="n")
def plus_di(b: Block, n: int) -> np.ndarray:
    """Positive directional indicator +DI of n sessions (Wilder 1978), 0 to 100."""
    return _directional(b, n)[0]


@register(inputs=BAR, warm_up=lambda n: n, memory=lambda n: 20 * n, group="trend", parameters="n")
def minus_di(b: Block, n: int) -> np.ndarray:
    """Negative directional indicator -DI of n sessions (Wilder 1978), 0 to 100."""
    return _directional(b, n)[1]


def _aroon(b: Block, n: int, up: bool) -> np.ndarray:
    values = _high(b) if up else -_low(b)
    return b.memo(("aroon", n, up), lambda: 100.0 * (n - oscillators.age_of_maximum(b.starts, values, n)) / n)


@register(inputs=BAR, warm_up=lambda n: n, group="trend", parameters="n")
def aroon_up(b: Block, n: int) -> np.ndarray:
    """Aroon up of n sessions (Chande 1995), 0 to 100: 100 where the highest high of n + 1 sessions is the last one."""
    return _aroon(b, n, True)


@register(inputs=BAR, warm_up=lambda n: n, group="trend", parameters="n")
def aroon_down(b: Block, n: int) -> np.ndarray:
    """Aroon down of n sessions (Chande 1995), 0 to 100: 100 where the lowest low of n + 1 sessions is the last one."""
    return _aroon(b, n, False)


@register(inputs=BAR, warm_up=lambda n: n, group="trend", parameters="n")
def aroon(b: Block, n: int) -> np.ndarray:
    """Aroon oscillator of n sessions (Chande 1995), -100 to 100: Aroon up less Aroon down."""
    return _aroon(b, n, True) - _aroon(b, n, False)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="trend", parameters="n")
def wma(b: Block, n: int) -> np.ndarray:
    """Close over its linearly weighted moving average of n sessions, less 1."""
    slope = windows.rolling_slope(b.starts, b.close, n) if n > 1 else 0.0
    return b.close / (_sma(b, n) + slope * (n - 1) / 6.0) - 1.0


@register(inputs=CLOSE, warm_up=lambda n: 2 * (n - 1), memory=lambda n: 15 * n, group="trend", parameters="n")
def dema(b: Block, n: int) -> np.ndarray:
    """Close over its double exponential moving average of span n (Mulloy 1994), less 1."""
    return b.close / (2.0 * _ema(b, n) - _again(b, n, 2)) - 1.0


@register(inputs=CLOSE, warm_up=lambda n: 3 * (n - 1), memory=lambda n: 20 * n, group="trend", parameters="n")
def tema(b: Block, n: int) -> np.ndarray:
    """Close over its triple exponential moving average of span n (Mulloy 1994), less 1."""
    return b.close / (3.0 * _ema(b, n) - 3.0 * _again(b, n, 2) + _again(b, n, 3)) - 1.0


@register(inputs=CLOSE, warm_up=lambda n: n, memory=lambda n: 600 + n, group="trend", parameters="n")
def kama(b: Block, n: int) -> np.ndarray:
    """Close over Kaufman's adaptive moving average of n sessions (1995), less 1."""
    return b.close / oscillators.adaptive_average(b.starts, b.close, n) - 1.0


@register(inputs=CLOSE, warm_up=25, memory=260, group="trend")
def ppo(b: Block) -> np.ndarray:
    """Percentage price oscillator: EMA of span 12 over the EMA of span 26, less 1, in per cent."""
    return 100.0 * (_ema(b, 12) / _ema(b, 26) - 1.0)


@register(inputs=CLOSE, warm_up=lambda n: 3 * (n - 1) + 1, memory=lambda n: 20 * n, group="trend", parameters="n")
def trix(b: Block, n: int) -> np.ndarray:
    """Change in one session of the triple exponential moving average of span n (Hutson 1983), in per cent."""
    third = _again(b, n, 3)
    return 100.0 * (third / kernels.lag(b.starts, third, 1) - 1.0)


@register(inputs=CLOSE, warm_up=lambda n: n, group="oscillator", parameters="n")
def roc(b: Block, n: int) -> np.ndarray:
    """Rate of change: close over the close n sessions ago, less 1, in per cent; dividends left out."""
    return 100.0 * (b.close / kernels.lag(b.starts, b.close, n) - 1.0)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="trend", parameters="n")
def trend_fit(b: Block, n: int) -> np.ndarray:
    """R squared of the least-squares line through the last n log closes, 0 to 1; 0 where the close has not moved."""
    m2 = windows.rolling_variance(b.starts, _log_close(b), n)[1]
    slope = windows.rolling_slope(b.starts, _log_close(b), n) if n > 1 else 0.0 * m2
    explained = slope * slope * (n * n - 1.0) / 12.0
    return np.where(m2 > 0.0, np.minimum(explained / m2, 1.0), np.where(np.isnan(m2), np.nan, 0.0))


@register(inputs=CLOSE, warm_up=lambda n: 2 * n - 1, memory=lambda n: 22 * n, group="oscillator", parameters="n")
def stochastic_rsi(b: Block, n: int) -> np.ndarray:
    """Place of the RSI of n sessions between its lowest and highest of n sessions (Chande, Kroll 1994), 0 to 100; else 50."""
    index = rsi(b, n)
    top, bottom = windows.rolling_maximum(b.starts, index, n), -windows.rolling_maximum(b.starts, -index, n)
    return np.where(top > bottom, 100.0 * (index - bottom) / (top - bottom), np.where(np.isnan(top), np.nan, 50.0))


@register(inputs=BAR, warm_up=lambda n: n - 1, group="oscillator", parameters="n")
def williams(b: Block, n: int) -> np.ndarray:
    """Williams %R of n sessions (1973), -100 to 0: %K less 100."""
    return _percent_k(b, n) - 100.0


@register(inputs=BAR, warm_up=lambda n: n - 1, group="oscillator", parameters="n")
def cci(b: Block, n: int) -> np.ndarray:
    """Commodity channel index of n sessions (Lambert 1980): the typical price's distance from its mean over 0.015 mean
    deviations; 0 where it has not moved."""
    mean = windows.rolling_sum(b.starts, _typical(b), n) / n
    spread = oscillators.mean_deviation(b.starts, _typical(b), mean, n)
    moved = spread > 1e-12 * mean  # less is the rounding of the mean
    return np.where(moved, (_typical(b) - mean) / (0.015 * spread), np.where(np.isnan(spread), np.nan, 0.0))


@register(inputs=VOLUME_BAR, warm_up=lambda n: n, group="volume", parameters="n")
def mfi(b: Block, n: int) -> np.ndarray:
    """Money flow index of n sessions (Quong and Soudack 1989), 0 to 100: the share of typical price times volume that was
    traded at a rising typical price; 50 where none moved."""
    flow, step = _typical(b) * _known_volume(b), kernels.difference(b.starts, _typical(b), 1)
    up = windows.rolling_sum(b.starts, np.where(step > 0.0, flow, 0.0 * step), n)
    down = windows.rolling_sum(b.starts, np.where(step < 0.0, flow, 0.0 * step), n)
    return np.where(up + down > 0.0, 100.0 * up / (up + down), np.where(np.isnan(up), np.nan, 50.0))


@register(inputs=CLOSE, warm_up=lambda n: n, group="oscillator", parameters="n")
def cmo(b: Block, n: int) -> np.ndarray:
    """Chande's momentum oscillator of n sessions (1994), -100 to 100: rises less falls over both, as plain sums (TA-Lib
    averages them as Wilder does, which only repeats the RSI); 0 where the close has not moved."""
    gain, loss = b.memo(("gains",), lambda: technical.gains_and_losses(b.starts, b.close))
    up, down = windows.rolling_sum(b.starts, gain, n), windows.rolling_sum(b.starts, loss, n)
    return np.where(up + down > 0.0, 100.0 * (up - down) / (up + down), np.where(np.isnan(up), np.nan, 0.0))


@register(inputs=BAR, warm_up=28, group="oscillator")
def ultimate(b: Block) -> np.ndarray:
    """Ultimate oscillator of 7, 14 and 28 sessions (Williams 1985), 0 to 100; a span without any range counts 50."""
    pressure = oscillators.above_low(b.starts, _low(b), b.close)
    reach = technical.true_range(b.starts, b.high, b.low, b.close)
    total = 0.0
    for n, weight in WEIGHTS:
        bought, whole = windows.rolling_sum(b.starts, pressure, n), windows.rolling_sum(b.starts, reach, n)
        total = total + weight * np.where(whole > 0.0, bought / whole, np.where(np.isnan(whole), np.nan, 0.5))
    return 100.0 * total / sum(weight for _, weight in WEIGHTS)


@register(inputs=("open", *BAR), warm_up=0, group="oscillator")
def balance_of_power(b: Block) -> np.ndarray:
    """Close less open over high less low of the session (Livshin 2001), -1 to 1; 0 without range or open."""
    reach = _high(b) - _low(b)
    share = (b.close - b.open) / reach
    return np.where((reach > 0.0) & ~np.isnan(share), share, np.where(np.isnan(b.close), np.nan, 0.0))


@register(inputs=VOLUME_BAR, warm_up=lambda n: n - 1, group="volume", parameters="n")
def accumulation(b: Block, n: int) -> np.ndarray:
    """Chaikin's money flow of n sessions, -1 to 1: volume weighted by the close's place in the range (the change of the
    accumulation line over n sessions), over the volume; 0 without volume."""
    reach = _high(b) - _low(b)
    place = np.where(reach > 0.0, ((b.close - _low(b)) - (_high(b) - b.close)) / reach, 0.0 * b.close)
    flow = windows.rolling_sum(b.starts, place * _known_volume(b), n)
    whole = windows.rolling_sum(b.starts, _known_volume(b), n)
    return np.where(whole > 0.0, flow / whole, np.where(np.isnan(whole), np.nan, 0.0))


@register(inputs=BAR, warm_up=lambda n: n - 1, group="trend", parameters="n")
def high_distance(b: Block, n: int) -> np.ndarray:
    """Log of the close over the highest high of n sessions (George and Hwang 2004), 0 or less."""
    return kernels.log_ratio(b.close, windows.rolling_maximum(b.starts, _high(b), n), np.nan)


@register(inputs=BAR, warm_up=lambda n: n - 1, group="trend", parameters="n")
def low_distance(b: Block, n: int) -> np.ndarray:
    """Log of the close over the lowest low of n sessions, 0 or more."""
    return kernels.log_ratio(b.close, -windows.rolling_maximum(b.starts, -_low(b), n), np.nan)


@register(inputs=CLOSE, warm_up=lambda n: n - 1, group="return", parameters="n")
def z_score(b: Block, n: int) -> np.ndarray:
    """Close less the mean of the last n closes over their standard deviation (divisor n); 0 where they do not differ."""
    mean, m2 = windows.rolling_variance(b.starts, b.close, n)
    return np.where(m2 > 0.0, (b.close - mean) / np.sqrt(m2), np.where(np.isnan(m2), np.nan, 0.0))
