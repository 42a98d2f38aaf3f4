"""A provider of prices whose moods are set: it revises what it said, and on a bad day it fails.

What it tells of a session depends on the day on which it is asked, and on nothing else, so that a day that is done again gets
the same answers; what goes wrong is set for one process (``MOOD``) and gone in the next.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import Blocked, Partial, RateLimited, SourceDown, UnknownSymbol
from sources.base import Fetched, typed_frame
from sources.synthetic import SyntheticSource
from tests.tiny import SYMBOLS

REVISED = 0.15  # share of bars that are told otherwise in their first two days
ERRORS = {"down": SourceDown, "rate limited": RateLimited, "blocked": Blocked}


@dataclass
class Mood:
    """``kind``: 'fair'; 'down', 'rate limited', 'blocked' (nothing comes in the first ``times`` calls); 'one fails', 'hole'
    (the last bar of ``symbol`` is not there), 'rubbish' (its last bar is no number)."""

    kind: str = "fair"
    symbol: str = SYMBOLS[0]
    times: int = 99
    calls: int = 0


MOOD = Mood()


class WeatherSource:
    """Three symbols of the synthetic market, as a provider would tell them day by day."""

    name = "weather"

    def __init__(self) -> None:
        market = SyntheticSource(symbols=SYMBOLS, sessions=500, start="2020-01-02", events=False)
        bars = market.fetch(SYMBOLS, None, None).bars
        chance = np.array([zlib.crc32(f"{row.symbol} {row.session:%Y-%m-%d}".encode()) / 2**32 for row in bars.itertuples()])
        self.bars, self.revised = bars, chance < REVISED

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return "weather"

    def fetch(self, symbols: Sequence[str], start: date | None, end: date | None) -> Fetched:
        MOOD.calls += 1
        if MOOD.kind in ERRORS and MOOD.calls <= MOOD.times:
            raise ERRORS[MOOD.kind](self.name, None, "a bad day", "try again later")
        told = as_told(self.bars, self.revised, pd.Timestamp(end))
        told = told[told["symbol"].isin(list(symbols)) & (told["session"] <= pd.Timestamp(end))]
        if start is not None:
            told = told[told["session"] >= pd.Timestamp(start)]
        failures = {}
        if MOOD.symbol in symbols and MOOD.calls <= MOOD.times:
            its_last = (told["symbol"] == MOOD.symbol) & (told["session"] == told["session"].max())
            if MOOD.kind == "one fails":
                told = told[told["symbol"] != MOOD.symbol]
                failures[MOOD.symbol] = Partial(self.name, MOOD.symbol, "half an answer", "try again later")
            elif MOOD.kind == "hole":
                told = told[~its_last]
            elif MOOD.kind == "rubbish":
                told = told.assign(close=told["close"].mask(its_last))
        known = set(self.bars["symbol"])
        failures |= {s: UnknownSymbol(self.name, s, "there is none", "look at its name") for s in symbols if s not in known}
        return Fetched(told.reset_index(drop=True), typed_frame(("symbol", "session", "kind", "value")), failures=failures)


def as_told(bars: pd.DataFrame, revised: np.ndarray, day: pd.Timestamp) -> pd.DataFrame:
    """The bars as the provider tells them on ``day``: a part of the last two days' volumes and highs is put right later."""
    fresh = revised & (bars["session"] > day - pd.Timedelta(days=2)).to_numpy()
    return bars.assign(
        volume=bars["volume"].where(~fresh, (bars["volume"] * 0.9).round()),
        high=bars["high"].where(~fresh, bars["high"] * 1.002),
    )
