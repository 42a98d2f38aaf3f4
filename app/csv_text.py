"""A table as CSV, for the API and for ``--csv`` alike; a cell that a spreadsheet would run as a formula stays text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

#: What a spreadsheet would take for a formula at the beginning of a cell (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], head: bool = True, end: str = "\r\n") -> bytes:
    """CSV in UTF-8, with a ``head`` of column names; text that begins like a formula has an apostrophe before it."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator=end)
    if head:
        writer.writerow(columns)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return target.getvalue().encode()


def csv_cell(value: Any) -> Any:
    """A value as a cell: dates ISO text, numbers that are not finite and None empty, lists and objects JSON."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value
