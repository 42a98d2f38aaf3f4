"""A symbol within its market: what all did, how it moved with them, and its place among them.

The market is what ``compute_features`` is told it is: the symbols that the model was trained on, each with its last session
that had closed by then. Returns are daily log total returns, the market's is the mean over its symbols.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import kernels, register
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block
from forecasting.features.default import FAST_MEMORY, SEED, SLOW_MEMORY
from forecasting.features.market_context import FAST, SLOW, Market

OWN = ("close", "split", "dividend", "market")
USUAL_MARKET_VOLATILITY = 0.01  # a day of a usual market; only centres the level


def _dispersion(market: Market) -> np.ndarray:
    """Standard deviation over the symbols of the session's return over its own scale."""

    def square(rows: slice) -> np.ndarray:
        scaled = market.scaled(rows)
        return scaled * scaled

    mean = market.mean_scaled
    return np.sqrt(np.maximum(market.average("scaled square", square) - mean * mean, 0.0))


def _positive(x: np.ndarray) -> np.ndarray:
    """What is not above zero is not known: a market of one symbol has no dispersion."""
    return np.where(x > 0.0, x, np.nan)


@register(inputs=("close", "market"), warm_up=SEED, memory=FAST_MEMORY, group="market")
def market_vol_level(b: Block) -> np.ndarray:
    """Log of the EWMA volatility (lambda 0.94) of the market's mean return over 0.01."""
    return b.by_session("vol_level", lambda m: 0.5 * kernels.logarithm(m.fast) - np.log(USUAL_MARKET_VOLATILITY))


@register(
    inputs=("close", "market"), warm_up=lambda n: max(n, SEED), memory=lambda n: max(n, FAST_MEMORY), group="market",
    parameters="n",
)  # fmt: skip
def market_momentum(b: Block, n: int) -> np.ndarray:
    """Sum of the market's mean returns of n sessions over its EWMA volatility times sqrt(n)."""

    def momentum(m: Market) -> np.ndarray:
        def sums(mean: np.ndarray) -> np.ndarray:
            whole = np.array([0, mean.size], dtype=np.int64)
            total = kernels.cumulative(whole, mean)
            return np.where(np.arange(mean.size) == n - 1, total, kernels.difference(whole, total, n))

        return m.over_known(sums) / np.sqrt(m.fast * n)

    return b.by_session(f"momentum {n}", momentum)


@register(inputs=("close", "market"), warm_up=1, group="market")
def market_breadth(b: Block) -> np.ndarray:
    """Share of the market's symbols that rose in the session less the share that fell, -1 to 1."""
    return b.by_session("breadth", lambda m: m.average("sign", lambda rows: np.sign(m.returns[rows])))


@register(inputs=("close", "market"), warm_up=SEED, memory=FAST_MEMORY, group="market")
def dispersion(b: Block) -> np.ndarray:
    """Log of the standard deviation over the market's symbols of the session's return over its own scale; 0 for a market of
    one symbol."""

    def level(m: Market) -> np.ndarray:
        found = _dispersion(m)
        return np.where(np.isnan(found), np.nan, np.nan_to_num(kernels.logarithm(found), nan=0.0))

    return b.by_session("dispersion", level)


@register(inputs=("close", "market"), warm_up=2 * SEED - 1, memory=SLOW_MEMORY, group="market")
def dispersion_ratio(b: Block) -> np.ndarray:
    """Log of fast (lambda 0.94) over slow (0.99) EWMA of the market's squared dispersion, as a volatility; 0 for one symbol."""

    def ratio(m: Market) -> np.ndarray:
        found = _dispersion(m)
        fast, slow = (kernels.ewma_square(m.whole, _positive(found), lam) for lam in (FAST, SLOW))
        young = np.isnan(kernels.ewma_square(m.whole, np.where(np.isnan(found), np.nan, 1.0), FAST))
        return np.where(young, np.nan, 0.5 * kernels.log_ratio(fast, slow, 0.0))

    return b.by_session("dispersion_ratio", ratio)


