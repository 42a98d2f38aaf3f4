"""What a table of bars, actions or forecasts is, described once and checked at the doors.

The name of each row rule is the reason code under which a row that breaks it is set aside (see ``cleaning.REASONS``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

ROUNDING = 1e-4  # adjusted prices are computed and rounded: an open may lie this much (relative) outside of low..high
LARGEST_PRICE, SMALLEST_PRICE = 1e9, 1e-6
PRICES = ("open", "high", "low", "close")
SYMBOL_PATTERN = r"[A-Z0-9^][A-Z0-9.^=&-]{0,19}"
HORIZON_LIMIT = 250
QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")

_row = {"ignore_na": False}  # without it pandera passes over every row that has an unknown cell


def _known(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].notna().to_numpy()


class RawBars(pa.DataFrameModel):
    """Bars as a source delivers them, numbers already coerced (NaN where that failed); the row rules of cleaning."""

    symbol: Series[str] = pa.Field(nullable=True)
    session: Series[pd.Timestamp] = pa.Field(nullable=True)
    open: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    close: Series[float] = pa.Field(nullable=True)
    volume: Series[float] = pa.Field(nullable=True)

    @pa.dataframe_check(name="bad_symbol", **_row)
    def _symbol_is_one(cls, frame: pd.DataFrame) -> Series[bool]:
        names = frame["symbol"].unique()
        known = pd.Series(names).str.fullmatch(SYMBOL_PATTERN).fillna(False).to_numpy(dtype=bool)
        return frame["symbol"].isin(names[known])

    @pa.dataframe_check(name="bad_session", **_row)
    def _session_is_a_date(cls, frame: pd.DataFrame) -> Series[bool]:
        return frame["session"].notna()

    @pa.dataframe_check(name="nan_close", **_row)
    def _close_is_known(cls, frame: pd.DataFrame) -> Series[bool]:
        return frame["close"].notna()

    @pa.dataframe_check(name="non_finite", **_row)
    def _numbers_are_finite(cls, frame: pd.DataFrame) -> Series[bool]:
        return _all(frame, [~np.isinf(frame[c].to_numpy()) for c in (*PRICES, "volume")])

    @pa.dataframe_check(name="non_positive_price", **_row)
    def _prices_are_positive(cls, frame: pd.DataFrame) -> Series[bool]:
        o, h, lo, c = (frame[name].to_numpy() for name in PRICES)
        return _all(frame, [~(o < 0), ~(h <= 0), ~(lo <= 0), ~(c <= 0)])

    @pa.dataframe_check(name="implausible_price", **_row)
    def _prices_are_plausible(cls, frame: pd.DataFrame) -> Series[bool]:
        size = [np.abs(frame[name].to_numpy()) for name in PRICES]
        return _all(frame, [~((s > LARGEST_PRICE) & np.isfinite(s)) & ~((s > 0) & (s < SMALLEST_PRICE)) for s in size])

    @pa.dataframe_check(name="negative_volume", **_row)
    def _volume_is_not_negative(cls, frame: pd.DataFrame) -> Series[bool]:
        return _all(frame, [~(frame["volume"].to_numpy() < 0)])

    @pa.dataframe_check(name="high_below_low", **_row)
    def _high_is_not_below_low(cls, frame: pd.DataFrame) -> Series[bool]:
        return _all(frame, [~(frame["high"].to_numpy() < frame["low"].to_numpy() * (1 - ROUNDING))])

    @pa.dataframe_check(name="outside_range", **_row)
    def _open_and_close_lie_in_the_range(cls, frame: pd.DataFrame) -> Series[bool]:
        o, h, lo, c = (frame[name].to_numpy() for name in PRICES)
        above, below = h * (1 + ROUNDING), lo * (1 - ROUNDING)
        return _all(frame, [~(c > above), ~(c < below), ~(o > above), ~((o < below) & (o > 0))])  # open 0: not known

    class Config:
        name = "RawBars"


class Bars(pa.DataFrameModel):
    """Clean bars, fit to be stored: one row a symbol and session, the close positive, unknown open, high, low, volume NaN."""

    symbol: Series[str] = pa.Field(str_matches=f"^{SYMBOL_PATTERN}$")
    session: Series[pd.Timestamp]
    open: Series[float] = pa.Field(nullable=True, gt=0, lt=LARGEST_PRICE)
    high: Series[float] = pa.Field(nullable=True, gt=0, lt=LARGEST_PRICE)
    low: Series[float] = pa.Field(nullable=True, gt=0, lt=LARGEST_PRICE)
    close: Series[float] = pa.Field(gt=0, lt=LARGEST_PRICE)
    volume: Series[float] = pa.Field(nullable=True, ge=0, lt=np.inf)

    @pa.dataframe_check(name="high_below_low", **_row)
    def _high_is_not_below_low(cls, frame: pd.DataFrame) -> Series[bool]:
        return RawBars._high_is_not_below_low(frame)

    class Config:
        name = "Bars"
        unique = ["symbol", "session"]


class Actions(pa.DataFrameModel):
    """Splits (new shares per old share) and dividends (cash per share), one row a symbol, ex-date and kind."""

    symbol: Series[str] = pa.Field(str_matches=f"^{SYMBOL_PATTERN}$")
    session: Series[pd.Timestamp]
    kind: Series[str] = pa.Field(isin=("split", "dividend"))
    value: Series[float] = pa.Field(gt=0, lt=1e6)

    class Config:
        name = "Actions"
        unique = ["symbol", "session", "kind"]


class Forecasts(pa.DataFrameModel):
    """Forecasts on their way into the ledger: ascending positive quantiles in the units of the close at the origin."""

    symbol: Series[str] = pa.Field(str_matches=f"^{SYMBOL_PATTERN}$")
    origin: Series[pd.Timestamp]
    horizon: Series[int] = pa.Field(ge=1, le=HORIZON_LIMIT)
    forecaster: Series[str]
    target_session: Series[pd.Timestamp]
    close: Series[float] = pa.Field(gt=0, lt=LARGEST_PRICE)
    scale: Series[float] = pa.Field(gt=0, lt=np.inf)
    p_up: Series[float] = pa.Field(ge=0, le=1)
    q05: Series[float] = pa.Field(gt=0, lt=np.inf)
    q10: Series[float]
    q25: Series[float]
    q50: Series[float]
    q75: Series[float]
    q90: Series[float]
    q95: Series[float] = pa.Field(lt=np.inf)

    @pa.dataframe_check(name="quantiles_cross", **_row)
    def _quantiles_ascend(cls, frame: pd.DataFrame) -> Series[bool]:
        values = frame[list(QUANTILES)].to_numpy()
        return pd.Series((np.diff(values, axis=1) >= 0).all(axis=1), index=frame.index)

    @pa.dataframe_check(name="target_not_after_origin", **_row)
    def _target_lies_ahead(cls, frame: pd.DataFrame) -> Series[bool]:
        return frame["target_session"] > frame["origin"]

    class Config:
        name = "Forecasts"
        unique = ["symbol", "origin", "horizon", "forecaster"]


def fit_actions(actions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The actions that can be true, and those that cannot (a split by zero, a negative dividend, one told twice)."""
    actions = actions.reset_index(drop=True)
    try:
        return Actions.validate(actions, lazy=True), actions.iloc[:0]
    except pa.errors.SchemaErrors as error:
        wrong = actions.index.isin(error.failure_cases["index"].dropna().astype(int))
        if not wrong.any():
            raise
        return actions[~wrong].reset_index(drop=True), actions[wrong].reset_index(drop=True)


def _all(frame: pd.DataFrame, rules: list[np.ndarray]) -> pd.Series:
    return pd.Series(np.logical_and.reduce(rules), index=frame.index)


def broken_rules(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which rows of raw bars break which rule: reason code -> row positions, ascending. ``frame`` has a fresh 0..n-1 index.

    A finding of pandera without a row (its index is None: a whole column of a wrong type, a check that crashed) concerns
    every row of the frame and is returned under 'malformed'.
    """
    try:
        RawBars.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as found:
        cases = found.failure_cases[["check", "index"]].drop_duplicates()
        whole = cases["index"].isna()
        by_rule = cases[~whole].groupby("check", sort=True)["index"]
        broken = {str(code): np.sort(rows.to_numpy(dtype=np.int64)) for code, rows in by_rule}
        if whole.any():
            broken["malformed"] = np.arange(len(frame))
        return broken
    return {}
