"""A step outside Prefect: retried, timed and reported as its policy says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from forecasting.errors import SourceDown, TimedOut, UnknownSymbol
from tasks.engine import inside_prefect, step
from tasks.listening import Listener, heard_by
from tasks.policies import Policy
from tasks.run import Receipt


@dataclass
class FakeRun:
    costs: list = field(default_factory=list)

    def spent(self, name, cost):
        self.costs.append((name, cost))


class Diary(Listener):
    def __init__(self):
        self.lines = []

    def started(self, step, detail):
        self.lines.append(f"started {step} {detail}".strip())

    def finished(self, step, detail, summary, seconds, peak_mb):
        self.lines.append(f"finished {step}: {summary}")

    def retrying(self, step, error, seconds):
        self.lines.append(f"retrying {step}: {error}")


def failing(times: int, error: Exception):
    """A step body that raises ``error`` the first ``times`` times."""
    calls = []

    def ask(run, symbol):
        calls.append(symbol)
        if len(calls) <= times:
            raise error
        return Receipt(3)

    return ask, calls


def policy(**changes):
    from forecasting.errors import SourceError

    return Policy(
        **{"name": "q", "retries": 2, "first_delay": 0.01, "timeout_seconds": 5, "passing": (SourceError,), **changes}
    )


def test_step__is_tried_again_and_tells_why():
    body, calls = failing(2, SourceDown("yahoo", "TSLA", "no answer"))
    diary, run = Diary(), FakeRun()
    with heard_by(diary):
        receipt = step(policy())(body)(run, "TSLA")
    assert receipt.rows == 3
    assert calls == ["TSLA"] * 3
    assert diary.lines == [
        "started ask TSLA", "retrying ask: yahoo TSLA: no answer",
        "started ask TSLA", "retrying ask: yahoo TSLA: no answer",
        "started ask TSLA", "finished ask: 3 rows",
    ]  # fmt: skip
    assert [name for name, _ in run.costs] == ["ask"]
    assert run.costs[0][1].peak_mb > 10


def test_step__gives_up_after_its_retries():
    body, calls = failing(9, SourceDown("yahoo", "TSLA", "no answer"))
    with pytest.raises(SourceDown):
        step(policy())(body)(FakeRun(), "TSLA")
    assert len(calls) == 3


def test_step__does_not_retry_what_cannot_get_better():
    body, calls = failing(9, UnknownSymbol("yahoo", "ZZZZ", "404"))
    with pytest.raises(UnknownSymbol):
        step(policy())(body)(FakeRun(), "ZZZZ")
    assert len(calls) == 1


def test_step__is_ended_when_it_takes_too_long_and_not_tried_again():
    calls = []

    @step(policy(timeout_seconds=0.2))
    def sleepy(run):
        calls.append(1)
        time.sleep(5)

    begin = time.monotonic()
    with pytest.raises(TimedOut, match="sleepy took longer than the 0.2 seconds"):
        sleepy(FakeRun())
    assert time.monotonic() - begin < 2
    assert calls == [1]


def test_step__fn_is_the_bare_function():
    body, calls = failing(1, SourceDown("yahoo", "TSLA", "no answer"))
    with pytest.raises(SourceDown):
        step(policy())(body).fn(FakeRun(), "TSLA")
    assert calls == ["TSLA"]


def test_inside_prefect__is_false_without_importing_it():
    assert inside_prefect() is False


def test_prefect_task__has_the_same_policy():
    """Both ways of running a step follow one policy; here the numbers are read back from the task."""
    body, _ = failing(0, SourceDown("yahoo", "TSLA", "no answer"))
    task = step(policy(retries=4, first_delay=2.0, growth=2.0, jitter=0.25, timeout_seconds=77))(body).as_prefect_task
    assert (task.name, task.retries, task.retry_jitter_factor, task.timeout_seconds) == ("ask", 4, 0.25, 77)
    assert list(task.retry_delay_seconds) == [2.0, 4.0, 8.0, 16.0]

    class State:
        def __init__(self, data):
            self.data = data

    assert task.retry_condition_fn(task, None, State(SourceDown("yahoo", "TSLA", "no answer")))
    assert not task.retry_condition_fn(task, None, State(UnknownSymbol("yahoo", "ZZZZ", "404")))
