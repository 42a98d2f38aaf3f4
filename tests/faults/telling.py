"""How far a long suite is, on stderr: who waits for half an hour wants to know, and to see a problem when it is found."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS = 30.0  # between two lines


def telling(results: Iterable[T], total: int, problem: Callable[[T], str] = lambda result: "") -> Iterator[T]:
    """The same results; a line on stderr now and then, and at once where ``problem`` has words for one."""
    begin = last = time.monotonic()
    for done, result in enumerate(results, 1):
        now = time.monotonic()
        if words := problem(result):
            print(words[:600], file=sys.stderr, flush=True)
        if now - last >= SECONDS:
            left = (now - begin) / done * (total - done)
            print(f"{done} of {total}, about {left / 60:.0f} min left", file=sys.stderr, flush=True)
            last = now
        yield result
