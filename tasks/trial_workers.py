"""Trials side by side, by workers that hold the market once; see ``tasks/spreading.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from forecasting.errors import NextcloseError
from forecasting.lstm import LstmSpec
from forecasting.tuning import Curve, GivenUp, try_spec
from tasks.clock import now_utc
from tasks.settings_running import CLUSTERS, Running
from tasks.spreading import crew

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.panel import Panel
    from forecasting.splits import Spans

_TRIALS_A_PROCESS = 20  # TensorFlow keeps a little of every network that it ever built


@dataclass(frozen=True)
class Market:
    """What all trials are tried on."""

    panel: Panel
    macro: pd.DataFrame | None
    folds: tuple[Spans, ...]


@dataclass(frozen=True)
class Job:
    """The specification to train, and the curves that it is compared with (None: it is never given up)."""

    spec: LstmSpec
    others: list[Curve] | None


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; ``reason`` says why where it is not complete."""

    state: str
    loss: float | None
    curve: Curve
    reason: str | None
    started_at: datetime
    finished_at: datetime


@contextmanager
def workers(how: Running, parallel: int, market: Market) -> Iterator[Callable[[Job], Future[Outcome]]]:
    """A function that takes a job and answers a future of its outcome; one at a time works here and now."""
    if parallel == 1 and how.task_runner not in CLUSTERS:
        yield lambda job: _here(market, job)
        return
    with crew(how, work, parallel, market, _TRIALS_A_PROCESS) as hands:
        yield hands.submit


def work(market: Market, job: Job) -> Outcome:
    """One trial. What is the specification's fault is an outcome, anything else is raised."""
    begin, reason, loss, curve, state = now_utc(), None, None, [], "complete"
    try:
        loss, curve = try_spec(job.spec, market.panel, market.macro, market.folds, job.others)
        if loss != loss or abs(loss) == float("inf"):
            loss, state, reason = None, "failed", "its loss is not a finite number"
    except GivenUp as error:
        state, reason, curve = "pruned", error.reason, error.curve
    except (NextcloseError, ValueError) as error:  # too short a history, an activation that Keras does not know
        state, reason = "failed", " ".join(str(error).split())[:500]
    return Outcome(state, loss, curve, reason, begin, now_utc())


def _here(market: Market, job: Job) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(work(market, job))
    return future
