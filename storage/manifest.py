"""Digests of the content, the manifest that keeps them beside the database, and ``verify`` that compares the two.

DuckDB's own checksum misses exchanged words and some zeroed stretches, and a torn log loses commits silently. So each
publish writes what the tables held, and ``verify`` reads everything again.

A table is digested in chunks, one a month of its sessions, origins or abouts (one a day, where a day brings thousands of rows):
SHA-256 over the sorted SHA-256 of its rows, each row written as ``column=value`` without empty columns and without
wall-clock columns (TIMESTAMPTZ). So the digest depends on the content alone: not on row order, on when a run ran or how
often, nor on a column that a later schema adds empty. A second mark of each chunk (rows' MD5, clocks included, joined by
XOR) is there to notice damage to the wall-clock columns as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

from forecasting.errors import DatabaseCorrupt
from storage.home import Home, write_durably

FORMAT = 1
# How a run went, not what it left: different after a kill and a rerun, so no content.
NOT_CONTENT = frozenset({"lease", "attempts", "stage_times", "requests", "migrations", "meta", "publication"})
# Each run adds one origin of these: a publish need not read its month again.
_BY_DAY = frozenset({"features", "forecasts", "scores", "quality", "findings"})
_BATCH_ROWS = 250_000  # rows whose hashes one query gathers in memory, about 100 MB; a larger month is streamed


@dataclass(frozen=True)
class Chunk:
    """``rows`` of one chunk; ``content`` is without the wall-clock columns, ``clocked`` the mark with them."""

    rows: int
    content: str
    clocked: str


@dataclass(frozen=True)
class TableDigest:
    chunks: dict[int, Chunk] = field(default_factory=dict)  # by yyyymm or yyyymmdd; 0: no date

    @property
    def rows(self) -> int:
        return sum(chunk.rows for chunk in self.chunks.values())

    @property
    def content(self) -> str:
        lines = (f"{month} {chunk.rows} {chunk.content}" for month, chunk in sorted(self.chunks.items()))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def content_digest(con: duckdb.DuckDBPyConnection) -> str:
    """SHA-256 over the sorted content of all tables without wall-clock columns (64 hex digits)."""
    return combined(digest_tables(con))


def combined(tables: dict[str, TableDigest]) -> str:
    """The digest over tables; one without rows leaves no trace."""
    lines = (f"{name} {table.rows} {table.content}" for name, table in sorted(tables.items()) if table.rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digest_tables(con: duckdb.DuckDBPyConnection, previous: dict[str, TableDigest] | None = None) -> dict[str, TableDigest]:
    """The digest of each content table.

    With ``previous``, chunks that still have as many rows keep their digest: rows are only ever added, so that equal
    counts mean equal rows, and a publish reads only the chunks that grew. (Damage since is then not blessed by a new
    digest, but found by ``verify``, which never passes ``previous``.)
    """
    names = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' AND database_name = current_database() ORDER BY 1"
    ).fetchall()
    content = [name for (name,) in names if name not in NOT_CONTENT]
    # Half of the tables of most homes are empty; to count each by itself takes ten times as long as this.
    some = " UNION ALL ".join(f"(SELECT '{name}' FROM store.{name} LIMIT 1)" for name in content)
    filled = [name for (name,) in con.execute(some).fetchall()]
    known, columns = previous or {}, columns_of(con, filled) if filled else {}
    return {name: digest_table(con, name, known.get(name), columns) if name in filled else TableDigest() for name in content}


def columns_of(con: duckdb.DuckDBPyConnection, tables: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of each table, by name. One query: to ask table by table takes three times as long, and
    duckdb_columns() reads every view first."""
    found: dict[str, list[tuple[str, str]]] = {table: [] for table in tables}
    each = (f"SELECT '{table}', name, type FROM pragma_table_info('store.{table}')" for table in tables)
    for table, name, kind in con.execute(" UNION ALL ".join(each)).fetchall():
        found[table].append((name, kind))
    return {table: sorted(columns) for table, columns in found.items()}


