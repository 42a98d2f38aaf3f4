"""What ``nextclose export`` writes, and how: a batch of rows after the other, into a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.csv_text import as_csv
from forecasting.errors import HomeNotWritable, InputError

if TYPE_CHECKING:
    from storage.home import Home
    from storage.sql import Stream

FORMATS = ("csv", "parquet", "xlsx")
_SHEET_ROWS = 1_048_576  # of a worksheet, with the head
_SHEET_NAME = 31


@dataclass(frozen=True)
class Order:
    """One file: the statement behind each of its tables (one, but for a workbook)."""

    file: Path
    form: str
    statements: Mapping[str, str]


def planned(tables: tuple[str, ...], query: str | None, to: Path | None, form: str | None, replace: bool) -> list[Order]:
    """The files to write; InputError for a view or format that there is not, and for a file that is there."""
    statements = _statements(tables, query)
    ending = to.suffix.lower().removeprefix(".") if to is not None and not to.is_dir() else ""
    if ending and ending not in FORMATS:
        raise InputError(f"{to.name} ends in .{ending}; name a file that ends in .csv, .parquet or .xlsx, or a folder")
    if ending and form not in (None, ending):
        raise InputError(f"{to.name} is not a name for --format {form}; leave one of the two out")
    chosen = form or ending or "csv"
    if ending or (chosen == "xlsx" and to is None):
        first = next(iter(statements))
        file = to if ending else Path(f"{first if len(statements) == 1 else 'nextclose'}.xlsx")
        if len(statements) > 1 and chosen != "xlsx":
            raise InputError(f"{file.name} holds one table; name a folder for {len(statements)}, or a workbook (.xlsx)")
        orders = [Order(file, chosen, statements)]
    else:
        folder = to if to is not None else Path()
        orders = [Order(folder / f"{name}.{chosen}", chosen, {name: sql}) for name, sql in statements.items()]
    orders = [Order(order.file.expanduser().absolute(), order.form, order.statements) for order in orders]
    there = [order.file for order in orders if order.file.exists()]
    if there and not replace:
        raise InputError(f"{there[0]} is there already; add --replace to write over it, or name another with --to")
    return orders


def _statements(tables: tuple[str, ...], query: str | None) -> dict[str, str]:
    from storage.views import all_views
    from tasks.settings_values import nearest

    if query is not None:
        if tables:
            raise InputError("name views or give --query SQL, not both")
        return {"query": query.strip().rstrip(";")}
    known = sorted(view.name for view in all_views() if not view.parameters)
    if not tables:
        raise InputError(f"name a view to write ({', '.join(known)}), `all`, or --query SQL")
    wanted = known if tables == ("all",) else list(dict.fromkeys(tables))
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no view {name!r}{nearest(name, known)}")
    return {name: f"FROM {name}" for name in wanted}


def write(home: Home, order: Order, timeout: float, quiet: bool) -> list[dict[str, Any]]:
    """Write one file; table, file, rows and bytes of each table in it."""
    from app.progress import counting
    from storage.sql import stream_sql

    counts: dict[str, int] = {}
    with _whole(order.file) as part, _WRITERS[order.form](part) as put:
        for name, sql in order.statements.items():
            with stream_sql(home, sql, timeout) as stream, counting(f"writing {name}", quiet) as rows:
                counts[name] = put(name, stream, rows)
    size = order.file.stat().st_size
    return [{"table": name, "file": str(order.file), "rows": rows, "bytes": size} for name, rows in counts.items()]


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A name to write to, which becomes ``file`` where all went well and is gone where it did not."""
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, file)
    except OSError as error:
        raise HomeNotWritable(f"{file} cannot be written ({error.strerror or error}); name another with --to FILE") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


Put = Callable[[str, "Stream", Callable[[int], None]], int]


def _rows(batch: Any) -> list[tuple]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True)) if batch.num_columns else []


@contextmanager
def _csv(part: Path) -> Iterator[Put]:
    with part.open("wb") as file:

        def put(name: str, stream: Stream, told: Callable[[int], None]) -> int:
            file.write(as_csv(stream.schema.names, ()))
            total = 0
            for batch in stream.batches:
                file.write(as_csv(stream.schema.names, _rows(batch), head=False))
                total += batch.num_rows
                told(total)
            return total

        yield put
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _parquet(part: Path) -> Iterator[Put]:
    def put(name: str, stream: Stream, told: Callable[[int], None]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        total, waiting = 0, []
        with pq.ParquetWriter(part, stream.schema, compression="zstd") as file:
            for batch in stream.batches:
                waiting.append(batch)
                total += batch.num_rows
                if sum(one.num_rows for one in waiting) >= 131_072:  # rows of a row group: fewer make the file large
                    file.write_table(pa.Table.from_batches(waiting, stream.schema))
                    waiting.clear()
                told(total)
            if waiting:
                file.write_table(pa.Table.from_batches(waiting, stream.schema))
        return total

    yield put


@contextmanager
def _xlsx(part: Path) -> Iterator[Put]:
    try:
        import openpyxl
        from openpyxl.cell import WriteOnlyCell
    except ImportError:
        raise InputError(
            "writing Excel needs openpyxl; type: pip install 'nextclose[excel]', or write .csv or .parquet"
        ) from None
    book = openpyxl.Workbook(write_only=True)

    def put(name: str, stream: Stream, told: Callable[[int], None]) -> int:
        sheet, total = book.create_sheet(name[:_SHEET_NAME]), 0
        sheet.freeze_panes = "A2"

        def cell(value: Any) -> Any:
            if isinstance(value, str):
                made = WriteOnlyCell(sheet, openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.sub(" ", value)[:32_767])
                made.data_type = "s"  # never a formula
                return made
            if isinstance(value, float) and (value != value or abs(value) == float("inf")):
                return None
            if isinstance(value, datetime) and value.tzinfo is not None:  # a workbook knows no zones: instants are UTC
                return value.astimezone(UTC).replace(tzinfo=None)
            return str(value) if isinstance(value, (dict, list, tuple, bytes)) else value

        sheet.append([cell(column) for column in stream.schema.names])
        for batch in stream.batches:
            total += batch.num_rows
            if total >= _SHEET_ROWS:
                raise InputError(f"{name} has more rows than a worksheet holds ({_SHEET_ROWS - 1:,}); write .csv or .parquet")
            for row in _rows(batch):
                sheet.append([cell(value) for value in row])
            told(total)
        return total

    yield put
    book.save(part)


_WRITERS = {"csv": _csv, "parquet": _parquet, "xlsx": _xlsx}
