"""The table of bad inputs: one row an input, with the verdict that it must get, and the small data to make them of."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.cli import execute
from forecasting.quality.checking import Checked, Delivery, check
from forecasting.quality.thresholds import QualityThresholds
from forecasting.sessions import calendar_of, sessions_between
from tasks.checking import Report, check_path, read_delivery

ACCEPT, WARN, QUARANTINE, REJECT = "accept", "accept with warning", "quarantine", "reject"
NOW = datetime(2024, 4, 2, 12, tzinfo=UTC)  # before the opening in New York: 1 April is the last session that is over


@dataclass(frozen=True)
class Row:
    """A line of the table. ``expected``: a verdict, or in words what must happen; ``run`` answers with the same."""

    id: str
    title: str
    expected: str
    run: Callable[[At], str]


ROWS: list[Row] = []


def bad_input(id: str, title: str, expected: str) -> Callable[[Callable[[At], str]], Callable[[At], str]]:
    """Put a function into the table; what it returns is compared with ``expected``."""

    def put(run: Callable[[At], str]) -> Callable[[At], str]:
        ROWS.append(Row(id, title, expected, run))
        return run

    return put


@dataclass
class At:
    """Where an input of the table is tried: a folder of its own, and a home in which a small day was done."""

    folder: Path
    home: Path
    reports: list[Report] = field(default_factory=list)

    def write(self, bars: pd.DataFrame | str, name: str = "AAPL.csv") -> Path:
        path = self.folder / name
        if isinstance(bars, str):
            path.write_text(bars, encoding="utf-8")
        else:
            bars.to_csv(path, index=False)
        return path

    def run(self, *tokens: str) -> tuple[int, dict[str, Any]]:
        """The code and the answer of ``nextclose run`` with ``tokens`` in a copy of the home."""
        home = shutil.copytree(self.home, self.folder / "home")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = execute(["run", "--home", str(home), *tokens, "--json"])
        return code, json.loads(said.getvalue())

    def verdict(
        self,
        bars: pd.DataFrame | str | Path,
        rule: str | None = None,
        days: list[str] | None = None,
        name: str = "AAPL.csv",
        now: datetime = NOW,
        second: Path | None = None,
        only: bool = True,
        **options: Any,
    ) -> str:
        """The verdict over a file. ``rule`` must have spoken, of exactly ``days``, and (``only``) no other rule."""
        path = bars if isinstance(bars, Path) else self.write(bars, name)
        report = check_path(path, options, now, QualityThresholds(), second)
        self.reports.append(report)
        assert_told(report.findings, rule, days, only)
        return report.verdict


def assert_told(findings: Any, rule: str | None, days: list[str] | None, only: bool = True) -> None:
    said = {f.rule: [str(d) for d in f.sessions] for f in findings}
    if rule is None:
        assert said == {}
        return
    assert rule in said, said
    if days is not None:
        assert said[rule] == days
    if only:
        assert set(said) == {rule}, said


def judged(path: Path, stored: dict[str, float] | None = None, now: datetime = NOW, **options: Any) -> Checked:
    """All that is found in a file, with the bars that are left."""
    return check(read_delivery(path, options)[0], now, QualityThresholds(), stored)


def delivery_of(answer: Any) -> Delivery:
    """A source's answer as what the rules judge."""
    return Delivery(answer.bars, answer.actions, answer.rejects, answer.failures, answer.basis)


def days_of(symbol: str = "AAPL", start: str = "2024-01-02", n: int = 60) -> list[str]:
    """``n`` sessions of the symbol's exchange from ``start`` on."""
    end = date.fromisoformat(start).toordinal() + 3 * n + 60
    return [str(d) for d in sessions_between(calendar_of(symbol), start, date.fromordinal(end))[:n]]


def good(symbol: str = "AAPL", n: int = 60, price: float = 100.0, start: str = "2024-01-02") -> pd.DataFrame:
    """``n`` quiet bars in cents, in the columns that people have: Date, Open, High, Low, Close, Volume."""
    rng = np.random.default_rng(7)
    close = price * np.exp(np.cumsum(rng.normal(0.0, 0.008, n)))
    opened = close * np.exp(rng.normal(0.0, 0.004, n))
    high, low = np.maximum(opened, close) * 1.004, np.minimum(opened, close) * 0.996
    values = {"Open": opened, "High": high, "Low": low, "Close": close}
    frame = pd.DataFrame({"Date": days_of(symbol, start, n)} | {k: v.round(2) for k, v in values.items()})
    return frame.assign(Volume=rng.integers(900_000, 1_100_000, n).astype("int64"))


def changed(row: int, frame: pd.DataFrame | None = None, **values: object) -> pd.DataFrame:
    """``good`` bars with some cells of one row replaced."""
    frame = (good() if frame is None else frame).astype(object)
    for column, value in values.items():
        frame.loc[row, column] = value
    return frame


def scaled(frame: pd.DataFrame, factor: float, rows: slice = slice(None)) -> pd.DataFrame:
    """The prices of ``rows`` times a factor."""
    frame = frame.copy()
    frame.loc[frame.index[rows], ["Open", "High", "Low", "Close"]] *= factor
    return frame
