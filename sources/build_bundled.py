"""Make the bundled prices from the PyPI package bokeh-sampledata: ``python -m sources.build_bundled PATH``.

PATH is the package's ``_data/stocks.csv.gz`` (release 2026.1), wherever it was unpacked. The two Parquet files beside
this script are what this wrote; running it again on the same input writes the same rows.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pandas as pd

from forecasting.actions import derive_actions
from sources.base import BAR_COLUMNS
from sources.bundled import ACTIONS_FILE, BARS_FILE

SOURCE_SHA256 = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"


def build(stocks: Path, bars_file: Path = BARS_FILE, actions_file: Path = ACTIONS_FILE) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write and return (bars, actions); SystemExit where the input is not the release that PROVENANCE.md describes."""
    found = hashlib.sha256(stocks.read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise SystemExit(
            f"{stocks}: sha256 is {found}, expected {SOURCE_SHA256}; take stocks.csv.gz of bokeh-sampledata 2026.1"
        )
    raw = pd.read_csv(stocks, keep_default_na=False, dtype={"Ticker": "str", "Date": "str"})
    raw.columns = ["symbol", "session", "open", "high", "low", "close", "volume", "adj_close"]
    raw["session"] = pd.to_datetime(raw["session"], format="%Y-%m-%d").astype("datetime64[us]")
    raw["volume"] = raw["volume"].astype("float64")
    raw = raw.sort_values(["symbol", "session"], ignore_index=True)
    bars, actions = raw[list(BAR_COLUMNS)], derive_actions(raw)
    bars.to_parquet(bars_file, compression="zstd", compression_level=19, index=False)
    actions.to_parquet(actions_file, compression="zstd", index=False)
    return bars, actions


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m sources.build_bundled PATH/TO/bokeh_sampledata/_data/stocks.csv.gz")
    made = build(Path(sys.argv[1]))
    print(f"{len(made[0])} bars, {len(made[1])} actions")
