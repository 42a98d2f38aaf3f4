"""The default features: what moved, how much, against which scale, and what the market did.

The scale is the EWMA volatility (lambda 0.94) of daily log total returns known at the row's close, as for the target.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import kernels, register
from forecasting.features.blocks import SESSIONS_A_YEAR, VOLUME_DECAY, Block
from forecasting.features.market_context import FAST, SLOW, Market

SEED = kernels.SEED_RETURNS  # rows before the scale exists: 20 returns need 21 closes
FAST_MEMORY, SLOW_MEMORY = 250, 1000  # 0.94^250 = 2e-7, 0.99^1000 = 4e-5
USUAL_VOLATILITY = 0.02  # a day of a usual stock; only centres the level
USUAL_VIX = 20.0
PARKINSON = np.log(4.0 * np.log(2.0))  # mean square range of a random walk over its variance


@register(inputs=("close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def ret(b: Block) -> np.ndarray:
    """Log total return of the session over the scale (EWMA volatility of daily returns known at the close, lambda 0.94)."""
    return b.memo(("ret",), lambda: b.returns / b.scale)


@register(inputs=("close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def abs_ret(b: Block) -> np.ndarray:
    """Absolute log total return of the session over the scale."""
    return np.abs(ret(b))


@register(inputs=("open", "close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def overnight(b: Block) -> np.ndarray:
    """Log return from the previous close to the open over the scale; 0 where the open is not known."""
    jump = kernels.overnight(b.starts, b.day, b.raw("open"), b.raw("close"), b.raw("split"), b.raw("dividend"))
    return jump / b.scale


@register(inputs=("high", "low", "close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def range_(b: Block) -> np.ndarray:
    """log(high / low) over the scale; 0 where high or low is not known."""
    return b.log_range / b.scale


@register(inputs=("close", "split", "dividend"), warm_up=SEED, memory=SLOW_MEMORY, group="default")
def vol_fast_slow(b: Block) -> np.ndarray:
    """Log of the scale over the EWMA volatility with lambda 0.99."""
    slow = kernels.ewma_square(b.starts, b.returns, SLOW)
    return 0.5 * (b.log_variance - kernels.logarithm(slow))


@register(inputs=("high", "low", "close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def range_vol(b: Block) -> np.ndarray:
    """Log of the EWMA range volatility (Parkinson 1980, lambda 0.94) over the scale; 0 while the ranges are not known."""
    ranges = np.where(b.log_range > 0.0, b.log_range, np.nan)  # high = low says nothing: early index data has only those
    mean_square = kernels.ewma_square(b.starts, ranges, FAST)
    ratio = 0.5 * (kernels.logarithm(mean_square) - PARKINSON - b.log_variance)
    return np.where(np.isnan(mean_square) & ~np.isnan(b.variance), 0.0, ratio)


@register(inputs=("volume", "split"), warm_up=SEED, memory=500, group="default")
def volume_surprise(b: Block) -> np.ndarray:
    """Log volume less the EWMA (lambda 0.97) of the earlier ones; 0 on a day without volume."""
    return kernels.surprise(b.starts, b.volume, VOLUME_DECAY)


@register(
    inputs=("close", "split", "dividend"),
    warm_up=lambda n: max(n, SEED),
    memory=lambda n: max(n, FAST_MEMORY),
    group="default",
    parameters="n",
)
def momentum(b: Block, n: int) -> np.ndarray:
    """Log total return of the last n sessions over the scale times sqrt(n)."""
    return kernels.difference(b.starts, b.log_index, n) / (b.scale * np.sqrt(n))


@register(inputs=("close", "market"), warm_up=SEED, memory=FAST_MEMORY, group="default", version=2)
def market_return(b: Block) -> np.ndarray:
    """Mean over the market's symbols of the return over its own scale of the last session that each had by the close."""
    return b.memo(("market_return",), lambda: b.by_session("mean_scaled", lambda market: market.mean_scaled))


@register(inputs=("close", "market"), warm_up=SEED, memory=SLOW_MEMORY, group="default", version=2)
def market_vol_ratio(b: Block) -> np.ndarray:
    """Log of fast (lambda 0.94) over slow (0.99) EWMA volatility of the market's mean return."""
    return b.by_session("vol_ratio", lambda market: 0.5 * kernels.log_ratio(market.fast, market.slow, np.nan))


@register(inputs=("close", "market", "macro"), warm_up=SEED, memory=FAST_MEMORY, group="default", version=2)
def vix_market_vol(b: Block) -> np.ndarray:
    """Log of the VIX as a daily volatility over the EWMA volatility of the market's mean return; 0 where no VIX is known."""

    def ratio(market: Market) -> np.ndarray:
        daily = market.macro_value("VIX") / (100.0 * np.sqrt(SESSIONS_A_YEAR))
        return np.where(np.isnan(market.fast), np.nan, kernels.log_ratio(daily, np.sqrt(market.fast), 0.0))

    return b.by_session("vix_market_vol", ratio)


@register(inputs=("macro",), warm_up=0, group="default")
def vix_level(b: Block) -> np.ndarray:
    """log(VIX / 20) with the VIX known at the close; 0 where none is."""
    return b.by_session(
        "vix_level", lambda market: kernels.log_ratio(market.macro_value("VIX"), np.full(market.size, USUAL_VIX), 0.0)
    )


@register(inputs=("close", "split", "dividend"), warm_up=SEED, memory=FAST_MEMORY, group="default")
def vol_level(b: Block) -> np.ndarray:
    """log(scale / 0.02)."""
    return 0.5 * b.log_variance - np.log(USUAL_VOLATILITY)


@register(inputs=("close", "split", "dividend", "market"), warm_up=SEED, memory=FAST_MEMORY, group="default", version=2)
def excess_return(b: Block) -> np.ndarray:
    """The session's return over the scale less the market's mean of it."""
    return ret(b) - market_return(b)
