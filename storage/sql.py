"""A person's SQL on the snapshot: one statement in a fenced child process, its answer whole or as a stream."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError, StorageError
from storage.home import Home
from storage.spilling import spilling

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY_MB = 256
BATCH = 8192  # rows
_CHILD = [sys.executable, "-m", "storage.query_child"]
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class SqlAnswer:
    """``rows`` hold JSON values (dates and instants as ISO text); ``truncated``: there were more than the limit."""

    columns: list[str]
    rows: list[tuple]
    truncated: bool


@dataclass(frozen=True)
class Stream:
    """The schema of an answer, and its batches as they come. Reading raises InputError where the rest does not come, so that
    what was read by then is no answer."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def run_sql(home: Home, text: str, limit: int = 1000, timeout: float = 10.0, memory_mb: int = MEMORY_MB) -> SqlAnswer:
    """Run a person's SQL on the snapshot, read-only, in a child process with limits of the operating system.

    DuckDB cannot bound a statement's time and memory from inside, so the child is killed when it takes longer than
    ``timeout`` seconds. Raises InputError for SQL that is wrong, forbidden or too heavy, StorageError without a snapshot.
    """
    with _order(home, text, limit, timeout, memory_mb) as order:
        try:
            child = subprocess.run(
                _CHILD, input=json.dumps(order).encode(), capture_output=True, timeout=timeout, cwd=_ROOT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"the query took longer than {timeout:g} seconds and was stopped; narrow it or give it more time"
            ) from error
    try:
        answer = json.loads(child.stdout)
    except ValueError as error:
        raise InputError(_stopped(memory_mb, timeout)) from error
    if "error" in answer:
        raise _refusal(answer)
    return SqlAnswer(answer["columns"], [tuple(row) for row in answer["rows"]], answer["truncated"])


@contextlib.contextmanager
def stream_sql(home: Home, text: str, timeout: float = 600.0, memory_mb: int = MEMORY_MB) -> Iterator[Stream]:
    """The answer to ``text`` as it comes, from the same fenced child; neither process ever holds the whole of it.

    Raises InputError for SQL that is wrong, forbidden or too heavy, StorageError without a snapshot.
    """
    with _order(home, text, BATCH, timeout, memory_mb) as order:
        child = subprocess.Popen(
            _CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT,
        )  # fmt: skip
        watch = threading.Timer(timeout, child.kill)
        watch.daemon = True
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps(order | {"stream": True}).encode())
                child.stdin.close()
            yield _opened(child, _stopped(memory_mb, timeout))
        finally:
            watch.cancel()
            child.kill()
            child.wait()
            child.stdout.close()
            child.stderr.close()


@contextlib.contextmanager
def _order(home: Home, text: str, limit: int, timeout: float, memory_mb: int) -> Iterator[dict[str, Any]]:
    """What the child is told; where it spills to is removed in the end."""
    if not home.snapshot.exists():
        raise StorageError(f"nothing is published in {home.path} yet; run `nextclose run` or `nextclose demo` first")
    with spilling() as spill:
        yield {
            "home": str(home.path), "sql": text, "limit": limit, "timeout": timeout, "memory_mb": memory_mb,
            "spill": str(spill.folder), "spill_mb": spill.most_mb,
        }  # fmt: skip


def _stopped(memory_mb: int, timeout: float) -> str:
    return f"the query needed more than {memory_mb} MB or {timeout:g} seconds and was stopped; narrow it"


def _refusal(told: dict[str, str]) -> InputError | StorageError:
    return (StorageError if told["kind"] == "storage" else InputError)(told["error"])


def _opened(child: subprocess.Popen[bytes], stopped: str) -> Stream:
    import pyarrow as pa

    broken = (pa.ArrowInvalid, OSError)
    try:
        reader = pa.ipc.open_stream(child.stdout)
    except broken as error:
        raise _why(child, stopped) from error

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except broken as error:
                raise _why(child, stopped) from error
            yield batch
        if child.wait() != 0:
            raise _why(child, stopped)

    return Stream(reader.schema, batches())


def _why(child: subprocess.Popen[bytes], stopped: str) -> InputError | StorageError:
    """What the child said on its way out; ``stopped`` where it said nothing."""
    child.wait()
    try:
        return _refusal(json.loads(child.stderr.read()))
    except (ValueError, KeyError, TypeError):
        return InputError(stopped)
