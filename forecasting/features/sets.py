"""Named sets of features, so that a spec can say ``["set:volatility", "rsi_14"]``.

A set is a plain list of names from the registry (``forecasting.features``); their definitions are in docs/features.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from forecasting.errors import SettingError

PREFIX = "set:"

CORE = (
    "ret", "abs_ret", "overnight", "range", "vol_fast_slow", "range_vol", "volume_surprise", "momentum_20", "momentum_250",
    "market_return", "market_vol_ratio", "vix_market_vol", "vix_level", "vol_level", "excess_return",
)  # fmt: skip
EVENTS = (
    "event_day_1", "event_1", "event_5", "event_20", "event_year_1", "event_year_5", "event_wide_1", "event_past_5", "jump_10",
    "jump_33", "vol_absolute",
)  # fmt: skip
#: Chosen on 2013 to 2020: docs/decisions/0007-what-the-network-is-told.md.
DEFAULT_FEATURES = CORE + EVENTS

SETS: dict[str, tuple[str, ...]] = {
    "default": DEFAULT_FEATURES,
    "core": CORE,
    "classical": (
        "close_lag_1", "close_lag_2", "close_lag_5", "return_5", "sma_20", "sma_60", "ema_12", "ema_26", "wma_20", "dema_20",
        "tema_20", "kama_20", "macd", "macd_signal", "macd_hist", "ppo", "trix_15", "roc_10", "rsi_14", "stochastic_14",
        "stochastic_signal_14", "stochastic_rsi_14", "williams_14", "cci_20", "mfi_14", "cmo_14", "ultimate", "adx_14",
        "plus_di_14", "minus_di_14", "aroon_25", "aroon_up_25", "aroon_down_25", "bollinger_20", "bollinger_width_20", "atr_14",
        "balance_of_power", "obv", "accumulation_20", "slope_20", "trend_fit_20", "high_distance_250", "low_distance_250",
    ),
    "volatility": (
        "vol_level", "vol_fast_slow", "range_vol", "ewma_vol_5", "ewma_vol_10", "ewma_vol_60", "ewma_vol_120", "ewma_vol_250",
        "parkinson_5", "parkinson_20", "garman_klass_5", "garman_klass_20", "rogers_satchell_5", "rogers_satchell_20",
        "yang_zhang_20", "har_1", "har_5", "har_22", "semivariance_up_20", "semivariance_down_20", "downside_share_20",
        "downside_share_60", "skew_60", "kurtosis_60", "largest_return_20", "smallest_return_20", "jump_share_20",
        "vol_of_vol_20", "overnight_share_20", "autocorrelation_20", "variance_ratio_60",
    ),
    "liquidity": (
        "volume_surprise", "amihud_20", "amihud_ratio_20", "dollar_volume_20", "volume_trend_5", "volume_trend_20",
        "volume_variation_20", "zero_volume_20", "zero_return_20", "roll_spread_60", "high_low_spread_20",
        "volume_correlation_20",
    ),
    "calendar": (
        "monday", "tuesday", "wednesday", "thursday", "friday", "days_since", "days_to_next", "month_turn",
        "sessions_to_month_end", "quarter_end", "expiry_week", "half_day", "half_day_next", "holiday_since", "holiday_to",
        "season_sin", "season_cos",
    ),
    "market": (
        "market_return", "excess_return", "market_vol_ratio", "market_vol_level", "market_momentum_20", "market_momentum_250",
        "market_breadth", "dispersion", "dispersion_ratio", "average_correlation", "beta_60", "beta_250",
        "market_correlation_60", "idio_volatility_60", "residual_momentum_60", "residual_momentum_250", "rank_return_5",
        "rank_return_20", "rank_return_250", "rank_volatility", "rank_dollar_volume_20",
    ),
    "macro": (
        "vix_level", "vix_market_vol", "vix_change_5", "vix_change_20", "vix_term", "rate_level", "rate_change_20",
        "policy_rate", "curve_slope", "curve_slope_change_20", "curve_slope_long", "credit_spread", "credit_change_20",
        "breakeven", "breakeven_change_20", "dollar_change_20", "oil_change_20",
    ),
    "events": EVENTS,
}  # fmt: skip


def set_names() -> tuple[str, ...]:
    """The names of the sets, ``all`` (every set one after the other) last."""
    return (*SETS, "all")


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """``names`` with each ``set:NAME`` replaced by its features; the order kept, doubles dropped. SettingError for no such set.

    >>> expand(["ret", "set:default"])[:3]
    ('ret', 'abs_ret', 'overnight')
    """
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys(_members(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else (name,)))
    return tuple(found)


def _members(name: str) -> tuple[str, ...]:
    if name == "all":
        return tuple(dict.fromkeys(one for members in SETS.values() for one in members))
    if name not in SETS:
        near = difflib.get_close_matches(name, set_names(), n=1)
        hint = f"; did you mean {PREFIX + near[0]!r}?" if near else ""
        raise SettingError("features", PREFIX + name, f"one of {', '.join(PREFIX + known for known in set_names())}{hint}")
    return SETS[name]
