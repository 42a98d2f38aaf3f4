"""Rates, credit, dollar, oil and the VIX as each session's close knew them; NaN where a series is not known.

Values count from the session at whose close they were public (``forecasting.macro``), so a revision changes no earlier
row. Changes are over sessions of the symbol's exchange. Series are named as FRED and Cboe do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forecasting.features import kernels, register
from forecasting.features import window_kernels as windows
from forecasting.features.blocks import Block
from forecasting.features.market_context import Market

CHANGE = 20
YEAR = 250


def _change(market: Market, values: np.ndarray, n: int) -> np.ndarray:
    return kernels.difference(market.whole, values, n)


def _log_change(market: Market, series: str, n: int) -> np.ndarray:
    values = market.macro_value(series)
    return kernels.log_ratio(values, kernels.lag(market.whole, values, n), np.nan)


def _slope(market: Market) -> np.ndarray:
    """Ten years less two; as FRED computes it where the yields themselves are not at hand."""
    difference = market.macro_value("DGS10") - market.macro_value("DGS2")
    return np.where(np.isnan(difference), market.macro_value("T10Y2Y"), difference)


def _known(b: Block, key: str, make: Callable[[Market], np.ndarray]) -> np.ndarray:
    return b.by_session(f"macro {key}", make)


@register(inputs=("macro",), warm_up=0, group="macro", parameters="series", version=2)
def macro(b: Block, series: str) -> np.ndarray:
    """The latest value of the macro series known at the close; none older than two weeks and than 1.6 of its last pauses."""
    return _known(b, series, lambda m: m.macro_value(series))


@register(inputs=("macro",), warm_up=0, memory=CHANGE, group="macro", parameters="series", version=3)
def macro_change(b: Block, series: str) -> np.ndarray:
    """Change over 20 sessions of the macro series as known at each close."""
    return _known(b, f"change {series}", lambda m: _change(m, m.macro_value(series), CHANGE))


@register(inputs=("macro",), warm_up=0, memory=YEAR, group="macro", parameters="series")
def macro_place(b: Block, series: str) -> np.ndarray:
    """The macro series less its mean over 250 sessions, over its standard deviation there (divisor n); 0 where it is flat."""

    def place(m: Market) -> np.ndarray:
        value = m.macro_value(series)
        mean, m2 = windows.rolling_variance(m.whole, value, YEAR)
        return np.where(m2 > 1e-18, (value - mean) / np.sqrt(m2), np.where(np.isnan(m2), np.nan, 0.0))

    return _known(b, f"place {series}", place)


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def vix_change(b: Block, n: int) -> np.ndarray:
    """Log of the VIX over the VIX n sessions ago."""
    return _known(b, f"vix_change {n}", lambda m: _log_change(m, "VIX", n))


@register(inputs=("macro",), warm_up=0, group="macro")
def vix_term(b: Block) -> np.ndarray:
    """Log of the three-month VIX (VIX3M) over the VIX: below zero in turmoil."""
    return _known(b, "vix_term", lambda m: kernels.log_ratio(m.macro_value("VIX3M"), m.macro_value("VIX"), np.nan))


@register(inputs=("macro",), warm_up=0, group="macro")
def rate_level(b: Block) -> np.ndarray:
    """Yield of ten-year US Treasuries (DGS10), per cent a year."""
    return _known(b, "rate_level", lambda m: m.macro_value("DGS10"))


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def rate_change(b: Block, n: int) -> np.ndarray:
    """Change over n sessions of the yield of ten-year US Treasuries (DGS10), percentage points."""
    return _known(b, f"rate_change {n}", lambda m: _change(m, m.macro_value("DGS10"), n))


@register(inputs=("macro",), warm_up=0, group="macro")
def policy_rate(b: Block) -> np.ndarray:
    """Federal funds rate (DFF), per cent a year."""
    return _known(b, "policy_rate", lambda m: m.macro_value("DFF"))


@register(inputs=("macro",), warm_up=0, group="macro")
def curve_slope(b: Block) -> np.ndarray:
    """Slope of the yield curve: ten-year less two-year US Treasuries (DGS10 - DGS2, or T10Y2Y), percentage points."""
    return _known(b, "curve_slope", _slope)


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def curve_slope_change(b: Block, n: int) -> np.ndarray:
    """Change over n sessions of the slope from two to ten years, percentage points."""
    return _known(b, f"curve_slope_change {n}", lambda m: _change(m, _slope(m), n))


@register(inputs=("macro",), warm_up=0, group="macro")
def curve_slope_long(b: Block) -> np.ndarray:
    """Slope of the far end of the yield curve: thirty-year less ten-year US Treasuries (DGS30 - DGS10), percentage points."""
    return _known(b, "curve_slope_long", lambda m: m.macro_value("DGS30") - m.macro_value("DGS10"))


@register(inputs=("macro",), warm_up=0, group="macro")
def credit_spread(b: Block) -> np.ndarray:
    """Yield of Baa corporate bonds over ten-year US Treasuries (BAA10Y, Moody's), percentage points."""
    return _known(b, "credit_spread", lambda m: m.macro_value("BAA10Y"))


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def credit_change(b: Block, n: int) -> np.ndarray:
    """Change over n sessions of the yield of Baa corporate bonds over Treasuries (BAA10Y), percentage points."""
    return _known(b, f"credit_change {n}", lambda m: _change(m, m.macro_value("BAA10Y"), n))


@register(inputs=("macro",), warm_up=0, group="macro")
def breakeven(b: Block) -> np.ndarray:
    """Inflation expected over ten years by the bond market (T10YIE), per cent a year."""
    return _known(b, "breakeven", lambda m: m.macro_value("T10YIE"))


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def breakeven_change(b: Block, n: int) -> np.ndarray:
    """Change over n sessions of the inflation expected over ten years (T10YIE), percentage points."""
    return _known(b, f"breakeven_change {n}", lambda m: _change(m, m.macro_value("T10YIE"), n))


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def dollar_change(b: Block, n: int) -> np.ndarray:
    """Log change over n sessions of the broad dollar index (DTWEXBGS)."""
    return _known(b, f"dollar_change {n}", lambda m: _log_change(m, "DTWEXBGS", n))


@register(inputs=("macro",), warm_up=0, memory=lambda n: n, group="macro", parameters="n")
def oil_change(b: Block, n: int) -> np.ndarray:
    """Log change over n sessions of the price of West Texas crude (DCOILWTICO); NaN about the day it was below zero."""
    return _known(b, f"oil_change {n}", lambda m: _log_change(m, "DCOILWTICO", n))
