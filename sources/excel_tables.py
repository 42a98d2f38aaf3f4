"""Excel workbooks (.xlsx) as raw cells. Needs openpyxl, which the extra ``excel`` brings."""

from __future__ import annotations

import io
from datetime import date, datetime
from datetime import time as time_of_day

import numpy as np
import pyarrow as pa

from forecasting.errors import PricesFileError
from sources import zip_members
from sources.csv_tables import check_header, without_blank_rows, without_repeated_header
from sources.raw_table import RawTable

_MOST_CELLS = 20_000_000


def read_excel(where: str, content: bytes, most_bytes: int) -> RawTable:
    """The cells of the first sheet as text; its first row that is not empty is the header. PricesFileError for any other zip
    file, and where openpyxl is not installed."""
    names = zip_members.names(where, content)
    if "xl/workbook.xml" not in names:
        raise PricesFileError(where, "is a zip file, not a table", 'unpack it, or read it with the source "kaggle"')
    if (size := zip_members.unpacked_size(where, content)) > most_bytes:
        raise PricesFileError(where, f"unpacks to {size:,} bytes, more than {most_bytes:,}", "save it as .csv")
    try:
        import openpyxl
    except ImportError:
        raise PricesFileError(where, "reading Excel needs openpyxl", "type: pip install 'nextclose[excel]'") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheets = [sheet.title for sheet in book.worksheets]
        rows, line = _rows(where, book.worksheets[0]) if sheets else ([], [])
    except PricesFileError:
        raise
    except Exception as error:  # openpyxl raises whatever the broken XML led it to
        raise PricesFileError(where, f"is not a readable Excel file ({type(error).__name__})", "save it again") from error
    notes = [f"read the sheet {sheets[0]!r}, not {', '.join(map(repr, sheets[1:4]))}"] if len(sheets) > 1 else []
    if not rows:
        return RawTable(where, {}, np.arange(0), notes=notes)
    width = max(i for i, cell in enumerate(rows[0]) if cell) + 1
    header = [cell.strip() for cell in rows[0][:width]]
    check_header(where, header)
    broken = [
        (n, "wrong_width", f"has more cells than the header's {width}", ",".join(row))
        for n, row in zip(line[1:], rows[1:], strict=True)
        if any(row[width:])
    ]
    good = [(n, row) for n, row in zip(line[1:], rows[1:], strict=True) if not any(row[width:])]
    columns = {
        name: pa.array([row[i] if i < len(row) else "" for _, row in good], pa.string()) for i, name in enumerate(header)
    }
    raw = RawTable(where, columns, np.array([n for n, _ in good], dtype=np.int64), broken, notes)
    return without_repeated_header(without_blank_rows(raw), header)


def _rows(where: str, sheet: object) -> tuple[list[list[str]], list[int]]:
    """The sheet's rows that are not empty, and their numbers in it."""
    rows: list[list[str]] = []
    line: list[int] = []
    cells = 0
    for n, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells += len(values) + 1
        if cells > _MOST_CELLS:
            raise PricesFileError(where, f"has more than {_MOST_CELLS:,} cells", "save it as .csv")
        row = [_written(value) for value in values]
        if any(row):
            rows.append(row)
            line.append(n)
    return rows, line


def _written(value: object) -> str:
    """A cell as a CSV file would write it. Excel has no dates without a time: midnight is a date."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time_of_day() else value.isoformat(sep=" ")
    if isinstance(value, (date, time_of_day)):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)
