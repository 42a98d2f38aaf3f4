"""Factor files in Lean's form, and the splits and dividends behind their steps.

Each line is ``yyyymmdd,price factor,split factor[,reference price]`` and holds for all bars up to and including its date:
adjusted price = price as traded x both factors. So a step between two lines is an action whose ex-date is the session
after the first of them, and the reference price is the close before it.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import PricesFileError, SymbolError
from forecasting.symbols import normalise_symbol
from sources.base import ACTION_COLUMNS, typed_frame
from sources.tables import read_bytes

_NEXT = "give lines such as 20140606,0.9216,0.1428571,645.57"
_PLACES = 6  # of a factor: seven digits are printed


def read_factors(path: Path, symbol: str | None) -> pd.DataFrame:
    """The actions (ACTION_COLUMNS, in (symbol, session) order) of a factor file, or of a folder of them.

    A file is named by its symbol (AAPL.csv, aapl.csv, factors_AAPL.csv) unless ``symbol`` says whose it is.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise PricesFileError(str(path), "the folder holds no factor file", "put .csv files into it")
    if len(files) > 1:
        symbol = None
    found: list[tuple[str, date, str, float]] = []
    for file in files:
        found += _actions(file, symbol or _symbol_of(file))
    if not found:
        return typed_frame(ACTION_COLUMNS)
    frame = pd.DataFrame(found, columns=list(ACTION_COLUMNS))
    frame["session"] = pd.to_datetime(frame["session"])
    return typed_frame(ACTION_COLUMNS, frame).sort_values(["symbol", "session", "kind"], kind="stable", ignore_index=True)


def _symbol_of(file: Path) -> str:
    try:
        return normalise_symbol(re.sub(r"^factors?_", "", file.name.split(".csv")[0], flags=re.IGNORECASE))
    except SymbolError:
        raise PricesFileError(str(file), "its name is no symbol", "name it factors_AAPL.csv or set the option symbol") from None


def _actions(file: Path, symbol: str) -> list[tuple[str, date, str, float]]:
    from forecasting.sessions import add_sessions, calendar_of

    lines = _lines(file)
    calendar = calendar_of(symbol)
    found: list[tuple[str, date, str, float]] = []
    for (day, paid, split, price), (_, next_paid, next_split, _) in zip(lines[:-1], lines[1:], strict=True):
        ratio, kept = next_split / split, paid / next_paid
        rounding = 10.0**-_PLACES / min(split, next_split)
        if abs(ratio - 1.0) <= 2.0 * rounding and abs(kept - 1.0) < 1e-6:
            continue
        ex_date = add_sessions(calendar, day, 1)
        if abs(ratio - 1.0) > 2.0 * rounding:
            found.append((symbol, ex_date, "split", _simple(ratio, 2.0 * rounding * ratio)))
        if kept < 1.0 - 1e-6:
            if not np.isfinite(price) or price <= 0.0:
                raise PricesFileError(str(file), f"a dividend after {day} has no reference price beside it", _NEXT)
            found.append((symbol, ex_date, "dividend", _money(price * (1.0 - kept), 3e-7 * price)))
    return found


def _lines(file: Path) -> list[tuple[date, float, float, float]]:
    """(date, price factor, split factor, reference price) of each line, oldest first."""
    out: list[tuple[date, float, float, float]] = []
    for n, text in enumerate(read_bytes(file).decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.split(",")]
        try:
            day = date(int(cells[0][:4]), int(cells[0][4:6]), int(cells[0][6:8]))
            paid, split = float(cells[1]), float(cells[2])
            price = float(cells[3]) if len(cells) > 3 else float("nan")
        except (ValueError, IndexError):
            raise PricesFileError(f"{file} line {n}", f"{text[:60]!r} is no line of factors", _NEXT) from None
        if not (0.0 < paid < 1e6 and 0.0 < split < 1e6) or (out and day <= out[-1][0]):
            raise PricesFileError(f"{file} line {n}", f"{text[:60]!r} has factors or a date out of order", _NEXT)
        out.append((day, paid, split, price))
    if not out:
        raise PricesFileError(str(file), "the file is empty", _NEXT)
    return out


def _money(amount: float, blur: float) -> float:
    """The amount with the fewest decimals, from 2 on, that the printed digits cannot tell from this one."""
    return next((near for p in range(2, 9) if abs((near := round(float(amount), p)) - amount) <= blur), float(amount))


def _simple(ratio: float, blur: float) -> float:
    """The ratio with the smallest numbers that the printed digits cannot tell from this one: 7.0 for 6.99999."""
    for below in range(1, 101):
        above = round(ratio * below)
        if above and abs(above / below - ratio) <= blur:
            return above / below
    return ratio
