"""Appending a frame to a table: duplicates refused, known keys skipped, changed values kept as revisions.

An anti-join insert into a table without primary key: several times faster than an upsert on a key, half the file, and no
index that could go wrong. Uniqueness rests on the checks here and on the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from forecasting.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Appended:
    """What became of a frame's rows: new keys, keys whose values are as stored, keys that got a revision.

    ``by``: the same for each value of one key column, (stored, unchanged, revised), where that was asked for.
    """

    stored: int
    unchanged: int
    revised: int
    by: dict[str, tuple[int, int, int]] = field(default_factory=dict, compare=False)


def append_frame(
    con: duckdb.DuckDBPyConnection,
    table: str,
    frame: pd.DataFrame,
    key: tuple[str, ...],
    values: tuple[str, ...] | None,
    tolerance: float,
    run_id: str | None,
    by: str | None = None,
) -> Appended:
    """See ``Tx.append``; runs inside the caller's transaction."""
    types = _columns(con, table)
    given = _stage(con, table, types, frame, key, run_id)
    span = _span(con, table, types, key)
    if span is None:
        fresh, revised, source = given, 0, "temp.incoming"
    else:
        if "revision" in types:
            _find_changed(con, table, types, key, values or (), tolerance, span)
        else:
            _find_new(con, table, key, span)
        fresh, revised = con.execute(
            "SELECT count(*) FILTER (WHERE fate = 'stored'), count(*) FILTER (WHERE fate = 'revised') FROM temp.fated"
        ).fetchone()
        source = "(SELECT * EXCLUDE (fate) FROM temp.fated)"
    if fresh or revised:
        first = ", 0 AS revision" if span is None and "revision" in types else ""
        con.execute(f"INSERT INTO store.{table} BY NAME SELECT *{first} FROM {source} ORDER BY {_list(key)}")
    each = {} if by is None else _by(con, by, first_load=span is None)
    con.execute("DROP TABLE IF EXISTS temp.fated")  # after an error the rollback takes the temporary tables with it
    con.execute("DROP TABLE temp.incoming")
    return Appended(fresh, given - fresh - revised, revised, each)


