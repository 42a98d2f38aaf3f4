"""CSV text as raw cells, and every line that is no row of the table with its reason."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from forecasting.errors import PricesFileError
from sources import spelling
from sources.raw_table import RawTable, flat

Broken = list[tuple[int, str, str, str]]


def read_csv(where: str, content: bytes) -> RawTable:
    """The cells of a CSV file as text; PricesFileError where it is none.

    The delimiter is the likeliest of comma, semicolon, tab and bar in the first line. A table without a header line is
    refused, blank lines are passed over; lines of another width and header lines inside the data are in ``broken``.
    """
    text, notes = _text(where, content)
    if not text.strip():
        return RawTable(where, {}, np.arange(0), notes=notes)
    delimiter = _delimiter(text)
    lines = list(csv.reader(io.StringIO(text[:100_000]), delimiter=delimiter))[:4]
    if (wide := _wide_header(lines)) is not None:
        return _read_wide(where, text, delimiter, wide, notes)
    names = [name.strip() for name in lines[0]]
    check_header(where, names)
    columns, line, broken = _cells(where, text, delimiter, len(names), 1)
    raw = RawTable(where, dict(zip(names, columns, strict=True)), line, broken, notes)
    raw = without_repeated_header(without_blank_rows(raw), names)
    if not raw.rows and len([b for b in broken if b[1] == "wrong_width"]):
        raise PricesFileError(f"{where} line {broken[0][0]}", f"{broken[0][2]}, and so do all", "correct the header")
    return raw


def _text(where: str, content: bytes) -> tuple[str, list[str]]:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace"), []
    if (nul := content.find(b"\x00")) >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise PricesFileError(
            f"{where} line {line}", "holds a NUL byte", "it is cut or not a text file: write it again as UTF-8"
        )
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        name = where.replace("\\", "/").rsplit("/", 1)[-1]
        return content.decode("cp1252", errors="replace"), [f"{name} is not UTF-8; read as Windows-1252"]


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max((",", ";", "\t", "|"), key=first.count)


def check_header(where: str, names: list[str]) -> None:
    if any(_is_cell(name) for name in names):
        raise PricesFileError(
            f"{where} line 1",
            f"there is no header: {','.join(names)[:60]!r} are values",
            "add a first line such as date,open,high,low,close,volume",
        )
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise PricesFileError(f"{where} line 1", f"the column {twice[0]!r} occurs twice", "rename or remove one of them")


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


def _cells(where: str, text: str, delimiter: str, width: int, skip: int) -> tuple[list[pa.Array], np.ndarray, Broken]:
    """The columns after the first ``skip`` lines as text, the line of each row, and the lines that have another width."""
    if text.count("\n") < skip or not text.split("\n", skip)[skip].strip("\r\n"):
        return [pa.array([], pa.string())] * width, np.arange(0), []
    keys = [f"{i}" for i in range(width)]
    broken: Broken = []
    skipped: list[int] = []

    def note_broken(row: pacsv.InvalidRow) -> str:
        skipped.append(row.number)
        if row.text.replace(delimiter, "").strip():
            message = f"has {row.actual_columns} cells, the header has {row.expected_columns}"
            broken.append((row.number, "wrong_width", message, row.text))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(text.encode()),
            pacsv.ReadOptions(use_threads=False, skip_rows=skip, column_names=keys, block_size=1 << 24),
            pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note_broken
            ),
            pacsv.ConvertOptions(column_types=dict.fromkeys(keys, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowException as error:
        raise PricesFileError(where, f"cannot be read as CSV ({str(error).splitlines()[0]})", "check its quotes") from error
    first = skip + 1
    last = first + table.num_rows + len(skipped)
    line = np.setdiff1d(np.arange(first, last), np.array(skipped, dtype=np.int64), assume_unique=True)
    columns = [flat(table.column(key)) for key in keys]
    return columns, _beyond_quoted_breaks(text, columns, line), broken


def _beyond_quoted_breaks(text: str, columns: list[pa.Array], line: np.ndarray) -> np.ndarray:
    """The line of each row where quoted cells run over several lines, which the count of rows does not know."""
    if '"' not in text:
        return line
    inside = np.zeros(len(line), dtype=np.int64)
    for column in columns:
        inside += pc.count_substring(column, "\n").to_numpy(zero_copy_only=False)
    return line + np.append(0, np.cumsum(inside)[:-1]) if inside.any() else line


def without_blank_rows(raw: RawTable) -> RawTable:
    blank = np.ones(raw.rows, dtype=bool)
    for column in raw.columns.values():
        blank &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
        if not blank.any():
            return raw
    return raw.keep(~blank)


def without_repeated_header(raw: RawTable, names: list[str]) -> RawTable:
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
    if not lines[2] or spelling.plain(lines[2][0]) not in ("date", "datetime") or any(cell.strip() for cell in lines[2][1:]):
        return None
    words = set(spelling.SPELLINGS["close"]) | set(spelling.SPELLINGS["open"])
    for prices, symbols in ((lines[0], lines[1]), (lines[1], lines[0])):
        if words & {spelling.plain(p) for p in prices[1:]}:
            return prices[1:], symbols[1:]
    return None


def _read_wide(where: str, text: str, delimiter: str, header: tuple[list[str], list[str]], notes: list[str]) -> RawTable:
    """One block of rows for each symbol; rows where a symbol has no cell are none: it had no session, another one had."""
    prices, symbols = header
    cells, line, broken = _cells(where, text, delimiter, len(prices) + 1, 3)
    kinds = list(dict.fromkeys(prices))
    blocks: list[dict[str, pa.Array]] = []
    lines = [line[:0]]
    for symbol in dict.fromkeys(symbols):
        place = {kind: i + 1 for i, (kind, s) in enumerate(zip(prices, symbols, strict=True)) if s == symbol}
        there = np.zeros(len(line), dtype=bool)
        for i in place.values():
            there |= pc.not_equal(pc.utf8_trim_whitespace(cells[i]), "").to_numpy(zero_copy_only=False)
        mask, count = pa.array(there), int(there.sum())
        empty = pa.array([""] * count, pa.string())
        block = {"Ticker": pa.array([symbol] * count, pa.string()), "Date": cells[0].filter(mask)}
        blocks.append(block | {kind: cells[place[kind]].filter(mask) if kind in place else empty for kind in kinds})
        lines.append(line[there])
    columns = {name: pa.concat_arrays([block[name] for block in blocks]) for name in ("Ticker", "Date", *kinds)}
    return RawTable(where, columns, np.concatenate(lines), broken, notes)
