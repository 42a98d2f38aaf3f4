"""Queries on a DuckDB or Parquet file that cannot write, load, or look outside it. The one source that opens DuckDB."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forecasting.errors import PricesFileError, SettingError, SourceDown
from sources import tables
from sources.raw_table import RawTable
from sources.read_only_sql import dollar_style

_CLOSED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "2",
    "memory_limit": "2GB",
    "temp_directory": "",
}


def query_duckdb(path: Path, query: str, parameters: Mapping[str, Any], timeout_seconds: float, most_rows: int) -> RawTable:
    """The rows of one query. In a Parquet file the table is called ``prices``.

    PricesFileError: no such database; SourceDown: somebody is writing it; SettingError: the query is wrong or too large.
    """
    import duckdb

    parquet = path.suffix.lower() in (".parquet", ".pq")
    content = tables.read_table(path) if parquet else None
    try:
        con = duckdb.connect(":memory:", config=_CLOSED) if parquet else duckdb.connect(path, read_only=True, config=_CLOSED)
    except duckdb.Error as error:
        said = _first(error)
        if "lock" in said.lower() or "different configuration" in said.lower():
            raise SourceDown(
                "database", None, f"{path} is open for writing elsewhere", "try again when that is done"
            ) from error
        raise PricesFileError(str(path), f"cannot be opened as DuckDB ({said})", "check the path") from error
    with closing(con):
        if content is not None:
            con.register("prices", pa.table(content.columns))
        con.execute("SET lock_configuration = true")
        clock = threading.Timer(timeout_seconds, con.interrupt)
        clock.daemon = True
        clock.start()
        try:
            text = dollar_style(query)
            statements = con.extract_statements(text)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise SettingError("database.query", query[:60], "one query that only reads")
            table = con.sql(text, params=dict(parameters)).limit(most_rows + 1).to_arrow_table()
        except duckdb.InterruptException as error:
            said = f"the query took longer than the {timeout_seconds:g} seconds of timeout_seconds"
            raise SourceDown("database", None, said, "make it smaller, or raise timeout_seconds") from error
        except duckdb.Error as error:
            raise SettingError("database.query", query[:60], f"a query that DuckDB accepts ({_first(error)})") from error
        finally:
            clock.cancel()
    if table.num_rows > most_rows:
        raise SettingError("database.query", query[:60], f"a query of at most {most_rows:,} rows")
    return tables.of_arrow(str(path), _plain(table))


def duckdb_tables(path: Path) -> list[str]:
    """The names of the tables and views in a DuckDB file."""
    query = (
        "SELECT CASE WHEN table_schema = 'main' THEN '' ELSE table_schema || '.' END || table_name AS name "
        "FROM information_schema.tables ORDER BY 1"
    )
    return query_duckdb(path, query, {}, 10.0, 100_000).columns["name"].to_pylist()


def _plain(table: pa.Table) -> pa.Table:
    """Text as text: DuckDB's enums come as dictionaries."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(i, field.name, pc.cast(table.column(i), pa.string()))
    return table


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
