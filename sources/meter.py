"""Counts what is asked of a source, keeps it within what the source allows in a day, and leaves time between requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from forecasting.errors import BudgetSpent
from sources.base import Cost


class Meter:
    """One a source. ``spent``: the requests of the last 24 hours before this meter was made. ``record(requests, seconds)``
    is called after every request, also one that failed, and may remember it for later runs.

    ``requests`` and ``seconds`` count what this meter saw; seconds are the source's, without the waits between requests.
    Safe to share between threads: they take turns at the wait, not at the request.
    """

    def __init__(
        self,
        cost: Cost,
        spent: int = 0,
        record: Callable[[int, float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cost, self.spent = cost, spent
        self.requests, self.seconds = 0, 0.0
        self._record, self._sleep, self._clock = record, sleep, clock
        self._next: float | None = None  # the earliest instant of the next request
        self._turn, self._counting = threading.Lock(), threading.Lock()

    @property
    def left(self) -> int | None:
        """Requests left of the day's, never below 0; None where no limit is known."""
        return None if self.cost.per_day is None else max(0, self.cost.per_day - self.spent - self.requests)

    @contextmanager
    def request(self, source: str = "source", symbol: str | None = None) -> Iterator[None]:
        """Around one request: waits for its turn and counts it. BudgetSpent, and nothing counted, when none is left."""
        with self._turn:
            self._take(source, symbol)
            if self._next is not None and (early := self._next - self._clock()) > 0:
                self._sleep(early)
            begin = self._clock()
            self._next = begin + self.cost.seconds_between
        try:
            yield
        finally:
            seconds = self._clock() - begin
            with self._counting:
                self.seconds += seconds
                if self._record is not None:
                    self._record(1, seconds)

    def _take(self, source: str, symbol: str | None) -> None:
        if self.left == 0:
            raise BudgetSpent(
                source,
                symbol,
                f"the {self.cost.per_day:,} requests that it allows in 24 hours are used up",
                "run again tomorrow, or add a second source that covers these symbols",
            )
        self.requests += 1
