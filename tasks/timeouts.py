"""A bound on how long one try of a step may take, outside Prefect (which brings its own)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from forecasting.errors import TimedOut


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Raise TimedOut in the block after ``seconds``.

    Uses the process's alarm, so it works in the main thread of a POSIX process and is without effect elsewhere. Native
    code (training, a download) is interrupted when it next returns to Python; sources have time limits of their own.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(signum: int, frame: object) -> None:
        raise TimedOut(what, seconds)

    previous = signal.signal(signal.SIGALRM, ring)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, outer)
        signal.signal(signal.SIGALRM, previous)
