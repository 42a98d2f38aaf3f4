"""Price tables as raw cells: CSV (also .gz) and Excel as text only, Parquet in its own types."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forecasting.errors import PricesFileError
from sources.raw_table import RawTable, flat

SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".xlsx")
MOST_BYTES = 2 << 30  # of one table, unpacked: what is larger is no table of daily prices but a mistake or an attack
MOST_CELLS = 500_000_000


def read_table(path: Path) -> RawTable:
    """The raw cells of a file; PricesFileError where it is not a table at all."""
    return read_table_bytes(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise PricesFileError(str(path), f"holds {size:,} bytes, more than {MOST_BYTES:,}", "split it")
        return path.read_bytes()
    except FileNotFoundError:
        raise PricesFileError(str(path), "there is no such file", "give the path of a CSV or Parquet file") from None
    except OSError as error:
        raise PricesFileError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error


def read_table_bytes(where: str | Path, content: bytes, most_bytes: int = MOST_BYTES) -> RawTable:
    """The raw cells of a table's content, whose form the content itself shows; ``most_bytes`` bounds it unpacked."""
    where = str(where)
    if content[:4] == b"PAR1" or where.lower().endswith((".parquet", ".pq")):
        return _read_parquet(where, content)
    if content[:2] == b"\x1f\x8b":
        content = unpacked(where, content, most_bytes)
    if content[:4] == b"PK\x03\x04":
        from sources.excel_tables import read_excel

        return read_excel(where, content, most_bytes)
    if content[:4] == b"\xd0\xcf\x11\xe0":
        raise PricesFileError(where, "is an Excel file of the old form", "save it as .xlsx or .csv")
    from sources.csv_tables import read_csv

    return read_csv(where, content)


def unpacked(where: str, content: bytes, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a gzip file; PricesFileError where it is not whole, or larger than ``most_bytes``."""
    out = io.BytesIO()
    rest = content
    try:
        while rest:  # one member after the other: appending to a gzip file appends a member
            step = zlib.decompressobj(wbits=31)
            out.write(step.decompress(rest, most_bytes + 1 - out.tell()))
            if out.tell() > most_bytes:
                raise PricesFileError(where, f"unpacks to more than {most_bytes:,} bytes", "give the prices alone")
            if not step.eof:
                raise zlib.error("it ends before its end")
            rest = step.unused_data.lstrip(b"\x00")
    except zlib.error as error:
        raise PricesFileError(where, f"is not a whole gzip file ({error})", "fetch it again") from error
    return out.getvalue()


def _read_parquet(where: str, content: bytes) -> RawTable:
    try:
        meta = pq.read_metadata(pa.BufferReader(content))
        if meta.num_rows * meta.num_columns > MOST_CELLS:  # a small file can say that one value is there a billion times
            raise PricesFileError(where, f"says that it holds {meta.num_rows:,} rows", "give the prices alone")
        table = pq.read_table(pa.BufferReader(content), use_threads=True)
    except (pa.ArrowException, OSError) as error:
        raise PricesFileError(
            where, f"is not a readable Parquet file ({str(error).splitlines()[0]})", "fetch it again"
        ) from error
    return of_arrow(where, table)


def of_arrow(where: str, table: pa.Table) -> RawTable:
    """An Arrow table as a raw one."""
    columns = {name: flat(table.column(name)) for name in table.column_names}
    return RawTable(where, columns, np.arange(1, table.num_rows + 1))
