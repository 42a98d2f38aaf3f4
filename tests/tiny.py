"""A whole installation in miniature: three made-up symbols, a network of four units, a run in seconds.

The forecasts are worth nothing; every step that a real run takes is taken.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sources.synthetic import SyntheticSource

SYMBOLS = ("AAA", "BBB", "CCC")
SESSIONS = 320  # of XNYS from 2020-01-02: the last one is 2021-04-09
LAST = "2021-04-09"
# Learnt in a second; forecasts nothing.
NETWORK = """
[lstm]
features = ["ret", "range"]
lookback = 20
labels_per_sequence = 40
stem_units = 0
units = [4]
head_units = 4
members = 1
epochs = 1
min_updates = 4
batch_size = 8

[evaluation]
valid_sessions = 40
test_sessions = 60
plots = false
"""
SETTINGS = (
    """
[universe]
symbols = ["AAA", "BBB", "CCC"]

[source]
name = "synthetic"
chunk = 2
options = { symbols = ["AAA", "BBB", "CCC"], sessions = 320, start = "2020-01-02", events = false }
"""
    + NETWORK
)


def tiny_home(folder: Path) -> Path:
    """A home folder with the settings above."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


def tiny_bars(symbols: tuple[str, ...] = SYMBOLS, sessions: int = SESSIONS) -> pd.DataFrame:
    """The same market as a frame of bars."""
    return SyntheticSource(symbols=symbols, sessions=sessions, start="2020-01-02", events=False).fetch(symbols, None, None).bars


def prices_file(path: Path, bars: pd.DataFrame) -> Path:
    """The bars as a CSV file as people have it: ticker, Date, Open, High, Low, Close, Volume."""
    named = bars.rename(columns={"symbol": "ticker", "session": "Date"} | {c: c.title() for c in bars.columns[2:]})
    named.assign(Date=named["Date"].dt.strftime("%Y-%m-%d")).to_csv(path, index=False)
    return path
