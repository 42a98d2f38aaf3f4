"""Prices from CSV and Parquet files: one symbol, a panel, or a folder of such files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from forecasting.errors import PricesFileError, SettingError
from forecasting.symbols import normalise_symbol, normalise_symbols
from sources import spelling, tables
from sources.base import REJECT_COLUMNS, Fetched, in_span, missing_symbols, typed_frame
from sources.basis import BASES, Settled, settle
from sources.cells import Columns, read_columns


@dataclass(frozen=True)
class _Loaded:
    """All rows in (symbol, session) order; the rows of symbol i are starts[i]:starts[i + 1]."""

    names: tuple[str, ...]
    starts: np.ndarray
    session: np.ndarray  # datetime64[us]
    numbers: dict[str, np.ndarray]
    settled: Settled
    rejects: pd.DataFrame
    notes: tuple[str, ...]


class FilesSource:
    """Prices from ``path``, a CSV (also .gz) or Parquet file or a folder of them; read once per instance.

    ``symbol``: the symbol of a file that has no such column (default: its name, AAPL.csv). ``columns``: our word -> the
    file's column, where the usual spellings do not say it. ``where``: column -> text, keeps only those rows (a panel with
    several vintages). ``basis``: 'auto', 'as_traded', 'split_adjusted' (by the source, dividends separate) or 'adjusted'
    (for both); see ``sources/basis.py``. ``decimal``: '.' or ','. ``date_order``: 'auto', 'mdy' or 'dmy' for 08/09/2023.
    ``timezone``: the exchange's zone, for time stamps in UTC (default: that of the symbol's calendar). ``close_only``: take
    the close for a missing open, high and low. ``currency``: of all prices in the file.

    Rows that cannot be read are in ``Fetched.rejects``; a file that cannot be read raises PricesFileError.
    """

    name = "files"

    def __init__(
        self,
        path: str | Path,
        symbol: str | None = None,
        columns: Mapping[str, str] | None = None,
        where: Mapping[str, str] | None = None,
        basis: str = "auto",
        decimal: str = ".",
        date_order: str = "auto",
        timezone: str | None = None,
        close_only: bool = False,
        currency: str | None = None,
    ) -> None:
        for setting, value, allowed in (
            ("basis", basis, BASES),
            ("decimal", decimal, (".", ",")),
            ("date_order", date_order, ("auto", "mdy", "dmy")),
        ):
            if value not in allowed:
                raise SettingError(f"files.{setting}", value, " or ".join(repr(a) for a in allowed))
        if timezone is not None:
            try:
                ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError):
                raise SettingError("files.timezone", timezone, "a time zone such as 'Europe/Berlin'") from None
        self.path = Path(path).expanduser()
        self._symbol = None if symbol is None else normalise_symbol(symbol)
        self._columns, self._where = dict(columns or {}), dict(where or {})
        self._basis, self._decimal, self._date_order = basis, decimal, date_order
        self._timezone, self._close_only, self._currency = timezone, close_only, currency

    def symbols(self) -> tuple[str, ...]:
        return self._loaded.names

    def identity(self) -> str:
        """'files:' and the SHA-256 of the content (of a folder: of all names and contents) and of the options."""
        digest = hashlib.sha256()
        files = self._files()
        for path in files:
            content = hashlib.sha256(tables.read_bytes(path)).hexdigest()
            digest.update((content if len(files) == 1 else f"{path.name} {content}\n").encode())
        options = (self._symbol, self._columns, self._where, self._basis, self._decimal, self._date_order, self._timezone)
        digest.update(json.dumps([*options, self._close_only], sort_keys=True).encode())
        return f"files:{digest.hexdigest()}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        wanted = normalise_symbols(symbols)
        data = self._loaded
        place = {name: i for i, name in enumerate(data.names)}
        parts = [np.arange(data.starts[place[s]], data.starts[place[s] + 1]) for s in sorted(wanted) if s in place]
        rows = np.concatenate(parts) if parts else np.arange(0)
        rows = rows[in_span(data.session[rows], start, end)]
        code = np.searchsorted(data.starts, rows, side="right") - 1
        bars = _bars(data, rows, code)
        answered = [data.names[i] for i in np.unique(code)]
        failures = missing_symbols(self.name, wanted, data.names, answered, start, end)
        actions = _slice(data.settled.actions, wanted, start, end)
        rejects = data.rejects
        ours = rejects["symbol"].isin(list(wanted)) | rejects["symbol"].isna() | (rejects["symbol"] == "")
        rejects = rejects[ours.to_numpy(dtype=bool) & in_span(rejects["session"].to_numpy(), start, end)].reset_index(drop=True)
        currency = dict.fromkeys(answered, self._currency) if self._currency else {}
        return Fetched(bars, actions, data.settled.basis, failures, data.notes, currency, rejects)

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found = sorted(p for p in self.path.iterdir() if p.is_file() and p.name.lower().endswith(tables.SUFFIXES))
        if not found:
            raise PricesFileError(
                str(self.path), "the folder holds no price file", "put .csv, .csv.gz or .parquet files into it"
            )
        if self._symbol is not None and len(found) > 1:
            raise SettingError("files.symbol", self._symbol, "no symbol for a folder of several files")
        return found

    @cached_property
    def _loaded(self) -> _Loaded:
        files = self._files()
        notes: list[str] = []
        parts: list[Columns] = []
        for path in files:
            part = self._read(path, notes, alone=len(files) == 1)
            if part is not None:
                parts.append(part)
        if not parts:
            raise PricesFileError(str(self.path), "no file in the folder has rows", "put prices into it")
        return _assemble(parts, files, self._basis, self._close_only, self.path, notes)

    def _read(self, path: Path, notes: list[str], alone: bool) -> Columns | None:
        raw = tables.read_table(path)
        if not raw.columns:
            if alone:
                raise PricesFileError(str(path), "the file is empty", "give a file with a header line and rows")
            notes.append(f"{path.name} is empty")
            return None
        try:
            found = spelling.recognise(list(raw.columns), self._columns)
        except ValueError as error:
            raise PricesFileError(str(path), str(error), "see the option columns") from None
        self._check_needed(path, raw, found)
        notes += raw.notes
        for column, text in self._where.items():
            if column not in raw.columns:
                raise PricesFileError(str(path), f"there is no column {column!r}", "correct the option where")
            raw = raw.keep(
                pc.equal(raw.columns[column].cast(pa.string()), text).fill_null(False).to_numpy(zero_copy_only=False)
            )
        if not raw.rows and not raw.broken:
            if alone:
                raise PricesFileError(str(path), "there is a header but no row", "give a file with prices")
            notes.append(f"{path.name} has no rows")
            return None
        return read_columns(raw, found, self._symbol, self._decimal, self._date_order, self._zone_of)

    def _check_needed(self, path: Path, raw: tables.RawTable, found: Mapping[str, str]) -> None:
        needed = ("session", "close") if self._close_only else spelling.NEEDED
        missing = [word for word in needed if word not in found]
        if not missing:
            return
        what = f"there is no column for {', '.join('date' if m == 'session' else m for m in missing)}"
        has = ", ".join(list(raw.columns)[:12])
        if set(missing) <= {"open", "high", "low"} and len(missing) == 3:
            raise PricesFileError(str(path), f"{what} among {has}", "set close_only = true to take the close for them")
        word = "date" if missing[0] == "session" else missing[0]
        raise PricesFileError(str(path), f"{what} among {has}", f'name it: columns = {{{word} = "…"}}')

    def _zone_of(self, symbol: str) -> ZoneInfo:
        if self._timezone is not None:
            return ZoneInfo(self._timezone)
        from forecasting.sessions import calendar_of, timezone_of

        return timezone_of(calendar_of(symbol))


def _assemble(parts: list[Columns], files: list[Path], basis: str, close_only: bool, path: Path, notes: list[str]) -> _Loaded:
    """All files' rows as one block, their form of adjustment settled."""
    names = tuple(sorted({name for part in parts for name in part.names}))
    code = np.concatenate([np.searchsorted(names, part.names)[part.symbol] if part.names else part.symbol for part in parts])
    session = np.concatenate([part.session for part in parts])
    line = np.concatenate([part.line for part in parts])
    origin = np.repeat(np.arange(len(parts)), [len(part.line) for part in parts])
    words = [w for w in spelling.NUMBERS if any(w in part.numbers for part in parts)]
    mixed = [w for w in ("adj_close", "dividend", "split") if 0 < sum(w in part.numbers for part in parts) < len(parts)]
    if mixed and basis == "auto":
        problem = f"some of its files have {mixed[0]} and some have not"
        raise PricesFileError(str(path), problem, 'set the option basis, for example basis = "adjusted"')
    numbers = {w: np.concatenate([p.numbers.get(w, np.full(len(p.line), np.nan)) for p in parts]) for w in words}
    if close_only:
        for w in ("open", "high", "low"):
            numbers.setdefault(w, numbers["close"])
    if "volume" not in numbers:
        numbers["volume"] = np.full(len(code), np.nan)
        notes.append("the file has no volume; it is missing in all rows")
    rejects = [reject for part in parts for reject in part.rejects]
    order = _order(code, session)
    code, session, line, origin = code[order], session[order], line[order], origin[order]
    numbers = {w: v[order] for w, v in numbers.items()}
    if len(parts) > 1:
        keep, replaced = _latest_file_wins(names, code, session, line, origin, numbers)
        rejects += replaced
        if (~keep).any():
            notes.append(f"{int((~keep).sum())} rows occur in several files; the last file by name counts")
        code, session, line = code[keep], session[keep], line[keep]
        numbers = {w: v[keep] for w, v in numbers.items()}
    present, code = np.unique(code, return_inverse=True)
    names = tuple(names[i] for i in present)
    starts = np.searchsorted(code, np.arange(len(names) + 1))
    session = session.astype("datetime64[us]")
    settled = settle(names, starts, session, numbers, basis)
    frame = typed_frame(REJECT_COLUMNS, rejects) if rejects else typed_frame(REJECT_COLUMNS)
    if len(frame):
        for reason, part in frame.groupby("reason", sort=True):
            first = part.iloc[0]
            notes.append(f"{len(part)} rows set aside as {reason}, the first: line {first['row']}: {first['message']}")
    return _Loaded(names, starts, session, numbers | settled.changed, settled, frame, (*notes, *settled.notes))


