"""A table as JSON, CSV, Arrow or Parquet, by ``?format=`` or the Accept header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from app.csv_text import as_csv
from storage.editions import Table

MEDIA = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_ANY = TypeAdapter(Any)


def chosen(wanted: str | None, accept: str) -> str:
    """The format: what ``?format=`` names, else the first known type of Accept, else JSON."""
    if wanted in MEDIA:
        return wanted
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if "q=0" in parameters:
            continue
        for name, media in MEDIA.items():
            if kind == media.split(";")[0]:
                return name
        if kind in ("*/*", "application/*", "text/html", ""):
            return "json"
        if kind == "text/*":
            return "csv"
    return "json"


def as_json(value: Any) -> bytes:
    """JSON, UTF-8: dates and instants as ISO 8601, numbers that are not finite as null."""
    return _ANY.dump_json(value)


def as_arrow(table: Table, parquet: bool) -> bytes:
    """An Arrow IPC stream, or a Parquet file. pyarrow is only loaded here."""
    import pyarrow as pa

    schema = pa.schema([(name, _arrow_type(pa, kind)) for name, kind in zip(table.columns, table.types, strict=True)])
    columns = list(zip(*table.rows, strict=True)) or [() for _ in table.columns]
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)]
    batch = pa.table(arrays, schema=schema)
    sink = pa.BufferOutputStream()
    if parquet:
        import pyarrow.parquet as pq

        pq.write_table(batch, sink, compression="zstd")
    else:
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(batch)
    return sink.getvalue().to_pybytes()


def _arrow_type(pa: Any, sql: str) -> Any:
    types = {
        "VARCHAR": pa.string(), "DATE": pa.date32(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "INTEGER": pa.int32(),
        "BOOLEAN": pa.bool_(), "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"), "FLOAT": pa.float32(),
    }  # fmt: skip
    return types.get(sql, pa.string())


def encoded(table: Table, form: str, envelope: Mapping[str, Any]) -> bytes:
    """The table in the format; ``envelope`` stands around the rows where that is JSON."""
    if form == "csv":
        return as_csv(table.columns, table.rows)
    if form in ("arrow", "parquet"):
        return as_arrow(table, form == "parquet")
    return as_json({**envelope, "rows": table.dicts()})
