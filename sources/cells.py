"""From raw cells to arrays: symbols, sessions and numbers of one file, with a reject for every cell that says neither."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forecasting.errors import PricesFileError, SymbolError
from forecasting.symbols import normalise_symbol
from sources import spelling
from sources.tables import RawTable

_PLAIN_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass
class Columns:
    """One file's rows in file order. ``symbol`` holds positions in ``names``; ``numbers`` has float64 arrays by our words."""

    names: tuple[str, ...]
    symbol: np.ndarray  # int64 [rows]
    session: np.ndarray  # datetime64[D] [rows]
    numbers: dict[str, np.ndarray]
    line: np.ndarray
    rejects: list[tuple[str | None, object, int, str, str, str]] = field(default_factory=list)


def read_columns(
    raw: RawTable,
    found: Mapping[str, str],
    symbol: str | None,
    decimal: str,
    date_order: str,
    zone_of: Callable[[str], ZoneInfo],
) -> Columns:
    """The rows of a raw table. Rows without a readable symbol or date become rejects; an unreadable number becomes NaN
    and a reject with the row as delivered. Raises PricesFileError where the whole file is unclear.
    """
    names, codes, bad_symbols = _symbols(raw, found.get("symbol"), symbol)
    session, bad_days = _sessions(raw, found["session"], date_order, names, codes, zone_of)
    rejects = [(None, None, line, reason, message, json.dumps(text)) for line, reason, message, text in raw.broken]
    for i in np.flatnonzero(codes < 0):
        message = bad_symbols.get(raw.columns[found["symbol"]][int(i)].as_py(), "the symbol is missing")
        rejects.append((None, session[i], *_reject(raw, i, "bad_symbol", message)))
    for i in np.flatnonzero((codes >= 0) & np.isnat(session)):
        cell = raw.columns[found["session"]][int(i)].as_py()
        rejects.append((names[codes[i]], None, *_reject(raw, i, "bad_date", bad_days.get(cell, "the date is missing"))))
    good = (codes >= 0) & ~np.isnat(session)
    numbers: dict[str, np.ndarray] = {}
    for word in spelling.NUMBERS:
        if word not in found:
            continue
        values, bad = _numbers(raw.columns[found[word]], decimal, word == "volume")
        numbers[word] = values[good]
        for i, message in bad.items():
            if good[i]:
                rejects.append((names[codes[i]], session[i], *_reject(raw, i, "bad_number", f"{found[word]}: {message}")))
    return Columns(names, codes[good], session[good], numbers, raw.line[good], rejects)


def _reject(raw: RawTable, i: int, reason: str, message: str) -> tuple[int, str, str, str]:
    return int(raw.line[i]), reason, message, json.dumps(raw.row(int(i)), default=str, ensure_ascii=False)


def _symbols(raw: RawTable, column: str | None, given: str | None) -> tuple[tuple[str, ...], np.ndarray, dict[object, str]]:
    """(symbols, position of each row's symbol or -1, why the others are none)."""
    if given is not None or column is None:
        if given is None:
            given = _from_file_name(raw)
        return (normalise_symbol(given),), np.zeros(raw.rows, dtype=np.int64), {}
    encoded = raw.columns[column].dictionary_encode()
    names: dict[str, int] = {}
    bad: dict[object, str] = {}
    place = []
    for text in encoded.dictionary.to_pylist():
        try:
            place.append(names.setdefault(normalise_symbol(text), len(names)))
        except SymbolError as error:
            bad[text] = str(error)
            place.append(-1)
    indices = encoded.indices.fill_null(len(place)).to_numpy(zero_copy_only=False)
    return tuple(names), np.append(np.array(place, dtype=np.int64), -1)[indices], bad


