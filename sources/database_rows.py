"""Rows of a SQL result as a raw table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from forecasting.errors import SettingError
from sources.raw_table import RawTable

_AT_ONCE = 50_000


def raw_rows(where: str, result: Any, most_rows: int) -> RawTable:
    """The rows of a SQLAlchemy result; SettingError where there are more than ``most_rows``, or two columns of one name."""
    names = [str(name) for name in result.keys()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError("database.query", twice[0], "one column of each name: give the others an alias")
    columns: list[list[Any]] = [[] for _ in names]
    count = 0
    while rows := result.fetchmany(_AT_ONCE):
        count += len(rows)
        if count > most_rows:
            raise SettingError("database.query", f"more than {most_rows:,} rows", "a smaller query, or a larger most_rows")
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(cells)
    arrays = {name: _array(cells) for name, cells in zip(names, columns, strict=True)}
    return RawTable(where, arrays, np.arange(1, count + 1))


def _array(cells: list[Any]) -> pa.Array:
    """The cells in one type: as they are where they agree, as text where they do not. SQLite promises no type a column."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {float} or (len(kinds) > 1 and kinds <= {int, float, Decimal}):
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    if len(kinds) == 1 and str not in kinds:
        try:
            return pa.array(cells)
        except (pa.ArrowException, OverflowError):
            pass
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
