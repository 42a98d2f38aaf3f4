"""Macro series from files: VIX in Cboe's form, FRED's long form and fredgraph.csv, and vintages with their release dates.

``about`` is the date that a value is about. When it was *public* is another matter, and only that may be used
(forecasting/macro.py). A file may say it, in a column realtime_start, released or published_at, or as ALFRED writes
vintages, one column each: GDP_20240125.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import NextcloseError, PricesFileError, UnknownSymbol
from forecasting.macro import end_of_day
from sources import spelling, tables
from sources.macro import MacroFetched, macro_values
from sources.raw_table import RawTable

_ABOUT = ("date", "observationdate", "session", "datetime", "about")
_PUBLISHED = ("publishedat", "published", "releasedat", "released", "releasedate", "realtimestart", "vintage", "vintagedate")
_BESIDES = ("realtimeend",)  # of FRED's own rows: until when the value stood
_VINTAGE = re.compile(r"(.+)_(\d{8})")


class MacroFilesSource:
    """CSV or Parquet files; ``path`` is a file, or a folder of them."""

    name = "files"

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        self._read: pd.DataFrame | None = None

    def series(self) -> tuple[str, ...]:
        return tuple(sorted(self._values()["series"].unique()))

    def fetch(self, series: Sequence[str] = (), since: date | None = None) -> MacroFetched:
        """All values of ``series`` (none named: of all that there are). Raises PricesFileError for a file that cannot be
        read as macro series."""
        values, wanted = self._values(), [name.upper() for name in series]
        if not wanted:
            return MacroFetched(values)
        held = set(values["series"])
        failures: dict[str, NextcloseError] = {
            name: UnknownSymbol(self.name, name, f"no such series in {self.path}", f"it holds {_some(sorted(held))}")
            for name in wanted
            if name not in held
        }
        return MacroFetched(values[values["series"].isin(wanted)].reset_index(drop=True), failures)

    def identity(self) -> str:
        digest = hashlib.sha256()
        for file in self._files():
            digest.update(tables.read_bytes(file))
        return f"files:{digest.hexdigest()}"

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        files = sorted(file for file in self.path.iterdir() if file.name.lower().endswith(tables.SUFFIXES))
        if not files:
            raise PricesFileError(str(self.path), "there is no CSV or Parquet file in it", "name a file or another folder")
        return files

    def _values(self) -> pd.DataFrame:
        if self._read is None:
            self._read = macro_values(pd.concat([read_macro(file) for file in self._files()], ignore_index=True))
            if (twice := self._read.duplicated(["series", "about", "published_at"])).any():
                first = self._read[twice].iloc[0]
                problem = f"{first['series']} has two values for {first['about'].date()}, in two files"
                raise PricesFileError(str(self.path), problem, "remove one of them")
        return self._read


def read_macro(path: str | Path) -> pd.DataFrame:
    """series (upper case text), about, published_at (both datetime64[us]; NaT where the file does not say), value (float64),
    in that order; days without a value are left out.

    Forms: DATE, OPEN, HIGH, LOW, CLOSE (the series is named by the file up to its first ``_``: vix_daily.csv is VIX, the
    value is CLOSE; with a column ticker each of them is a series); series, date, value and perhaps realtime_start or
    published_at; DATE or observation_date and one column for each series, missing days as ``.``, or one for each vintage.
    Raises PricesFileError naming the file, and the line of a cell that is neither a number nor a gap.
    """
    path = Path(path).expanduser()
    return macro_table(tables.read_table(path), path)


def macro_table(raw: RawTable, path: Path) -> pd.DataFrame:
    """The values of a table as ``read_macro`` tells; ``path`` is what it is called."""
    names = {spelling.plain(name): name for name in raw.columns}
    date_column = next((names[n] for n in _ABOUT if n in names), None)
    if date_column is None:
        has = ", ".join(list(raw.columns)[:8]) or "nothing"
        raise PricesFileError(str(path), f"there is no date column among {has}", "name one of them DATE")
    about = _days(raw, path, date_column)
    published = next((names[n] for n in _PUBLISHED if n in names), None)
    at = np.full(raw.rows, np.datetime64("NaT", "us")) if published is None else _instants(raw, path, published)
    if "value" in names:
        named = [_file_series(path)] * raw.rows
        if "series" in names or "seriesid" in names:
            named = raw.columns[names.get("series") or names["seriesid"]].to_pylist()
        parts = [_part([str(s).strip().upper() for s in named], about, at, _values(raw, path, names["value"]))]
    elif "close" in names:
        of_each = next((names[n] for n in ("ticker", "symbol") if n in names), None)  # closes of several: each is a series
        named = _file_series(path) if of_each is None else [str(s).strip().upper() for s in raw.columns[of_each].to_pylist()]
        parts = [_part(named, about, at, _values(raw, path, names["close"]))]
    else:
        aside = {date_column, published, *(names.get(n) for n in _BESIDES)}
        others = [c for c in raw.columns if c not in aside]
        if not others:
            raise PricesFileError(str(path), "there is no column of values", "add one, named as the series")
        parts = []
        for column in others:
            series, released = _vintage_of(column.strip().upper())
            parts.append(_part(series, about, at if released is None else released, _values(raw, path, column)))
    whole = macro_values(pd.concat(parts, ignore_index=True))
    whole = _without_repeats(whole)
    if (twice := whole.duplicated(["series", "about", "published_at"])).any():
        first = whole[twice].iloc[0]
        raise PricesFileError(str(path), f"{first['series']} has two values for {first['about'].date()}", "remove one")
    return whole


def _part(series: object, about: np.ndarray, published_at: object, value: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"series": series, "about": about, "published_at": published_at, "value": value})


def _file_series(path: Path) -> str:
    return path.name.split(".")[0].split("_")[0].upper()


def _vintage_of(column: str) -> tuple[str, np.datetime64 | None]:
    """GDP_20240125 is GDP as published on that day; any other name is the series itself."""
    if found := _VINTAGE.fullmatch(column):
        try:
            day = np.datetime64(datetime.strptime(found[2], "%Y%m%d").replace(tzinfo=UTC).date(), "D")
        except ValueError:
            return column, None
        return found[1], end_of_day(np.array([day]))[0]
    return column, None


def _without_repeats(values: pd.DataFrame) -> pd.DataFrame:
    """Of a value that vintage after vintage says again only the first; one row of each day where none is dated."""
    again = (values["series"] == values["series"].shift()) & (values["about"] == values["about"].shift())
    same = again & (values["value"] == values["value"].shift()) & values["published_at"].notna()
    return values[~same].reset_index(drop=True)


def _days(raw: RawTable, path: Path, column: str) -> np.ndarray:
    cells = [str(cell) for cell in raw.columns[column].to_pylist()]
    order = spelling.written_order(cells) or "mdy"
    known: dict[str, date] = {}  # a file of several series writes each day as often
    for line, cell in zip(raw.line, cells, strict=True):
        if cell in known:
            continue
        try:
            known[cell] = spelling.session_of(cell, order).day
        except ValueError as error:
            raise PricesFileError(f"{path} line {line}", str(error), "write dates as 2023-08-31") from None
    return np.array([known[cell] for cell in cells], dtype="datetime64[D]").astype("datetime64[us]")


def _instants(raw: RawTable, path: Path, column: str) -> np.ndarray:
    """When each value was published: the instant where its zone is written, otherwise the end of the day in New York."""
    cells = raw.columns[column].to_pylist()
    order = spelling.written_order([c for c in cells if isinstance(c, str)]) or "mdy"
    instants = np.full(len(cells), np.datetime64("NaT", "us"))
    days: dict[int, date] = {}
    for i, (line, cell) in enumerate(zip(raw.line, cells, strict=True)):
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            continue
        exact = _exact(cell)
        if exact is not None:
            instants[i] = np.datetime64(exact.astimezone(UTC).replace(tzinfo=None), "us")
            continue
        try:
            days[i] = spelling.session_of(str(cell), order).day
        except ValueError as error:
            raise PricesFileError(f"{path} line {line}", f"{column}: {error}", "write 2024-01-25") from None
    if days:
        instants[list(days)] = end_of_day(np.array(list(days.values()), dtype="datetime64[D]"))
    return instants


def _exact(cell: object) -> datetime | None:
    """The instant of a cell that has a time zone."""
    if isinstance(cell, str):
        try:
            cell = datetime.fromisoformat(cell.strip().replace(" UTC", "+00:00"))
        except ValueError:
            return None
    return cell if isinstance(cell, datetime) and cell.tzinfo is not None else None


def _values(raw: RawTable, path: Path, column: str) -> np.ndarray:
    values = np.empty(raw.rows)
    for i, (line, cell) in enumerate(zip(raw.line, raw.columns[column].to_pylist(), strict=True)):
        if cell is None or isinstance(cell, (int, float)):
            values[i] = np.nan if cell is None else cell
            continue
        try:
            values[i] = spelling.number(str(cell))
        except ValueError as error:
            raise PricesFileError(f"{path} line {line}", f"{column}: {error}", "write a number, or a dot for a gap") from None
    return values


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
