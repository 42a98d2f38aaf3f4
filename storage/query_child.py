"""The child process of ``run_sql`` and ``stream_sql``: one statement on the snapshot, then it ends.

The order is JSON on stdin. The answer is JSON on stdout; of a stream it is Arrow, and only what went wrong is JSON, on stderr.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import math
import os
import resource
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from forecasting.errors import StorageError
from storage.home import Home
from storage.snapshot import open_snapshot
from storage.spilling import Spill

# Address space beside DuckDB's own limit: the interpreter, the library, its threads' stacks and arenas.
_BASE_MB = 1024
_BEYOND_MB = 64  # so that DuckDB, whose words are better, stops first
_M_ARENA_MAX = -8  # of malloc.h
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
Work = Callable[[duckdb.DuckDBPyConnection, dict[str, Any]], dict[str, Any]]


def main() -> None:
    order = json.load(sys.stdin)
    _limit(order["memory_mb"], order["timeout"], order["spill_mb"])
    if order.get("stream"):
        problem = _answer(order, _streamed)
        sys.stderr.write(json.dumps(problem) if problem else "")
        sys.stderr.flush()
        os._exit(1 if problem else 0)
    answer = _answer(order, _fetched)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # an interrupted DuckDB may take its time to close


def _take_few_addresses() -> None:
    """glibc reserves 64 MB of addresses an arena, up to eight a core, which would use the limit up without a byte in them."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _limit(memory_mb: int, timeout: float, spill_mb: int) -> None:
    _take_few_addresses()
    os.umask(0o077)  # what is spilled is nobody else's to read
    most = (memory_mb + _BASE_MB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = math.ceil(timeout) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (2 * seconds, 2 * seconds))
    largest = (spill_mb + _BEYOND_MB) * 1024 * 1024  # of DuckDB's own files of the spill; nothing else is written
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(order: dict[str, Any], work: Work) -> dict[str, Any]:
    """What ``work`` says on the open snapshot, or the ``kind`` and the words of what went wrong."""
    spill = Spill(Path(order["spill"]), order["spill_mb"])
    try:
        with open_snapshot(Home(order["home"]), memory_mb=order["memory_mb"], threads=2, spill=spill) as con:
            return work(con, order)
    except StorageError as error:
        return {"kind": "storage", "error": str(error)}
    except (MemoryError, duckdb.OutOfMemoryException):
        return {
            "kind": "input",
            "error": f"the query needed more than {order['memory_mb']} MB and {spill.most_mb} MB on disk; narrow it",
        }
    except duckdb.Error as error:
        return {"kind": "input", "error": f"the SQL was refused: {' '.join(str(error).split())[:400]}"}


def _streamed(con: duckdb.DuckDBPyConnection, order: dict[str, Any]) -> dict[str, Any]:
    """Write the answer to stdout as an Arrow stream; there is nothing more to say of it."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # the others reserve more address space than the limit leaves
    found = con.sql(order["sql"])  # execute() would hold the whole answer before it gives the first row
    reader = (found if found is not None else con.sql("SELECT 1 AS nothing LIMIT 0")).to_arrow_reader(order["limit"])
    with pa.ipc.new_stream(sys.stdout.buffer, reader.schema) as sink:
        for batch in reader:
            sink.write_batch(batch)
    sys.stdout.buffer.flush()
    return {}


def _fetched(con: duckdb.DuckDBPyConnection, order: dict[str, Any]) -> dict[str, Any]:
    limit = order["limit"]
    found = con.execute(order["sql"])
    if found.description is None:
        return {"columns": [], "rows": [], "truncated": False}
    rows = found.fetchmany(limit + 1)
    answer = {
        "columns": [column[0] for column in found.description],
        "rows": [[_value(v) for v in row] for row in rows[:limit]],
        "truncated": len(rows) > limit,
    }
    if len(json.dumps(answer)) > _MAX_ANSWER_BYTES:
        return {"kind": "input", "error": "the answer is larger than 64 MB; select fewer or shorter columns"}
    return answer


def _value(value: Any) -> Any:
    """A JSON value: numbers that JSON lacks become null, dates ISO text, bytes base64."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(name): _value(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(entry) for entry in value]
    return str(value) if not isinstance(value, timedelta) else value.total_seconds()


if __name__ == "__main__":
    main()
