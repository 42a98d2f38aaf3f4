"""Trials side by side: processes of one thread each, which hold the market once and end with whoever began them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from forecasting.errors import NextcloseError
from forecasting.lstm import LstmSpec
from forecasting.tuning import Curve, GivenUp, try_spec
from tasks.clock import now_utc
from tasks.workers import become_worker, worker_pool

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.panel import Panel
    from forecasting.splits import Spans

_TRIALS_A_PROCESS = 20  # TensorFlow keeps a little of every network that it ever built
_market: dict[str, Any] = {}  # of this process: panel, macro and folds


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
def workers(
    parallel: int, panel: Panel, macro: pd.DataFrame | None, folds: tuple[Spans, ...]
) -> Iterator[Callable[[Job], Future[Outcome]]]:
    """A function that takes a job and answers a future of its outcome; ``parallel`` = 1 works here and now."""
    if parallel == 1:
        _market.update(panel=panel, macro=macro, folds=folds)
        yield _here
        _market.clear()
        return
    with worker_pool(parallel, _TRIALS_A_PROCESS, _begin, (panel, macro, folds)) as pool:
        yield lambda job: pool.submit(work, job)


def work(job: Job) -> Outcome:
    """One trial. What is the specification's fault is an outcome, anything else is raised."""
    begin, reason, loss, curve, state = now_utc(), None, None, [], "complete"
    try:
        loss, curve = try_spec(job.spec, _market["panel"], _market["macro"], _market["folds"], job.others)
        if loss != loss or abs(loss) == float("inf"):
            loss, state, reason = None, "failed", "its loss is not a finite number"
    except GivenUp as error:
        state, reason, curve = "pruned", error.reason, error.curve
    except (NextcloseError, ValueError) as error:  # too short a history, an activation that Keras does not know
        state, reason = "failed", " ".join(str(error).split())[:500]
    return Outcome(state, loss, curve, reason, begin, now_utc())


def _here(job: Job) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(work(job))
    return future


def _begin(
    parent: int, panel: Panel, macro: pd.DataFrame | None, folds: tuple[Spans, ...], own_features: tuple[str | None, ...]
) -> None:
    """Make this process a worker that tries specifications on one market."""
    become_worker(parent, own_features)
    _market.update(panel=panel, macro=macro, folds=folds)
