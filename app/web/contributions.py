"""What each feature added to a forecast, asked of the model itself: ``nextclose explain`` in a child process, one at a time.

The network's library takes seconds and a gigabyte to load, which the process that serves pages is spared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from app.web.charts import Chart, Layer
from app.web.words import ahead
from storage.editions import Edition
from storage.home import Home

MOST_SECONDS = 120.0
_SHOWN = 24


@dataclass(frozen=True)
class Told:
    """``parts``: name, what it adds to the median and to the width of the 80 % interval (log returns); or why not."""

    symbol: str
    horizon: int
    parts: list[dict[str, Any]]
    why_not: str = ""


class Asker:
    """Asks once an edition and forecast; whoever comes while another asks is told to come again."""

    def __init__(self, home: Home) -> None:
        self.home, self._busy, self._kept = home, threading.Lock(), {}

    def ask(self, edition: Edition, symbol: str, origin: date, horizon: int) -> Told:
        key = (edition.id, symbol, origin, horizon)
        if key in self._kept:
            return self._kept[key]
        if not self._busy.acquire(blocking=False):
            return Told(symbol, horizon, [], "another forecast is being explained; try again in some seconds")
        try:
            told = self._ask(symbol, origin, horizon)
        finally:
            self._busy.release()
        self._kept = {k: v for k, v in self._kept.items() if k[0] == edition.id} | {key: told}
        return told

    def _ask(self, symbol: str, origin: date, horizon: int) -> Told:
        command = [
            sys.executable,
            "-m",
            "app.cli",
            "explain",
            "--home",
            str(self.home.path),
            "--horizon",
            str(horizon),
            "--json",
        ]
        command += ["--", symbol, str(origin)]
        root = Path(__file__).parents[2]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, cwd=root, check=False)
        except subprocess.TimeoutExpired:
            return Told(symbol, horizon, [], f"it took longer than {MOST_SECONDS:.0f} seconds")
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            return Told(symbol, horizon, [], said.removeprefix("nextclose: "))
        answer = json.loads(done.stdout)
        return Told(symbol, horizon, answer.get("contributions") or [], answer.get("contributions_missing") or "")


def chart(told: Told) -> Chart:
    """Bars of what each part adds to the median, the largest first."""
    parts = sorted(told.parts[:-1], key=lambda part: -abs(part["median"]))[:_SHOWN]
    names = [part["part"] for part in parts]
    layers = (
        Layer("bars", "to the median", "ours", names, [part["median"] for part in parts]),
        Layer("bars", "to the width of the 80 % interval", "second", names, [part["width_80"] for part in parts]),
    )
    about = f"what each feature adds to the forecast of {told.symbol}, {ahead(told.horizon)} ahead, as log returns"
    return Chart("contributions", "What each feature adds", about, layers, "", "log return", "category", "percent", zero=True)
