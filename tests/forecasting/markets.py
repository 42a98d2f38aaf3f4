"""Small panels for the domain's tests, where the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.panel import Panel


def walk_frame(seed: int, symbol: str, sessions: int, signal: float = 0.0, start: str = "2012-01-02") -> pd.DataFrame:
    """A random walk with one percent moves; ``signal``: share of yesterday's move that is repeated today."""
    draw = np.random.default_rng([seed, *symbol.encode()])
    moves = draw.normal(0, 0.01, sessions)
    for t in range(1, sessions):
        moves[t] += signal * moves[t - 1]
    close = 50 * np.exp(np.cumsum(moves))
    gap = np.exp(draw.normal(0, 0.003, sessions))
    opened = np.append(close[0], close[:-1]) * gap
    high = np.maximum(opened, close) * np.exp(np.abs(draw.normal(0, 0.003, sessions)))
    low = np.minimum(opened, close) / np.exp(np.abs(draw.normal(0, 0.003, sessions)))
    volume = np.round(1e6 * np.exp(draw.normal(0, 0.3, sessions)))
    days = pd.bdate_range(start, periods=sessions)
    return pd.DataFrame(
        {"symbol": symbol, "session": days, "open": opened, "high": high, "low": low, "close": close, "volume": volume}
    )


def walks(seed: int, symbols: int, sessions: int, signal: float = 0.0) -> Panel:
    """Independent walks of S00, S01, ..."""
    return Panel.from_frames(pd.concat([walk_frame(seed, f"S{i:02d}", sessions, signal) for i in range(symbols)]))
