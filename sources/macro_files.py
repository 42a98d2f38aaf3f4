"""Macro series from files: VIX in Cboe's form, FRED's long form and fredgraph.csv.

``session`` is the day that a value is *about*. When it was *public* is another matter, and only that may be used:
``lag_of(series)`` says how many sessions later, and ``known_session`` applies it. FRED's daily series are published on the
next business day or later, so they count from the next session on; VIX is computed during the session itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import PricesFileError
from sources import spelling, tables

SAME_SESSION = frozenset({"VIX", "VIX9D", "VIX3M", "VVIX", "SKEW", "VXN"})  # of Cboe, final at the session's close
_LATER = 1


def lag_of(series: str) -> int:
    """Sessions between the day that a value is about and the first session at whose close it was public."""
    return 0 if series.upper() in SAME_SESSION else _LATER


def read_macro(path: str | Path) -> pd.DataFrame:
    """series (upper case text), session (datetime64[us]), value (float64), in that order; days without a value are left out.

    Forms: DATE, OPEN, HIGH, LOW, CLOSE (the series is named by the file up to its first ``_``: vix_daily.csv is VIX, the
    value is CLOSE); series, date, value; DATE or observation_date and one column for each series, missing days as ``.``.
    Raises PricesFileError naming the file, and the line of a cell that is neither a number nor a gap.
    """
    path = Path(path).expanduser()
    raw = tables.read_table(path)
    names = {spelling.plain(name): name for name in raw.columns}
    date_column = next((names[n] for n in ("date", "observationdate", "session", "datetime") if n in names), None)
    if date_column is None:
        has = ", ".join(list(raw.columns)[:8]) or "nothing"
        raise PricesFileError(str(path), f"there is no date column among {has}", "name one of them DATE")
    if {"series", "value"} <= names.keys():
        whole = _long(raw, path, names["series"], date_column, names["value"])
    elif "close" in names:
        series = path.name.split(".")[0].split("_")[0].upper()
        whole = _one(raw, path, series, date_column, names["close"])
    else:
        others = [c for c in raw.columns if c != date_column]
        if not others:
            raise PricesFileError(str(path), "there is no column of values", "add one, named as the series")
        whole = pd.concat([_one(raw, path, c.strip().upper(), date_column, c) for c in others])
    whole = whole.dropna(subset=["value"]).sort_values(["series", "session"], kind="stable", ignore_index=True)
    if (twice := whole.duplicated(["series", "session"])).any():
        first = whole[twice].iloc[0]
        raise PricesFileError(str(path), f"{first['series']} has two values for {first['session'].date()}", "remove one")
    return whole.astype({"series": "str", "session": "datetime64[us]", "value": "float64"})


def known_session(macro: pd.DataFrame, sessions: np.ndarray) -> pd.DataFrame:
    """The same values with ``session`` replaced by the first session at whose close they were public.

    ``sessions``: the calendar's, ascending. The rule: ``lag_of`` sessions after the day; a day that is no session (a
    Saturday's value, a holiday of only one market) counts as the session before it, so it is never known too early.
    Of several values that become known at once the latest stays. Values that no session follows are left out.
    """
    days = np.asarray(sessions, dtype="datetime64[D]")
    about = macro["session"].to_numpy().astype("datetime64[D]")
    lag = macro["series"].map(lag_of).to_numpy(dtype=np.int64)
    at = np.searchsorted(days, about, side="left")
    on_session = (at < len(days)) & (days[np.minimum(at, len(days) - 1)] == about) if len(days) else np.zeros(len(at), bool)
    at = at + np.where(on_session, lag, np.maximum(lag - 1, 0))
    keep = at < len(days)
    known = macro[keep].assign(session=days[at[keep]].astype("datetime64[us]"), _about=about[keep])
    known = known.sort_values(["series", "session", "_about"], kind="stable")
    return known.drop_duplicates(["series", "session"], keep="last").drop(columns="_about").reset_index(drop=True)


def _one(raw: tables.RawTable, path: Path, series: str, date_column: str, column: str) -> pd.DataFrame:
    days, values = _days(raw, path, date_column), _values(raw, path, column)
    return pd.DataFrame({"series": series, "session": days, "value": values})


def _long(raw: tables.RawTable, path: Path, series_column: str, date_column: str, value_column: str) -> pd.DataFrame:
    names = [str(s).strip().upper() for s in raw.columns[series_column].to_pylist()]
    days, values = _days(raw, path, date_column), _values(raw, path, value_column)
    return pd.DataFrame({"series": names, "session": days, "value": values})


def _days(raw: tables.RawTable, path: Path, column: str) -> np.ndarray:
    cells = raw.columns[column].to_pylist()
    days = []
    order = spelling.written_order([c for c in cells if isinstance(c, str)]) or "mdy"
    for line, cell in zip(raw.line, cells, strict=True):
        try:
            days.append(spelling.session_of(str(cell), order).day)
        except ValueError as error:
            raise PricesFileError(f"{path} line {line}", str(error), "write dates as 2023-08-31") from None
    return np.array(days, dtype="datetime64[D]").astype("datetime64[us]")


def _values(raw: tables.RawTable, path: Path, column: str) -> np.ndarray:
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
