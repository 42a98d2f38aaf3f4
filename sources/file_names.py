"""The symbol that a price file's name speaks of, where the file itself does not say it.

    AAPL.csv                      AAPL          NASDAQ_CSCO_30Y.csv.gz        CSCO
    BRK-B.csv                     BRK-B         aapl_us_d.csv                 AAPL
    AET-L-1d-100x-error.csv       AET.L         GOOG-year.csv                 GOOG

A guess, for judging a file; a source that stores prices asks for the option ``symbol`` instead.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from forecasting.sessions import SUFFIXES, WITHOUT_CALENDAR, calendar_of, sessions_between

UNKNOWN = "UNKNOWN"  # what a file is called that gives no hint at all

_ENDINGS = re.compile(r"(\.(csv|txt|tsv|parquet|pq|xlsx|xls|gz|zip))+$", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.^=&-]{0,19}")
_INTERVAL = re.compile(r"[-_](1d|5d|1wk|1mo|3mo|daily|weekly|d|w)(?=[-_.]|$)", re.IGNORECASE)
_EXCHANGES = {"NASDAQ", "NYSE", "AMEX", "ARCA", "BATS", "LSE", "TSE", "HKEX", "WIKI", "EOD"}
_COUNTRIES = {"us": "", "uk": "L", "jp": "T", "hk": "HK", "de": "DE"}  # as Stooq writes them behind a symbol
_WORDS = {"PRICES", "DATA", "STOCK", "STOCKS", "BARS", "OHLCV", "DAILY", "TEST", "FILE", "SAMPLE", "HISTORY", "THE", "BAD"}


def symbols_in_name(path: Path) -> tuple[str, ...]:
    """Which symbols the name may mean, the likeliest first; empty where it holds nothing like one."""
    stem = _ENDINGS.sub("", path.name)
    head, interval = stem, _INTERVAL.search(stem)
    if interval:
        head = stem[: interval.start()]
    if _SYMBOL.fullmatch(head) and re.search(r"[A-Z0-9]", head):
        dotted = _dotted(head)
        # Before an interval a point is written as a hyphen (AET-L-1d); alone, BRK-B means what it says.
        found = [dotted, head] if interval and dotted else [head, dotted]
        return tuple(name for name in found if name)
    tokens = [token for token in re.split(r"[-_ .()]+", head) if token]
    if len(tokens) > 1 and tokens[0].upper() in _EXCHANGES:
        tokens = tokens[1:]
    if len(tokens) > 1 and tokens[0].islower() and tokens[1] in _COUNTRIES:
        suffix = _COUNTRIES[tokens[1]]
        return (tokens[0].upper() + (f".{suffix}" if suffix else ""),)
    upper = [t for t in tokens if re.fullmatch(r"[A-Z0-9]{1,8}", t) and re.search(r"[A-Z]", t) and t not in _WORDS]
    if upper:
        return tuple(upper[:1])
    lower = [t.upper() for t in tokens if re.fullmatch(r"[A-Za-z]{1,8}", t) and t.upper() not in _WORDS]
    return tuple(lower[:1])


def best_fit(candidates: tuple[str, ...], days: np.ndarray) -> str:
    """Of the symbols that a name may mean, the one on whose exchange most of ``days`` (datetime64[D]) were sessions; the
    first on a tie. UNKNOWN where there is none."""
    days = np.unique(days[~np.isnat(days)]) if len(days) else days
    if len(candidates) < 2 or not len(days):
        return candidates[0] if candidates else UNKNOWN
    closed = [int((~np.isin(days, sessions_between(calendar_of(c), days[0], days[-1]))).sum()) for c in candidates]
    return candidates[int(np.argmin(closed))]


def _dotted(name: str) -> str:
    """'AET-L' as 'AET.L'; '' where the last part is no exchange's suffix."""
    stem, hyphen, suffix = name.rpartition("-")
    return f"{stem}.{suffix}" if hyphen and stem and (suffix in SUFFIXES or suffix in WITHOUT_CALENDAR) else ""


def says_exchange(path: Path) -> bool:
    """Whether the name is a symbol as an exchange writes it, and not words with a symbol among them."""
    return any("." in name for name in symbols_in_name(path)) or bool(_SYMBOL.fullmatch(_ENDINGS.sub("", path.name)))
