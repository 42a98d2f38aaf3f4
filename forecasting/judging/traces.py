"""What a picture of the forecasts is drawn from: for a few symbols, what was said from each session and what came true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.inputs import Inputs


@dataclass(frozen=True)
class Trace:
    """The judged sessions of one symbol, oldest first; prices in its currency, in the units of each origin's close.

    ``quantiles``: forecast prices [n, H, Q]; ``actual``: the close at each horizon [n, H], NaN where it is not known;
    ``target``: the session it was for, datetime64[D] [n, H], NaT where it has no bar.
    ``before``: up to a year of closes up to the last origin, with its sessions, for the fan.
    """

    symbol: str
    horizons: tuple[int, ...]
    origin: np.ndarray
    close: np.ndarray
    quantiles: np.ndarray
    actual: np.ndarray
    target: np.ndarray
    before: tuple[np.ndarray, np.ndarray]


def trace(inputs: Inputs, rows: np.ndarray, quantiles: np.ndarray, symbol: str) -> Trace | None:
    """The trace of ``symbol`` from the quantiles of the log return [N, H, Q] of ``rows``; None where none is the symbol's."""
    panel, targets = inputs.panel, inputs.targets
    if symbol not in panel.symbols:
        return None
    i = panel.symbols.index(symbol)
    mine = np.flatnonzero((rows >= panel.starts[i]) & (rows < panel.starts[i + 1]))
    if not len(mine):
        return None
    mine = mine[np.argsort(rows[mine], kind="stable")]
    own = rows[mine]
    close = panel.close[own]
    settles = targets.settles_at[own]
    padded = np.append(panel.sessions, np.datetime64("NaT", "D"))
    past = slice(max(panel.starts[i], own[-1] - 250), own[-1] + 1)
    before = (panel.sessions[panel.at[past]], panel.close[past].copy())
    return Trace(
        symbol, targets.horizons, panel.sessions[panel.at[own]], close, close[:, None, None] * np.exp(quantiles[mine]),
        close[:, None] * np.exp(targets.returns[own]), padded[settles], before,
    )  # fmt: skip
