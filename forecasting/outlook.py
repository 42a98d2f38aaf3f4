"""From a fitted model to the rows of the ledger: quantiles in money, and the chance of a higher close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import DataError, NoNetwork
from forecasting.inputs import Inputs, rows_at
from forecasting.metrics import LEVELS, probability_up
from forecasting.models import Fitted

QUANTILE_COLUMNS = tuple(f"q{round(level * 100):02d}" for level in LEVELS)
COLUMNS = ("symbol", "origin", "horizon", "forecaster", "target_session", "close", "scale", *QUANTILE_COLUMNS, "p_up")
TargetSession = Callable[[str, date, int], date]  # the session that is so many sessions after the origin


def outlook(
    fitted: Fitted, inputs: Inputs, symbols: Sequence[str], origins: Sequence[date], target_session: TargetSession,
    forecasters: tuple[str, ...] | None = None,
) -> tuple[pd.DataFrame, list[tuple[str, date, DataError]]]:  # fmt: skip
    """Forecast each symbol from each origin with every forecaster of the model.

    ``inputs`` may reach past an origin: a row's forecast uses nothing later than the row (the truncation tests show it).
    Returns the rows in (origin, symbol, horizon, forecaster) order with COLUMNS - prices in the currency and units of the
    origin's close, sessions as datetime64[us], ``scale`` the daily volatility of log returns - and who was refused, and why.
    """
    chosen: list[tuple[date, str, int]] = []
    refused: list[tuple[str, date, DataError]] = []
    for origin in origins:
        rows, problems = rows_at(inputs, symbols, origin, fitted.spec.lookback)
        chosen += [(origin, symbol, row) for symbol, row in sorted(rows.items()) if fitted.knows(symbol)]
        refused += [(symbol, origin, problem) for symbol, problem in problems.items()]
        strangers = [symbol for symbol in rows if not fitted.knows(symbol)]
        refused += [(symbol, origin, NoNetwork(symbol)) for symbol in strangers]
    row = np.array([r for _, _, r in chosen], dtype=np.int64)
    answers = (
        fitted.quantiles(inputs, row, forecasters) if len(row) else {name: np.empty((0, 0, 0)) for name in fitted.forecasters}
    )
    close, scale = inputs.panel.close[row], inputs.targets.scale[row]
    records = []
    for name, quantiles in answers.items():
        p_up = probability_up(quantiles) if len(row) else quantiles
        prices = close[:, None, None] * np.exp(quantiles) if len(row) else quantiles
        for n, (origin, symbol, _) in enumerate(chosen):
            for k, horizon in enumerate(fitted.spec.horizons):
                target = target_session(symbol, origin, horizon)
                records.append((symbol, origin, horizon, name, target, close[n], scale[n], *prices[n, k], p_up[n, k]))
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    for column in ("origin", "target_session"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[us]")
    return frame.sort_values(["origin", "symbol", "horizon", "forecaster"], ignore_index=True), refused