@register(inputs=("close", "market"), warm_up=SEED, memory=FAST_MEMORY, group="market")
def average_correlation(b: Block) -> np.ndarray:
    """EWMA variance (lambda 0.94) of the market's mean return over the mean of its symbols' own: about their average
    correlation (Pollet and Wilson 2010)."""
    return b.by_session("correlation", lambda m: m.fast / m.average("variance", lambda rows: np.sqrt(m.variance[rows]) ** 2))


def _market_return(b: Block) -> np.ndarray:
    return b.memo(("market_mean",), lambda: b.by_session("mean", lambda m: m.mean))


def _regression(b: Block, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the regression of n returns on the market's: beta, alpha, variance of the returns and of the residuals."""

    def make() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        r, m = b.returns + 0.0 * _market_return(b), _market_return(b) + 0.0 * b.returns
        mean_r, var_r = windows.rolling_variance(b.starts, r, n)
        mean_m, var_m = windows.rolling_variance(b.starts, m, n)
        cov = windows.rolling_sum(b.starts, r * m, n) / n - mean_r * mean_m
        beta = np.where(var_m > kernels.TINY_VARIANCE, cov / var_m, 0.0 * cov)
        return beta, mean_r - beta * mean_m, var_r, np.maximum(var_r - beta * cov, 0.0)

    return b.memo(("regression", n), make)


@register(inputs=OWN, warm_up=lambda n: n, group="market", parameters="n")
def beta(b: Block, n: int) -> np.ndarray:
    """Slope of the regression of the symbol's last n returns on the market's; 0 where the market did not move."""
    return _regression(b, n)[0]


@register(inputs=OWN, warm_up=lambda n: n, group="market", parameters="n")
def market_correlation(b: Block, n: int) -> np.ndarray:
    """Correlation of the symbol's last n returns with the market's, -1 to 1; 0 where one did not move."""
    slope, _, whole, rest = _regression(b, n)
    explained = np.where(whole > kernels.TINY_VARIANCE, 1.0 - rest / whole, 0.0 * whole)
    return np.sign(slope) * np.sqrt(np.clip(explained, 0.0, 1.0))


@register(
    inputs=OWN, warm_up=lambda n: max(n, SEED), memory=lambda n: max(n, FAST_MEMORY), group="market", parameters="n"
)  # fmt: skip
def idio_volatility(b: Block, n: int) -> np.ndarray:
    """Standard deviation of the residuals of the regression of n returns on the market's, over the scale (idiosyncratic
    volatility, Ang, Hodrick, Xing and Zhang 2006, with one factor)."""
    return np.sqrt(_regression(b, n)[3]) / b.scale


@register(inputs=OWN, warm_up=lambda n: n, group="market", parameters="n")
def residual_momentum(b: Block, n: int) -> np.ndarray:
    """Alpha of the regression of n returns on the market's times sqrt(n) over the standard deviation of its residuals
    (Blitz, Huij and Martens 2011, with one factor); 0 without residuals."""
    _, alpha, whole, rest = _regression(b, n)
    left = rest > 1e-9 * whole  # less is the rounding of a symbol that is its own market
    return np.where(left, alpha * np.sqrt(n) / np.sqrt(rest), np.where(np.isnan(rest), np.nan, 0.0))


@register(inputs=OWN, warm_up=lambda n: n, group="market", parameters="n", across=lambda n: f"return_{n}")
def rank_return(b: Block, n: int) -> np.ndarray:
    """Place of the log total return of n sessions among the market's symbols that session: -0.5 lowest, 0.5 highest."""
    return b.rank(f"return_{n}")


@register(inputs=OWN, warm_up=SEED, memory=FAST_MEMORY, group="market", across="vol_level")
def rank_volatility(b: Block) -> np.ndarray:
    """Place of the scale (EWMA volatility, lambda 0.94) among the market's symbols that session: -0.5 lowest, 0.5 highest."""
    return b.rank("vol_level")


@register(
    inputs=("close", "volume", "market"), warm_up=lambda n: n - 1, group="market", parameters="n",
    across=lambda n: f"dollar_volume_{n}",
)  # fmt: skip
def rank_dollar_volume(b: Block, n: int) -> np.ndarray:
    """Place of the mean value traded in n sessions among the market's symbols that session: -0.5 lowest, 0.5 highest; of
    one currency only a ranking of sizes."""
    return b.rank(f"dollar_volume_{n}")
