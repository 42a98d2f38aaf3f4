"""A person's SQL whose answer may be long: the rows of the snapshot as a stream, from the same fenced child as ``run_sql``."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import InputError, StorageError
from storage.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 8192  # rows


@dataclass(frozen=True)
class Stream:
    """The schema of an answer, and its batches as they come. Reading raises InputError where the rest does not come, so that
    what was read by then is no answer."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@contextlib.contextmanager
def stream_sql(home: Home, text: str, timeout: float = 600.0, memory_mb: int = 512) -> Iterator[Stream]:
    """The answer to ``text``, made by a child process with limits of the operating system.

    Raises InputError for SQL that is wrong, forbidden or too heavy, StorageError without a snapshot.
    """
    if not home.snapshot.exists():
        raise StorageError(f"nothing is published in {home.path} yet; run `nextclose run` or `nextclose demo` first")
    order = {"home": str(home.path), "sql": text, "limit": BATCH, "timeout": timeout, "memory_mb": memory_mb, "stream": True}
    child = subprocess.Popen(
        [sys.executable, "-m", "storage.query_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    watch = threading.Timer(timeout, child.kill)
    watch.daemon = True
    watch.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps(order).encode())
            child.stdin.close()
        yield _opened(child, f"the query needed more than {memory_mb} MB or {timeout:g} seconds and was stopped; narrow it")
    finally:
        watch.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


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
        told = json.loads(child.stderr.read())
        return (StorageError if told["kind"] == "storage" else InputError)(told["error"])
    except (ValueError, KeyError, TypeError):
        return InputError(stopped)