def _order(code: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Positions in (symbol, session) order, rows of one session in file order; cheap where it is so already."""
    key = code.astype(np.int64) * 2**24 + (session.astype(np.int64) + 2**22)
    if (key[1:] >= key[:-1]).all():
        return np.arange(len(key))
    return np.argsort(key, kind="stable")


def _latest_file_wins(
    names: tuple[str, ...],
    code: np.ndarray,
    session: np.ndarray,
    line: np.ndarray,
    origin: np.ndarray,
    numbers: dict[str, np.ndarray],
) -> tuple[np.ndarray, list[tuple[str, object, int, str, str, str]]]:
    """(rows to keep, rejects for rows that a later file says differently). Duplicates inside a file all stay."""
    new = np.append(True, (code[1:] != code[:-1]) | (session[1:] != session[:-1]))
    group = np.cumsum(new) - 1
    latest = np.maximum.reduceat(origin, np.flatnonzero(new)) if len(code) else origin
    keep = origin == latest[group]
    winner = (np.append(np.flatnonzero(new)[1:], len(code)) - 1)[group]
    differs = np.zeros(len(code), dtype=bool)
    for word, v in numbers.items():
        if word != "adj_close":  # it changes with every later action
            differs |= (v != v[winner]) & ~(np.isnan(v) & np.isnan(v[winner]))
    rejects = []
    for i in np.flatnonzero(~keep):
        if differs[i]:
            row = json.dumps({w: (None if np.isnan(v[i]) else float(v[i])) for w, v in numbers.items()})
            rejects.append((names[code[i]], session[i], int(line[i]), "superseded", "a later file says otherwise", row))
    return keep, rejects


def _bars(data: _Loaded, rows: np.ndarray, code: np.ndarray) -> pd.DataFrame:
    symbol = pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(data.names, pa.string())).cast(
        pa.string()
    )
    table = pa.table(
        {"symbol": symbol, "session": pa.array(data.session[rows])}
        | {c: pa.array(data.numbers[c][rows]) for c in ("open", "high", "low", "close", "volume")}
    )
    return table.to_pandas()


def _slice(actions: pd.DataFrame, wanted: Sequence[str], start: date | None, end: date | None) -> pd.DataFrame:
    keep = actions["symbol"].isin(list(wanted)).to_numpy(dtype=bool) & in_span(actions["session"].to_numpy(), start, end)
    return actions[keep].reset_index(drop=True)
