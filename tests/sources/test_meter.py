"""The meter with a clock that only sleeping moves: budgets, pauses, and what is counted."""

from __future__ import annotations

import threading

import pytest

from forecasting.errors import BudgetSpent, RateLimited
from sources.base import Cost
from sources.meter import Meter


class Clock:
    """Stands still but for ``sleep``."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def test_meter__leaves_time_between_the_beginnings_of_requests():
    clock = Clock()
    meter = Meter(Cost(1, seconds_between=2.0), sleep=clock.sleep, clock=clock)
    for taken in (0.5, 3.0, 0.0, 0.0):
        with meter.request():
            clock.now += taken
    assert clock.slept == [1.5, 2.0] and meter.requests == 4 and meter.seconds == 3.5


def test_meter__stops_when_the_budget_is_spent():
    meter = Meter(Cost(1, per_day=25), spent=23)
    assert meter.left == 2
    for _ in range(2):
        with meter.request():
            pass
    with pytest.raises(BudgetSpent, match="alpha TSLA: the 25 requests that it allows in 24 hours are used up; run again"):
        with meter.request("alpha", "TSLA"):
            pytest.fail("it was asked")
    assert meter.left == 0 and meter.requests == 2


def test_meter__knows_no_limit_where_there_is_none():
    assert Meter(Cost()).left is None and Meter(Cost(per_day=5), spent=9).left == 0


def test_meter__a_budget_that_is_spent_is_a_rate_limit_that_no_retry_cures():
    assert issubclass(BudgetSpent, RateLimited) and not BudgetSpent.retry and RateLimited.retry


def test_meter__a_request_that_failed_counts_and_is_remembered():
    clock, remembered = Clock(), []
    meter = Meter(Cost(per_day=5), record=lambda n, seconds: remembered.append((n, seconds)), sleep=clock.sleep, clock=clock)
    with pytest.raises(OSError), meter.request():
        clock.now += 1.25
        raise OSError
    assert remembered == [(1, 1.25)] and meter.left == 4


def test_meter__threads_cannot_overdraw_it():
    meter, done, refused = Meter(Cost(per_day=40)), [], []

    def ask() -> None:
        for _ in range(20):
            try:
                with meter.request():
                    done.append(1)
            except BudgetSpent:
                refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == meter.requests == 40 and len(refused) == 120