def _by(con: duckdb.DuckDBPyConnection, column: str, first_load: bool) -> dict[str, tuple[int, int, int]]:
    """(stored, unchanged, revised) for each value of ``column`` among the incoming rows."""
    given = dict(con.execute(f'SELECT "{column}", count(*) FROM temp.incoming GROUP BY 1').fetchall())
    if first_load:
        return {value: (count, 0, 0) for value, count in given.items()}
    fated = con.execute(
        f"""SELECT "{column}", count(*) FILTER (WHERE fate = 'stored'), count(*) FILTER (WHERE fate = 'revised')
        FROM temp.fated GROUP BY 1"""
    ).fetchall()
    changed = {value: (fresh, revised) for value, fresh, revised in fated}
    each = {}
    for value, count in given.items():
        fresh, revised = changed.get(value, (0, 0))
        each[value] = (fresh, count - fresh - revised, revised)
    return each


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Column name -> SQL type of ``store.table``."""
    try:  # not duckdb_columns(), which reads every view first: 14 ms on a new connection
        return dict(con.execute("SELECT name, type FROM pragma_table_info(?)", [f"store.{table}"]).fetchall())
    except duckdb.CatalogException as error:
        raise StorageError(f"there is no table {table!r}") from error


def _stage(
    con: duckdb.DuckDBPyConnection,
    table: str,
    types: dict[str, str],
    frame: pd.DataFrame,
    key: tuple[str, ...],
    run_id: str | None,
) -> int:
    """The frame as ``temp.incoming`` in the table's types, and how many rows it has.

    Raises StorageError for a wrong column, an empty or a doubled key.
    """
    given = [str(column) for column in frame.columns]
    unknown = sorted(set(given) - (set(types) - {"revision"}))
    missing = sorted(set(key) - set(given))
    if unknown or missing:
        raise StorageError(f"rows for {table}: unknown columns {unknown}, missing key columns {missing}")
    fill = ", $run_id AS run_id" if "run_id" in types and "run_id" not in given else ""
    casts = ", ".join(f'CAST("{c}" AS {types[c]}) AS "{c}"' for c in given)
    con.register("frame_given", frame)
    con.execute(f"CREATE TEMP TABLE incoming AS SELECT {casts}{fill} FROM frame_given", {"run_id": run_id} if fill else None)
    con.unregister("frame_given")
    empty = " OR ".join(f'"{c}" IS NULL' for c in key)
    row = con.execute(f"SELECT {_list(key)} FROM temp.incoming WHERE {empty} LIMIT 1").fetchone()
    if row is not None:
        raise StorageError(f"rows for {table}: the key {_list(key)} has an empty part, first in {_shown(key, row)}")
    row = con.execute(
        f"SELECT {_list(key)}, count(*) FROM temp.incoming GROUP BY {_list(key)} HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    if row is not None:
        raise StorageError(f"rows for {table}: {row[-1]} rows for one key ({_shown(key, row)}); keep one before storing")
    return con.execute("SELECT count(*) FROM temp.incoming").fetchone()[0]


def _find_new(con: duckdb.DuckDBPyConnection, table: str, key: tuple[str, ...], span: str) -> None:
    """``temp.fated`` = the incoming rows whose key is not stored, for a table whose first row of a key stays."""
    con.execute(
        f"CREATE TEMP TABLE fated AS SELECT *, 'stored' AS fate FROM temp.incoming "
        f"ANTI JOIN (SELECT {_list(key)} FROM store.{table} WHERE {span}) USING ({_list(key)})"
    )


def _find_changed(
    con: duckdb.DuckDBPyConnection,
    table: str,
    types: dict[str, str],
    key: tuple[str, ...],
    values: tuple[str, ...],
    tolerance: float,
    span: str,
) -> None:
    """``temp.fated`` = the incoming rows that are new or differ from what is stored, with revision and fate."""
    differs = " OR ".join(_differs(c, types[c], tolerance) for c in values) or "false"
    con.execute(
        # A clock that was set back must not put a revision before what it revises.
        f"""CREATE TEMP TABLE fated AS
        SELECT i.* REPLACE (greatest(i.known_at, s.known_at) AS known_at), coalesce(s.revision + 1, 0)::INTEGER AS revision,
            CASE WHEN s.revision IS NULL THEN 'stored' ELSE 'revised' END AS fate
        FROM temp.incoming AS i
        LEFT JOIN ({current(table, key, span)}) AS s USING ({_list(key)})
        WHERE s.revision IS NULL OR {differs}"""
    )


def current(table: str, key: tuple[str, ...], where: str = "true", known: str = "true") -> str:
    """SQL for the newest revision of each key among the rows that satisfy ``where`` and were ``known``.

    A row is not the newest when a row of its key has the next revision number. Revisions are few and have a number above
    0, so that the anti-join's right side is tiny and the table is read once, without a sort.
    """
    return (
        f"SELECT * FROM (SELECT * FROM store.{table} WHERE {where} AND {known}) ANTI JOIN "
        f"(SELECT {_list(key)}, revision - 1 AS revision FROM store.{table} WHERE revision > 0 AND {where} AND {known}) "
        f"USING ({_list(key)}, revision)"
    )


def _span(con: duckdb.DuckDBPyConnection, table: str, types: dict[str, str], key: tuple[str, ...]) -> str | None:
    """A condition that every stored row with an incoming key fulfils; None where no stored row does (a first load).

    It bounds the dates, so that a daily append reads little.
    """
    column = next((c for c in key if types[c] == "DATE"), None)
    where = "true"
    if column is not None:
        first, last = con.execute(f'SELECT min("{column}"), max("{column}") FROM temp.incoming').fetchone()
        where = "false" if first is None else f"\"{column}\" BETWEEN DATE '{first}' AND DATE '{last}'"
    return where if con.execute(f"SELECT 1 FROM store.{table} WHERE {where} LIMIT 1").fetchone() else None


def _differs(column: str, sql_type: str, tolerance: float) -> str:
    new, old = f'i."{column}"', f's."{column}"'
    if sql_type != "DOUBLE":
        return f"{new} IS DISTINCT FROM {old}"
    return (
        f"(({new} IS NULL) <> ({old} IS NULL) OR abs({new} - {old}) > {float(tolerance)!r} * greatest(abs({new}), abs({old})))"
    )


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{c}"' for c in columns)


def _shown(key: tuple[str, ...], row: tuple) -> str:
    return ", ".join(f"{c} {value}" for c, value in zip(key, row, strict=False))


def one_row(**columns: Any) -> pd.DataFrame:
    """A frame of one row, for an append."""
    import pandas as pd

    return pd.DataFrame({name: [value] for name, value in columns.items()})