def digest_table(
    con: duckdb.DuckDBPyConnection,
    table: str,
    previous: TableDigest | None = None,
    known_columns: dict[str, list[tuple[str, str]]] | None = None,
) -> TableDigest:
    columns = (columns_of(con, [table]) if known_columns is None else known_columns)[table]
    month = _chunk_of(table, dict(columns))
    counts = dict(con.execute(f"SELECT {month}, count(*) FROM store.{table} GROUP BY 1").fetchall())
    kept = {} if previous is None else {m: c for m, c in previous.chunks.items() if counts.get(m) == c.rows}
    content = ", ".join(_written(name, kind) for name, kind in columns if kind != "TIMESTAMP WITH TIME ZONE")
    clock = "".join(
        f" || coalesce('{name}=' || epoch_us({name}), '')" for name, kind in columns if kind == "TIMESTAMP WITH TIME ZONE"
    )
    fresh: dict[int, Chunk] = {}
    for months in _batches({m: n for m, n in counts.items() if m not in kept}):
        wanted = "true" if len(months) == len(counts) else f"{month} IN ({', '.join(map(str, months))})"
        row_hash = f"sha256(concat_ws(chr(31), {content}))"
        rows = f"SELECT {month} AS chunk_month, {row_hash} AS row_hash, * FROM store.{table} WHERE {wanted}"
        clocked = f"bit_xor(md5_number(row_hash{clock}))::VARCHAR"
        if sum(counts[m] for m in months) > _BATCH_ROWS:  # one large month
            mark = con.execute(f"SELECT {clocked} FROM ({rows})").fetchone()[0]
            fresh[months[0]] = Chunk(counts[months[0]], _streamed(con, f"SELECT row_hash FROM ({rows}) ORDER BY 1"), mark)
            continue
        found = con.execute(
            f"SELECT chunk_month, count(*), sha256(string_agg(row_hash, chr(10) ORDER BY row_hash)), {clocked} "
            f"FROM ({rows}) GROUP BY chunk_month"
        ).fetchall()
        fresh.update({m: Chunk(*rest) for m, *rest in found})
    return TableDigest({m: fresh.get(m) or kept[m] for m in sorted(counts)})


def _streamed(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """SHA-256 over the lines of a sorted query, a part at a time (DuckDB sorts on disk where memory does not do)."""
    digest, found, mark = hashlib.sha256(), con.execute(sql), ""
    while part := found.fetchmany(50_000):
        digest.update((mark + "\n".join(line for (line,) in part)).encode())
        mark = "\n"
    return digest.hexdigest()


def _chunk_of(table: str, types: dict[str, str]) -> str:
    """SQL of the number of a row's chunk."""
    date_column = next((c for c in ("session", "origin", "about") if types.get(c) == "DATE"), None)
    if date_column is None:
        return "0"
    month = f"year({date_column}) * 100 + month({date_column})"
    return f"coalesce(({month}) * 100 + day({date_column}), 0)" if table in _BY_DAY else f"coalesce({month}, 0)"


def _written(name: str, kind: str) -> str:
    """A column's part of the row text; empty values drop out. Text carries its length, so that no value can pose as two."""
    return f"""'{name}=' || {f'strlen("{name}") || chr(58) || ' if kind == "VARCHAR" else ""}"{name}\""""


def _batches(counts: dict[int, int]) -> Iterator[list[int]]:
    batch, rows = [], 0
    for month, count in sorted(counts.items()):
        if batch and rows + count > _BATCH_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(month)
        rows += count
    if batch:
        yield batch


def manifest_text(facts: dict[str, Any], tables: dict[str, TableDigest]) -> bytes:
    """The manifest as JSON: ``facts``, the digest, each table's chunks, and a seal over all of it."""
    body = {
        **facts,
        "format": FORMAT,
        "digest": combined(tables),
        "tables": {
            name: {
                "rows": table.rows,
                "content": table.content,
                "chunks": {str(m): [c.rows, c.content, c.clocked] for m, c in table.chunks.items()},
            }
            for name, table in tables.items()
        },
    }
    return json.dumps({**body, "seal": _seal(body)}, indent=None, sort_keys=True).encode()


def write_manifest(home: Home, facts: dict[str, Any], tables: dict[str, TableDigest]) -> None:
    write_durably(home.manifest, manifest_text(facts, tables))


def read_manifest(home: Home) -> dict[str, Any]:
    """The manifest; DatabaseCorrupt where it is missing, unreadable or was changed."""
    advice = "run `nextclose run` to publish again"
    try:
        manifest = json.loads(home.manifest.read_bytes())
        body = {name: value for name, value in manifest.items() if name != "seal"}
        if manifest["seal"] != _seal(body):
            raise DatabaseCorrupt(f"{home.manifest} was changed since it was written; {advice}")
    except OSError as error:
        raise DatabaseCorrupt(f"{home.manifest} cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatabaseCorrupt(f"{home.manifest} is not a manifest; {advice}") from error
    return body


def snapshot_is_good(home: Home) -> bool:
    """Whether the snapshot is the file that the manifest describes."""
    try:
        expected = read_manifest(home)["snapshot"]["sha256"]
        with home.snapshot.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (DatabaseCorrupt, OSError, KeyError):
        return False


def tables_of(manifest: dict[str, Any]) -> dict[str, TableDigest]:
    return {
        name: TableDigest({int(m): Chunk(*chunk) for m, chunk in table["chunks"].items()})
        for name, table in manifest["tables"].items()
    }


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
