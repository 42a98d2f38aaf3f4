"""The real prices that the project carries: five US stocks as traded, 2000-03-01 to 2013-03-01 (data/PROVENANCE.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path

import pandas as pd

from forecasting.symbols import normalise_symbols
from sources.base import Fetched, missing_symbols, within

BARS_FILE = Path(__file__).parent / "data" / "wiki_2000_2013.parquet"
ACTIONS_FILE = Path(__file__).parent / "data" / "wiki_2000_2013_actions.parquet"


class BundledSource:
    """AAPL, FB, GOOG, IBM and MSFT; needs no network and never changes."""

    name = "bundled"

    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted(_read(BARS_FILE)["symbol"].unique()))

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        wanted = normalise_symbols(symbols)
        bars = within(_read(BARS_FILE), wanted, start, end)
        failures = missing_symbols(self.name, wanted, self.symbols(), tuple(bars["symbol"].unique()), start, end)
        held = [s for s in wanted if s not in failures]
        actions = within(_read(ACTIONS_FILE), held, start, end)
        return Fetched(bars, actions, failures=failures, currency=dict.fromkeys(held, "USD"))

    def identity(self) -> str:
        digest = hashlib.sha256(BARS_FILE.read_bytes() + ACTIONS_FILE.read_bytes()).hexdigest()
        return f"bundled:{digest}"


@cache
def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    return frame.astype({"session": "datetime64[us]"} | {c: "str" for c in ("symbol", "kind") if c in frame})
