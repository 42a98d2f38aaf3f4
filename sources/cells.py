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
from sources.raw_table import RawTable

# code: what is wrong with a delivered row that is no bar. Those that cleaning knows too are called the same there.
REJECT_REASONS = {
    "bad_symbol": "the symbol is missing, or not one that an exchange would write",
    "bad_session": "the date is missing, or not a date",
    "not_final": "a time of day stands in place of the date: the row is of a session that still runs",
    "not_a_number": "a price, the volume or an action is text that is not a number",
    "other_currency": "the price is in another currency than the rest of the symbol's",
    "wrong_width": "the line has more or fewer cells than the header",
    "repeated_header": "the line is the header again, inside the data",
    "superseded": "a later file of the folder says otherwise about the same session",
    "action_without_bar": "an action of a day for which there is no bar",
}
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?(\s?[AaPp]\.?[Mm]\.?)?(\s[A-Z]{2,4})?")
_SHARE_CLASS = re.compile(r"[A-Za-z0-9]{1,10}_[A-Za-z]{1,2}(\.[A-Za-z]{1,3})?")
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
    currency: dict[str, str] = field(default_factory=dict)  # of the symbols whose table says it


def read_columns(
    raw: RawTable,
    found: Mapping[str, str],
    symbol: str | None,
    decimal: str,
    date_order: str,
    zone_of: Callable[[str], ZoneInfo],
) -> Columns:
    """The rows of a raw table; those with a symbol, date or number that cannot be read become rejects, each as delivered.

    A number that is not there (an empty cell, "null") is NaN and no reject. Raises PricesFileError where the whole file
    is unclear.
    """
    names, codes, bad_symbols = _symbols(raw, found.get("symbol"), symbol)
    session, bad_days = _sessions(raw, found["session"], date_order, names, codes, zone_of)
    rejects = [(None, None, line, reason, message, json.dumps(text)) for line, reason, message, text in raw.broken]
    for i in np.flatnonzero(codes < 0):
        message = bad_symbols.get(raw.columns[found["symbol"]][int(i)].as_py(), "the symbol is missing")
        rejects.append((None, session[i], *_reject(raw, i, "bad_symbol", message)))
    for i in np.flatnonzero((codes >= 0) & np.isnat(session)):
        cell = raw.columns[found["session"]][int(i)].as_py()
        reason, message = "bad_session", bad_days.get(cell, "the date is missing")
        if isinstance(cell, str) and _TIME_OF_DAY.fullmatch(cell.strip()):
            reason, message = "not_final", f"{cell!r} is a time of day: the session was still running"
        rejects.append((names[codes[i]], None, *_reject(raw, i, reason, message)))
    good = (codes >= 0) & ~np.isnat(session)
    numbers: dict[str, np.ndarray] = {}
    unreadable: dict[int, list[str]] = {}
    for word in spelling.NUMBERS:
        if word in found:
            numbers[word], bad = _numbers(raw.columns[found[word]], decimal, word == "volume")
            for i, message in bad.items():
                unreadable.setdefault(i, []).append(f"{found[word]}: {message}")
    for i in sorted(unreadable):
        if good[i]:
            rejects.append((names[codes[i]], session[i], *_reject(raw, i, "not_a_number", "; ".join(unreadable[i]))))
    good[list(unreadable)] = False
    currency: dict[str, str] = {}
    if "currency" in found:
        currency, other = _currencies(raw.columns[found["currency"]], names, codes, good)
        for i in np.flatnonzero(other):
            message = f"in {raw.columns[found['currency']][int(i)].as_py()}, the others in {currency[names[codes[i]]]}"
            rejects.append((names[codes[i]], session[i], *_reject(raw, i, "other_currency", message)))
        good &= ~other
    if not good.all():
        codes, session, line = codes[good], session[good], raw.line[good]
        numbers = {word: values[good] for word, values in numbers.items()}
    else:
        line = raw.line
    return Columns(names, codes, session, numbers, line, rejects, currency)


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
            place.append(names.setdefault(normalise_symbol(_with_hyphen(text, raw)), len(names)))
        except SymbolError as error:
            bad[text] = str(error)
            place.append(-1)
    indices = encoded.indices.fill_null(len(place)).to_numpy(zero_copy_only=False)
    return tuple(names), np.append(np.array(place, dtype=np.int64), -1)[indices], bad


def _with_hyphen(text: object, raw: RawTable) -> object:
    """A share class as we write it: Quandl's files say BRK_A for BRK-A."""
    if isinstance(text, str) and _SHARE_CLASS.fullmatch(text.strip()):
        hyphen = text.strip().replace("_", "-")
        raw.notes.append(f"{text.strip()} is read as {hyphen}")
        return hyphen
    return text


def _from_file_name(raw: RawTable) -> str:
    stem = re.sub(r"(\.(csv|txt|tsv|parquet|pq|xlsx))?(\.gz)?$", "", raw.name, flags=re.IGNORECASE)
    if re.fullmatch(r"[A-Z0-9^][A-Z0-9.^=&-]{0,19}", stem) and any(c.isalpha() or c == "." for c in stem):
        return stem
    if m := re.fullmatch(r"([a-z0-9][a-z0-9_-]{0,9})\.us", stem):  # stooq's files, as they lie in Kaggle's datasets
        return m[1].upper().replace("_", "-")
    raise PricesFileError(
        raw.where,
        "it has no symbol column and its name is no symbol",
        'set the option symbol (for example symbol = "TSLA") or name the file TSLA.csv',
    )


def _currencies(
    cells: pa.Array, names: tuple[str, ...], codes: np.ndarray, good: np.ndarray
) -> tuple[dict[str, str], np.ndarray]:
    """(each symbol's most frequent currency as written, which good rows say another, bool [rows])."""
    encoded = pc.utf8_trim_whitespace(cells.cast(pa.string()).fill_null("")).dictionary_encode()
    words, said = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    count = np.zeros((len(names), len(words)), dtype=np.int64)
    there = good & np.array([bool(w) for w in words], dtype=bool)[said]
    np.add.at(count, (codes[there], said[there]), 1)
    most = count.argmax(axis=1) if len(words) else np.zeros(len(names), dtype=np.int64)
    known = {name: words[most[i]] for i, name in enumerate(names) if len(words) and count[i, most[i]]}
    return known, there & (said != most[codes])


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
                raw.where, f"{example!r} may be day/month or month/day", 'set the option date_order to "mdy" or "dmy"'
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
            raw.where, f"column {column!r} holds no dates ({texts[0]!r:.40})", "map the option columns to the one that does"
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
