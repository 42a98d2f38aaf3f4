"""Volatility indices of Cboe (VIX and its relatives): one CSV file of all days for each, without key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from forecasting.errors import Malformed, NextcloseError, PricesFileError, UnknownSymbol
from sources.asking import WAITS, ask_each
from sources.base import Cost
from sources.macro import MacroFetched, macro_values
from sources.macro_files import macro_table
from sources.meter import Meter
from sources.tables import read_table_bytes
from sources.web import Web

FOLDER = "https://cdn.cboe.com/api/global/us_indices/daily_prices"
HOLDS = ("GVZ", "OVX", "RVX", "SKEW", "VIX", "VIX1D", "VIX1Y", "VIX3M", "VIX6M", "VIX9D", "VVIX", "VXD", "VXN")


class CboeSource:
    """Daily closes of Cboe's volatility indices. ``base_url`` is for a stand-in."""

    name = "cboe"
    cost = Cost(requests_per_symbol=1, seconds_between=1.0)

    def __init__(self, base_url: str | None = None, waits: Sequence[float] = WAITS) -> None:
        self._base_url, self._waits = base_url, tuple(waits)
        self.meter = Meter(self.cost)

    def series(self) -> tuple[str, ...]:
        return HOLDS

    def fetch(self, series: Sequence[str], since: date | None = None) -> MacroFetched:
        """All days of each index; its values are public a quarter of an hour after the close of their session."""
        wanted = [name.upper() for name in series]
        failures: dict[str, NextcloseError] = {
            name: UnknownSymbol(self.name, name, "Cboe has no such index", f"it has {', '.join(HOLDS)}")
            for name in wanted
            if name not in HOLDS  # the server answers 403 for what it has not, which would read as blocked
        }
        with Web(self.name, self.meter, hosts=("cdn.cboe.com",), base_url=self._base_url) as web:
            answers, failed = ask_each(
                self.name, [n for n in wanted if n in HOLDS], lambda name: self._ask(web, name), waits=self._waits
            )
        return MacroFetched(macro_values(pd.concat([macro_values(), *answers.values()])), failures | failed)

    def identity(self) -> str:
        return "cboe"

    def _ask(self, web: Web, name: str) -> pd.DataFrame:
        file = f"{name}_History.csv"
        answer = web.get(f"{FOLDER}/{file}", symbol=name)
        try:
            values = macro_table(read_table_bytes(Path(file), answer.body), Path(file))
        except PricesFileError as error:
            raise web.error(Malformed, name, str(error)) from error
        if set(values["series"]) != {name}:
            raise web.error(Malformed, name, f"{file} holds no column {name} or CLOSE")
        return values
