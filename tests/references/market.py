"""A small market with everything that features must live with, as a panel: gaps, splits, dividends, unknown cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.panel import Panel

COLUMNS = ["symbol", "session", "open", "high", "low", "close", "volume"]


def small_bars(symbols: int = 4, sessions: int = 330, seed: int = 3) -> pd.DataFrame:
    """Bars of S0, S1, ...: S1 begins 40 sessions later, S2 pauses for 60 sessions, some days lack an open or a volume."""
    random = np.random.default_rng(seed)
    days = pd.bdate_range("2021-01-04", periods=sessions).as_unit("us")
    parts = []
    for k in range(symbols):
        close = 50 * (k + 1) * np.exp(np.cumsum(random.normal(0, 0.01 * (k + 1), sessions)))
        open_ = close * np.exp(random.normal(0, 0.004, sessions))
        high = np.maximum(open_, close) * (1 + random.uniform(0, 0.01, sessions))
        low = np.minimum(open_, close) * (1 - random.uniform(0, 0.01, sessions))
        volume = np.round(np.exp(random.normal(12, 0.4, sessions)))
        volume[random.random(sessions) < 0.03] = 0.0
        open_[random.random(sessions) < 0.03] = np.nan
        frame = pd.DataFrame(dict(zip(COLUMNS, (f"S{k}", days, open_, high, low, close, volume), strict=True)))
        keep = np.ones(sessions, dtype=bool)
        if k == 1:
            keep[:40] = False
        if k == 2:
            keep[150:210] = False
        parts.append(frame[keep])
    return pd.concat(parts, ignore_index=True)


def small_actions() -> pd.DataFrame:
    rows = [
        ("S0", "2021-06-01", "split", 4.0), ("S0", "2021-09-01", "dividend", 0.3),
        ("S3", "2021-08-02", "split", 0.1), ("S3", "2021-08-02", "dividend", 1.5),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["symbol", "session", "kind", "value"])
    return frame.assign(session=pd.to_datetime(frame["session"]).astype("datetime64[us]"))


def small_panel(**options) -> Panel:
    return Panel.from_frames(small_bars(**options), small_actions())


def small_macro(sessions: int = 330) -> pd.DataFrame:
    """A VIX that is silent for a month, known on the session after its date."""
    days = pd.bdate_range("2021-01-05", periods=sessions).as_unit("us")
    value = 20 * np.exp(np.random.default_rng(8).normal(0, 0.2, sessions))
    frame = pd.DataFrame({"series": "VIX", "session": days, "value": value})
    return frame[(frame.index < 100) | (frame.index >= 122)].reset_index(drop=True)
