"""Price files as tables of raw cells: CSV (also .gz) as text only, Parquet in its own types."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from forecasting.errors import PricesFileError
from sources import spelling

SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq")


@dataclass
class RawTable:
    """The cells of one file. ``line`` [rows] is where each row stands in it (CSV: the header is line 1; Parquet: row 1 on).

    ``broken`` are lines that are no rows of the table: (line, reason, message, text).
    """

    path: Path
    columns: dict[str, pa.Array]
    line: np.ndarray
    broken: list[tuple[int, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.line)

    def row(self, i: int) -> dict[str, Any]:
        """The row as delivered."""
        return {name: column[i].as_py() for name, column in self.columns.items()}

    def keep(self, wanted: np.ndarray) -> RawTable:
        mask = pa.array(wanted)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return RawTable(self.path, columns, self.line[wanted], self.broken, self.notes)


def read_table(path: Path) -> RawTable:
    """The raw cells of a file; PricesFileError where it is not a table at all."""
    return read_table_bytes(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PricesFileError(str(path), "there is no such file", "give the path of a CSV or Parquet file") from None
    except OSError as error:
        raise PricesFileError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error


def read_table_bytes(path: Path, content: bytes) -> RawTable:
    if content[:4] == b"PAR1" or path.suffix in (".parquet", ".pq"):
        return _read_parquet(path, content)
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise PricesFileError(str(path), f"is not a whole gzip file ({error})", "fetch it again") from error
    return _read_csv(path, content)


def _read_parquet(path: Path, content: bytes) -> RawTable:
    try:
        table = pq.read_table(pa.BufferReader(content), use_threads=True)
    except (pa.ArrowException, OSError) as error:
        raise PricesFileError(
            str(path), f"is not a readable Parquet file ({str(error).splitlines()[0]})", "fetch it again"
        ) from error
    columns = {name: _flat(table.column(name)) for name in table.column_names}
    return RawTable(path, columns, np.arange(1, table.num_rows + 1))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    flat = column.combine_chunks()
    return flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat


def _read_csv(path: Path, content: bytes) -> RawTable:
    text, notes = _text(path, content)
    if not text.strip():
        return RawTable(path, {}, np.arange(0), notes=notes)
    delimiter = _delimiter(text)
    header = next(csv.reader(io.StringIO(text), delimiter=delimiter))
    start = text[:20_000].splitlines()[:3]
    if (wide := _wide_header([next(csv.reader([line], delimiter=delimiter), []) for line in start])) is not None:
        return _read_wide(path, text, delimiter, wide, notes)
    _check_header(path, header)
    names = [name.strip() for name in header]
    if "\n" not in text.strip("\n").replace("\r", "\n"):
        return RawTable(path, {name: pa.array([], pa.string()) for name in names}, np.arange(0), notes=notes)
    unique = [f"{i}" for i in range(len(names))]
    broken: list[tuple[int, str, str, str]] = []
    skipped: list[int] = []

    def note_broken(row: pacsv.InvalidRow) -> str:
        skipped.append(row.number)
        if row.text.strip(" \r\n\t" + delimiter):
            message = f"has {row.actual_columns} cells, the header has {row.expected_columns}"
            broken.append((row.number, "wrong_width", message, row.text))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(text.encode()),
            pacsv.ReadOptions(use_threads=False, skip_rows=1, column_names=unique, block_size=1 << 24),
            pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note_broken
            ),
            pacsv.ConvertOptions(column_types=dict.fromkeys(unique, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowException as error:
        raise PricesFileError(str(path), f"cannot be read as CSV ({str(error).splitlines()[0]})", "check its quotes") from error
    line = np.setdiff1d(np.arange(2, table.num_rows + len(skipped) + 2), np.array(skipped, dtype=np.int64), assume_unique=True)
    columns = {name: _flat(table.column(key)) for name, key in zip(names, unique, strict=True)}
    raw = RawTable(path, columns, line, broken, notes)
    return _without_repeated_header(_without_blank_lines(raw), names)


def _text(path: Path, content: bytes) -> tuple[str, list[str]]:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16"), []
    if (nul := content.find(b"\x00")) >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise PricesFileError(
            f"{path} line {line}", "holds a NUL byte", "it is cut or not a text file: write it again as UTF-8"
        )
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), [f"{path.name} is not UTF-8; read as Windows-1252"]


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max((",", ";", "\t", "|"), key=first.count)


def _check_header(path: Path, header: list[str]) -> None:
    names = [name.strip() for name in header]
    if any(_is_cell(name) for name in names):
        raise PricesFileError(
            f"{path} line 1",
            f"there is no header: {','.join(names)[:60]!r} are values",
            "add a first line such as date,open,high,low,close,volume",
        )
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise PricesFileError(f"{path} line 1", f"the column {twice[0]!r} occurs twice", "rename or remove one of them")


def _is_cell(name: str) -> bool:
    """Whether a header's cell is a date or a number, so that the line must be data."""
    for parse in (spelling.session_of, spelling.number):
        try:
            value = parse(name)
        except ValueError:
            continue
        if value == value:  # not NaN, which an empty name gives
            return True
    return False


