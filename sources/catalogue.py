"""What there is to ask, in words: one line a source, for ``nextclose sources`` and the documentation. Imports none of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """``keys``: environment variables, any one group of which it needs (``|`` between alternatives); ``optional``: it does
    without them, but less well. ``per_day``: requests in any 24 hours (of an optional key: without it), None where no limit
    is known. ``gives``: prices or macro
    series."""

    name: str
    text: str
    keys: tuple[str, ...] = ()
    optional: bool = False
    per_day: int | None = None
    gives: str = "prices"
    aliases: tuple[str, ...] = ()


CATALOGUE = (
    About("yahoo", "Yahoo Finance through yfinance: as traded, with splits and dividends"),
    About("alpha_vantage", "Alpha Vantage TIME_SERIES_DAILY: as traded", ("ALPHAVANTAGE_API_KEY",), per_day=25),
    About(
        "nasdaq_data_link", "Nasdaq Data Link datasets and datatables; the free WIKI prices ended 2018-03-27",
        ("NASDAQ_DATA_LINK_API_KEY|QUANDL_API_KEY",), optional=True, per_day=50, aliases=("quandl",),
    ),
    About("stooq", "Stooq CSV: adjusted for splits and dividends"),
    About("http_csv", "price files by https, such as raw files of a repository, pinned by hash", aliases=("github",)),
    About(
        "kaggle", "a Kaggle dataset: a downloaded zip or folder, or by its name", ("KAGGLE_USERNAME", "KAGGLE_KEY"),
        optional=True,
    ),
    About("scrape", "an HTML price table, politely, refused when its layout changed"),
    About("database", "any SQLAlchemy address with a query; DuckDB, SQLite or Parquet files", aliases=("sql",)),
    About("files", "CSV, Parquet or Excel files, or a folder of them", aliases=("csv",)),
    About("bundled", "the WIKI extract that the project carries, for the demo"),
    About("synthetic", "a made-up market with known truth, for tests and benchmarks"),
    About("fred", "FRED series with release dates and vintages", ("FRED_API_KEY",), optional=True, gives="macro"),
    About("cboe", "the VIX family from Cboe", gives="macro"),
)  # fmt: skip
