"""What every model is given: the panel, its features, and the outcomes to learn from or be judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import ConstantSeries, DataError, NotEnoughHistory, StaleSymbol
from forecasting.features import compute_features
from forecasting.panel import Panel
from forecasting.targets import Targets, make_targets

SUSPENSION = 40  # sessions without a bar: the price that it resumes at says little about the one before
STALE_RUN = 10


@dataclass(frozen=True)
class Inputs:
    """Rows in (symbol, session) order: ``values`` float32 [R, F] unscaled features (NaN: undefined), and the targets."""

    panel: Panel
    names: tuple[str, ...]
    values: np.ndarray
    targets: Targets


def make_inputs(
    panel: Panel,
    names: tuple[str, ...],
    horizons: tuple[int, ...],
    market_symbols: tuple[str, ...] | None = None,
    macro: pd.DataFrame | None = None,
) -> Inputs:
    """Compute features and targets of every row, from nothing later than the row (features) or its horizon (targets)."""
    matrix = compute_features(panel, names, market_symbols=market_symbols, macro=macro)
    return Inputs(panel, tuple(matrix.names), matrix.values, make_targets(panel, horizons))


def ready_rows(panel: Panel, targets: Targets, lookback: int) -> np.ndarray:
    """Rows that a forecast can be made from, bool [R]: ``lookback`` bars of the symbol up to it, and a known scale."""
    nth = np.arange(panel.rows) - panel.starts[:-1][panel.symbol_index]
    return (nth >= lookback - 1) & np.isfinite(targets.scale)


def learnable_rows(panel: Panel, lookback: int) -> np.ndarray:
    """Rows from which something may be learnt, bool [R]: none whose window of ``lookback`` bars crosses a suspension, and none
    of a run of identical bars without volume, where nothing was traded that a forecast could be about."""
    first = np.zeros(panel.rows, dtype=bool)
    first[panel.starts[:-1]] = True
    step = np.diff(panel.ordinal, prepend=panel.ordinal[:1])
    crossed = np.cumsum((step > SUSPENSION) & ~first)
    back = np.maximum(np.arange(panel.rows) - (lookback - 1), panel.starts[:-1][panel.symbol_index])
    same = (panel.volume == 0.0) & ~first
    same[1:] &= (panel.volume[:-1] == 0.0) & (panel.close[1:] == panel.close[:-1])
    run = np.cumsum(~same)
    stale = np.bincount(run)[run] >= STALE_RUN if panel.rows else same
    return (crossed == crossed[back]) & ~stale


def rows_at(inputs: Inputs, symbols: Sequence[str], origin: date, lookback: int) -> tuple[dict[str, int], dict[str, DataError]]:
    """The row of each symbol's bar at ``origin``, or why no forecast can be made from it.

    A symbol without a bar at the origin gets none: a forecast from an older close would be stale without saying so.
    """
    panel, day = inputs.panel, np.datetime64(origin, "D")
    position = {symbol: i for i, symbol in enumerate(panel.symbols)}
    rows: dict[str, int] = {}
    refused: dict[str, DataError] = {}
    for symbol in symbols:
        if symbol not in position:
            refused[symbol] = NotEnoughHistory(symbol, 0, lookback, "one forecast", origin)
            continue
        a, b = (int(x) for x in panel.starts[position[symbol] : position[symbol] + 2])
        own = panel.session_of(position[symbol])
        found = int(np.searchsorted(own, day, side="right"))
        row = a + found - 1
        if found and own[found - 1] != day:
            refused[symbol] = StaleSymbol(symbol, own[found - 1], origin)
        elif found < lookback:
            refused[symbol] = NotEnoughHistory(symbol, found, lookback, "one forecast", origin)
        elif not np.isfinite(inputs.targets.scale[row]) or np.ptp(panel.close[row + 1 - lookback : row + 1]) == 0:
            refused[symbol] = ConstantSeries(symbol, lookback)
        else:
            rows[symbol] = row
    return rows, refused