def _without_blank_lines(raw: RawTable) -> RawTable:
    blank = np.ones(raw.rows, dtype=bool)
    for column in raw.columns.values():
        blank &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
        if not blank.any():
            return raw
    return raw.keep(~blank)


def _without_repeated_header(raw: RawTable, names: list[str]) -> RawTable:
    """Concatenated files carry their header again inside the data (seen in a daily drop of 2015-04-06)."""
    same = np.ones(raw.rows, dtype=bool)
    for name in names:
        same &= pc.equal(pc.utf8_trim_whitespace(raw.columns[name]), name).to_numpy(zero_copy_only=False)
        if not same.any():
            return raw
    raw.broken += [(int(line), "repeated_header", "is the header again", ",".join(names)) for line in raw.line[same]]
    return raw.keep(~same)


def _wide_header(lines: list[list[str]]) -> tuple[list[str], list[str]] | None:
    """(price names, symbols) of each column, where the file is a yfinance download with its two header lines and a third."""
    if len(lines) < 3 or len(lines[0]) != len(lines[1]) or len(lines[0]) < 3:
        return None
    if spelling.plain(lines[2][0]) not in ("date", "datetime") or any(cell.strip() for cell in lines[2][1:]):
        return None
    words = set(spelling.SPELLINGS["close"]) | set(spelling.SPELLINGS["open"])
    for prices, symbols in ((lines[0], lines[1]), (lines[1], lines[0])):
        if words & {spelling.plain(p) for p in prices[1:]}:
            return prices[1:], symbols[1:]
    return None


def _read_wide(path: Path, text: str, delimiter: str, header: tuple[list[str], list[str]], notes: list[str]) -> RawTable:
    prices, symbols = header
    body = [(n, cells) for n, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1) if n > 3]
    broken = [(n, "wrong_width", f"has {len(c)} cells", delimiter.join(c)) for n, c in body if c and len(c) != len(prices) + 1]
    body = [(n, cells) for n, cells in body if len(cells) == len(prices) + 1]
    kinds = list(dict.fromkeys(prices))
    columns: dict[str, list[str]] = {"Ticker": [], "Date": [], **{kind: [] for kind in kinds}}
    line: list[int] = []
    for symbol in dict.fromkeys(symbols):
        place = {kind: i + 1 for i, (kind, s) in enumerate(zip(prices, symbols, strict=True)) if s == symbol}
        for n, cells in body:
            if not any(cells[i].strip() for i in place.values()):
                continue  # the symbol has no session that day; another one has
            columns["Ticker"].append(symbol)
            columns["Date"].append(cells[0])
            for kind in kinds:
                columns[kind].append(cells[place[kind]] if kind in place else "")
            line.append(n)
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return RawTable(path, arrays, np.array(line, dtype=np.int64), broken, notes)