def _from_file_name(raw: RawTable) -> str:
    stem = raw.path.name.split(".csv")[0].removesuffix(".parquet").removesuffix(".pq").removesuffix(".txt").removesuffix(".tsv")
    if re.fullmatch(r"[A-Z0-9^][A-Z0-9.^=&-]{0,19}", stem) and any(c.isalpha() or c == "." for c in stem):
        return stem
    raise PricesFileError(
        str(raw.path),
        "it has no symbol column and its name is no symbol",
        'set the option symbol (for example symbol = "TSLA") or name the file TSLA.csv',
    )


def _sessions(
    raw: RawTable, column: str, order: str, names: tuple[str, ...], codes: np.ndarray, zone_of: Callable[[str], ZoneInfo]
) -> tuple[np.ndarray, dict[object, str]]:
    cells = raw.columns[column]
    if pa.types.is_date(cells.type):
        return cells.cast(pa.date32()).to_numpy(zero_copy_only=False).astype("datetime64[D]"), {}
    if pa.types.is_timestamp(cells.type):
        return _from_timestamps(cells, names, codes, zone_of), {}
    encoded = cells.cast(pa.string()).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    if order == "auto":
        shown = spelling.written_order(texts)
        if shown is None:
            example = next(t for t in texts if spelling.written_order([t]) != "")
            raise PricesFileError(
                str(raw.path), f"{example!r} may be day/month or month/day", 'set the option date_order to "mdy" or "dmy"'
            )
        order = shown or "mdy"
    days: list[object] = []
    instants: dict[int, spelling.Day] = {}
    bad: dict[object, str] = {}
    for n, text in enumerate(texts):
        try:
            read = spelling.session_of(text, order)
            days.append(read.day)
            if read.instant:
                instants[n] = read
        except ValueError as error:
            bad[text] = str(error)
            days.append(None)
    if texts and not any(days):
        raise PricesFileError(
            str(raw.path), f"column {column!r} holds no dates ({texts[0]!r:.40})", "map the option columns to the one that does"
        )
    table = np.array([*days, None], dtype="datetime64[D]")
    indices = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    session = table[indices]
    for n, read in instants.items():
        for i in np.flatnonzero((indices == n) & (codes >= 0)):
            session[i] = read.instant.astimezone(zone_of(names[codes[i]])).date()
    return session, bad


def _from_timestamps(
    cells: pa.Array, names: tuple[str, ...], codes: np.ndarray, zone_of: Callable[[str], ZoneInfo]
) -> np.ndarray:
    zone = cells.type.tz
    if zone is None:
        return cells.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[D]")
    if zone not in ("UTC", "Etc/UTC", "+00:00", "Z"):
        local = pc.local_timestamp(cells).cast(pa.timestamp("us"))
        return local.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    utc = cells.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    session = utc.astype("datetime64[D]")
    for i in np.flatnonzero((utc != session) & ~np.isnat(utc) & (codes >= 0)):  # midnight UTC is a date, not an instant
        session[i] = utc[i].astype(object).replace(tzinfo=UTC).astimezone(zone_of(names[codes[i]])).date()
    return session


def _numbers(cells: pa.Array, decimal: str, units: bool) -> tuple[np.ndarray, dict[int, str]]:
    """(float64 values, row -> what is wrong with the cell)."""
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        try:
            return cells.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False).copy(), {}
        except pa.ArrowException:
            cells = cells.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(cells)
    # "1.234" is a thousand or so where the comma is the decimal sign: there only the careful way will do
    plain = pc.match_substring_regex(trimmed, _PLAIN_NUMBER if decimal == "." else r"^[+-]?\d+$").fill_null(False)
    values = pc.if_else(plain, trimmed, None).cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False).copy()
    bad: dict[int, str] = {}
    known: dict[str | None, float | str] = {}
    for i in np.flatnonzero(~plain.to_numpy(zero_copy_only=False)):
        text = trimmed[int(i)].as_py()
        if text not in known:
            try:
                known[text] = spelling.number(text, decimal, units)
            except ValueError as error:
                known[text] = str(error)
        if isinstance(result := known[text], str):
            bad[int(i)] = result
        else:
            values[i] = result
    return values, bad
