"""What an audit does to data: a small sample, with holes, cut off, poisoned, reordered or changed in one cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from forecasting.panel import Panel

PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")
POISONS = ("noise", "tenfold", "nan", "constant", "reversed")


def sample(panel: Panel, symbols: int, rows: int, random: np.random.Generator, around: np.datetime64 | None = None) -> Panel:
    """The last ``rows`` rows of some symbols; with ``around`` the rows half before and half after that session."""
    if panel.rows == 0:
        return panel
    end = panel.sessions[panel.at].max() if around is None else around
    alive = [i for i in range(len(panel.symbols)) if panel.session_of(i)[-1] >= end] or list(range(len(panel.symbols)))
    chosen = np.sort(random.choice(alive, size=min(symbols, len(alive)), replace=False))
    keep = np.zeros(panel.rows, dtype=bool)
    for i in chosen:
        begin, stop = panel.starts[i], panel.starts[i + 1]
        if around is not None:
            stop = min(stop, begin + np.searchsorted(panel.session_of(i), end, side="right") + rows // 2)
        keep[max(begin, stop - rows) : stop] = True
    return panel.take_rows(keep)


def cuts(panel: Panel, cuts: int, every_session: bool, random: np.random.Generator) -> np.ndarray:
    """Sessions to cut at, five neighbours among them, in the later half where warm-ups have ended."""
    known = np.unique(panel.session)
    if every_session or len(known) <= cuts:
        return known[:-1]
    late = known[len(known) // 2 : -1]
    week = late[-10:-5]
    other = random.choice(late, size=min(max(cuts - len(week), 1), len(late)), replace=False)
    return np.unique(np.concatenate([week, other]))


def with_holes(
    panel: Panel, macro: pd.DataFrame | None, at: np.ndarray, random: np.random.Generator
) -> tuple[Panel, pd.DataFrame | None]:
    """The sample with unknown cells, some of them on the sessions of the cuts and the day before."""
    session = panel.session
    cut_days = np.isin(session, np.concatenate([at, at - 1]))
    columns = {}
    for name in COLUMNS:
        hole = (random.random(panel.rows) < 0.02) | (cut_days & (random.random(panel.rows) < 0.4))
        columns[name] = np.where(hole, np.nan, getattr(panel, name))
    if macro is not None and len(macro):
        lost = (random.random(len(macro)) < 0.05) | np.isin(macro["session"].to_numpy().astype("datetime64[D]"), at)
        macro = macro.assign(value=np.where(lost, np.nan, macro["value"].to_numpy(dtype=np.float64)))
    return replace(panel, **columns), macro


def day(macro: pd.DataFrame) -> np.ndarray:
    return macro["session"].to_numpy().astype("datetime64[D]")


def poisoned(panel: Panel, rows: np.ndarray, kind: str, random: np.random.Generator) -> Panel:
    columns = {}
    for name in COLUMNS:
        values = getattr(panel, name).copy()
        for i in symbol_rows(panel):
            values[i] = np.where(rows[i], poisoned_values(values[i], rows[i], kind, random), values[i])
        columns[name] = values
    return replace(panel, **columns)


def symbol_rows(panel: Panel) -> Iterator[slice]:
    for i in range(len(panel.symbols)):
        yield slice(panel.starts[i], panel.starts[i + 1])


def poisoned_values(values: np.ndarray, late: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    if kind == "noise":
        return values * np.exp(random.normal(0.0, 0.5, len(values)))
    if kind == "tenfold":
        return values * 10.0
    if kind == "nan":
        return np.full(len(values), np.nan)
    if kind == "constant":
        return np.ones(len(values))
    backwards = values.copy()
    backwards[late] = values[late][::-1]
    return backwards


def scaled(panel: Panel, rows: np.ndarray, factor: float) -> Panel:
    return replace(panel, **{name: np.where(rows, getattr(panel, name) * factor, getattr(panel, name)) for name in COLUMNS})
