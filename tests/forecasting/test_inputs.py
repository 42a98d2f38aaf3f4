"""From which rows something may be learnt: not over a suspension, and not from days on which nothing was traded."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.inputs import learnable_rows
from forecasting.panel import Panel
from forecasting.sessions import sessions_between

DAYS = sessions_between("XNYS", "2020-01-02", "2021-12-31")


def panel(symbol_days: dict[str, np.ndarray], volume: dict[str, np.ndarray] | None = None) -> Panel:
    parts = []
    for symbol, at in symbol_days.items():
        close = 100.0 + np.arange(len(at)) % 7
        traded = np.full(len(at), 1000.0) if volume is None else volume[symbol]
        close = np.where(traded == 0.0, 50.0, close)
        parts.append(
            pd.DataFrame({"symbol": symbol, "session": DAYS[at].astype("datetime64[us]"), "open": close, "high": close + 1,
                          "low": close - 1, "close": close, "volume": traded})
        )  # fmt: skip
    return Panel.from_frames(pd.concat(parts, ignore_index=True), sessions=DAYS)


def test_learnable__no_window_crosses_a_suspension_of_forty_sessions():
    halted = np.delete(np.arange(200), np.arange(100, 140))  # 40 sessions are missing after row 99
    paused = np.delete(np.arange(200), np.arange(100, 139))  # 39: a pause, no suspension
    learnt = learnable_rows(panel({"AAA": halted, "BBB": paused}), lookback=20)
    assert np.flatnonzero(~learnt[:160]).tolist() == list(range(100, 119))  # the first window that begins after it ends at 119
    assert learnt[160:].all()


def test_learnable__ten_identical_bars_without_volume_teach_nothing_nine_may():
    volume = np.full(100, 1000.0)
    volume[30:40] = 0.0
    few = np.full(100, 1000.0)
    few[30:39] = 0.0
    learnt = learnable_rows(panel({"AAA": np.arange(100), "BBB": np.arange(100)}, {"AAA": volume, "BBB": few}), lookback=20)
    assert np.flatnonzero(~learnt).tolist() == list(range(30, 40))


def test_learnable__of_an_ordinary_series_everything_is():
    assert learnable_rows(panel({"AAA": np.arange(300), "BBB": np.arange(50, 250)}), lookback=60).all()
