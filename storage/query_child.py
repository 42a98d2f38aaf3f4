"""The child process of ``run_sql``: one statement on the snapshot, then it ends. Order and answer are JSON on the pipes."""

from __future__ import annotations

import base64
import json
import math
import os
import resource
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from forecasting.errors import StorageError
from storage.home import Home
from storage.snapshot import open_snapshot

# Address space beside DuckDB's own limit: the interpreter, the library, its threads' stacks and arenas.
_BASE_MB = 1024
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


def main() -> None:
    order = json.load(sys.stdin)
    _limit(order["memory_mb"], order["timeout"])
    answer = _answer(order)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # an interrupted DuckDB may take its time to close


def _limit(memory_mb: int, timeout: float) -> None:
    most = (memory_mb + _BASE_MB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = math.ceil(timeout) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (2 * seconds, 2 * seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # nothing is written
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    limit = order["limit"]
    try:
        with open_snapshot(Home(order["home"]), memory_mb=order["memory_mb"], threads=2) as con:
            found = con.execute(order["sql"])
            if found.description is None:
                return {"columns": [], "rows": [], "truncated": False}
            columns = [column[0] for column in found.description]
            rows = found.fetchmany(limit + 1)
            answer = {
                "columns": columns,
                "rows": [[_value(v) for v in row] for row in rows[:limit]],
                "truncated": len(rows) > limit,
            }
            if len(json.dumps(answer)) > _MAX_ANSWER_BYTES:
                return {"kind": "input", "error": "the answer is larger than 64 MB; select fewer or shorter columns"}
            return answer
    except StorageError as error:
        return {"kind": "storage", "error": str(error)}
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"kind": "input", "error": f"the query needed more than {order['memory_mb']} MB; narrow it"}
    except duckdb.Error as error:
        return {"kind": "input", "error": f"the SQL was refused: {' '.join(str(error).split())[:400]}"}


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
