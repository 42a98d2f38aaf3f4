"""The cells of one table, as they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass
class RawTable:
    """The cells of one table. ``line`` [rows] is where each row stands in it (CSV: the header is line 1; Parquet: row 1 on).

    ``where`` is what messages call it: a path or an address, whose last part may name a symbol. ``broken`` are lines that
    are no rows of the table: (line, reason, message, text).
    """

    where: str | Path
    columns: dict[str, pa.Array]
    line: np.ndarray
    broken: list[tuple[int, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.where = str(self.where)

    @property
    def rows(self) -> int:
        return len(self.line)

    @property
    def name(self) -> str:
        return self.where.replace("\\", "/").rsplit("/", 1)[-1]

    def row(self, i: int) -> dict[str, Any]:
        """The row as delivered."""
        return {name: column[i].as_py() for name, column in self.columns.items()}

    def keep(self, wanted: np.ndarray) -> RawTable:
        mask = pa.array(wanted)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return RawTable(self.where, columns, self.line[wanted], self.broken, self.notes)


def flat(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
