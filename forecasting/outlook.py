"""From a fitted model to the rows of the ledger: quantiles in money, and the chance of a higher close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import DataError, NoNetwork, WildForecast
from forecasting.inputs import Inputs, rows_at
from forecasting.metrics import LEVELS, probability_up
from forecasting.models import Fitted
from forecasting.targets import log_returns

QUANTILE_COLUMNS = tuple(f"q{round(level * 100):02d}" for level in LEVELS)
COLUMNS = ("symbol", "origin", "horizon", "forecaster", "target_session", "close", "scale", *QUANTILE_COLUMNS, "p_up")
WILD = 10.0  # standard deviations: where a 90 % interval ends that cannot be meant
Refused = tuple[str, date, DataError]  # symbol, origin, why
TargetSession = Callable[[str, date, int], date]  # the session that is so many sessions after the origin


def outlook(
    fitted: Fitted, inputs: Inputs, symbols: Sequence[str], origins: Sequence[date], target_session: TargetSession,
    forecasters: tuple[str, ...] | None = None,
) -> tuple[pd.DataFrame, list[Refused]]:  # fmt: skip
    """Forecast each symbol from each origin with every forecaster of the model.

    ``inputs`` may reach past an origin: a row's forecast uses nothing later than the row (the truncation tests show it).
    Returns the rows in (origin, symbol, horizon, forecaster) order with COLUMNS - prices in the currency and units of the
    origin's close, sessions as datetime64[us], ``scale`` the daily volatility of log returns - and who was refused, and why.
    A WildForecast concerns one forecaster: its row is there where it can be told in prices, for the record of a rival.
    """
    chosen: list[tuple[date, str, int]] = []
    refused: list[Refused] = []
    for origin in origins:
        rows, problems = rows_at(inputs, symbols, origin, fitted.spec.lookback)
        chosen += [(origin, symbol, row) for symbol, row in sorted(rows.items()) if fitted.knows(symbol)]
        refused += [(symbol, origin, problem) for symbol, problem in problems.items()]
        strangers = [symbol for symbol in rows if not fitted.knows(symbol)]
        refused += [(symbol, origin, NoNetwork(symbol)) for symbol in strangers]
    row = np.array([r for _, _, r in chosen], dtype=np.int64)
    answers = fitted.quantiles(inputs, row, forecasters) if len(row) else {}
    close, scale = inputs.panel.close[row], inputs.targets.scale[row]
    records = []
    for name, quantiles in answers.items():
        away = deviations(inputs, row, quantiles, fitted.spec.horizons)
        wild = [(*chosen[n][:2], away[n]) for n in np.flatnonzero(~(away <= WILD))]  # also what is no number
        refused += [(symbol, origin, WildForecast(symbol, name, far)) for origin, symbol, far in wild]
        with np.errstate(over="ignore", under="ignore"):
            prices = close[:, None, None] * np.exp(quantiles)
        told = np.flatnonzero((np.isfinite(prices) & (prices > 0)).all(axis=(1, 2)))
        for n, p_up in zip(told, probability_up(quantiles[told]), strict=True):
            origin, symbol, _ = chosen[n]
            for k, horizon in enumerate(fitted.spec.horizons):
                target = target_session(symbol, origin, horizon)
                records.append((symbol, origin, horizon, name, target, close[n], scale[n], *prices[n, k], p_up[k]))
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    for column in ("origin", "target_session"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[us]")
    return frame.sort_values(["origin", "symbol", "horizon", "forecaster"], ignore_index=True), refused


def deviations(inputs: Inputs, rows: np.ndarray, quantiles: np.ndarray, horizons: Sequence[int]) -> np.ndarray:
    """How far the farthest of a row's quantiles (log returns [N, H, Q]) is from the close, in standard deviations, [N]; NaN
    where one of them is no number. ``rows`` int [N].

    A standard deviation is the present one of the symbol or that of all its returns up to the row, whichever is larger, times
    the root of the horizon: neither a calm month nor a calm past makes a forecast wild.
    """
    panel = inputs.panel
    spread = inputs.targets.scale[rows].astype(np.float64)
    reach = np.abs(quantiles).max(axis=-1) / np.sqrt(np.asarray(horizons, dtype=np.float64))
    far = np.flatnonzero((reach > WILD * spread[:, None]).any(axis=1))
    returns = log_returns(panel) if len(far) else None
    for n in far:
        first = panel.starts[panel.symbol_index[rows[n]]]
        spread[n] = max(spread[n], np.nanstd(returns[first : rows[n] + 1]))
    return (reach / spread[:, None]).max(axis=1)
