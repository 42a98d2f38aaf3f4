"""The one seam through which work is spread: chunks of an ingest, networks of one symbol each, folds, trials, controls.

    [run]
    task_runner = "processes"      # threads, dask, ray

What is spread is a function of what it is handed and of nothing else: no database, no clock, no settings, no files. So where it
is done changes no bit of what comes out, and all writing stays in the one process that holds the lease.

    with crew(settings.run, try_case) as hands:          # futures, to be waited for in any order
        waiting = {hands.submit(case): case for case in cases}

    spread(settings.run)(learn, lessons)                 # like ``map``: in order, and here where there is too little to do
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.clusters import dask_crew, ray_crew, require_runner
from tasks.settings_running import CLUSTERS, Running
from tasks.workers import Order, Submit, cores, needs_here, process_crew, thread_crew

_CREWS: dict[str, Callable[[Order], AbstractContextManager[Submit]]] = {
    "threads": thread_crew, "processes": process_crew, "dask": dask_crew, "ray": ray_crew,
}  # fmt: skip
_WORTH_A_PROCESS = 3  # jobs: a process is up in about the time of one or two
_AHEAD = 4  # jobs handed out for each worker: none is idle, and what waits in memory is bounded


@dataclass(frozen=True)
class Crew:
    """``size`` workers; ``submit(job)`` answers a future of what the work makes of the job."""

    size: int
    submit: Callable[[Any], Future[Any]]


@contextmanager
def crew(
    how: Running, work: Callable[..., Any], size: int | None = None, held: Any = None, jobs_a_process: int = 100,
    network: bool = True,
) -> Iterator[Crew]:  # fmt: skip
    """Workers that do ``work(job)``, or ``work(held, job)`` where they hold something that is the same for all jobs.

    ``size``: workers wanted, by default the settings', else one a core. ``network``: whether the work trains or asks one.
    Where the block raises, what is under way is given up. SettingError where the runner is not installed or not there.
    """
    require_runner(how)
    size = size or how.workers or cores()
    order = Order(work, held, size, how.address, jobs_a_process, needs_here(network))
    with _CREWS[how.task_runner](order) as submit:
        yield Crew(size, submit)


Spread = Callable[..., Iterator[Any]]


def spread(how: Running, cores_a_job: int = 1, network: bool = True) -> Spread:
    """A function like ``map`` with one sequence: ``spread(how)(work, jobs, held=None)``, see ``crew``.

    ``cores_a_job``: how many cores a job keeps busy where it is done alone. Where that leaves nothing to gain, or the jobs are
    too few, they are done here, one after the other.
    """

    def mapped(work: Callable[..., Any], jobs: Sequence[Any], held: Any = None) -> Iterator[Any]:
        size = workers_worth(how, len(jobs), cores_a_job)
        if size < 2:
            for job in jobs:
                yield work(job) if held is None else work(held, job)
            return
        with crew(how, work, size, held, network=network) as hands:
            waiting: deque[Future[Any]] = deque()
            for job in jobs:
                waiting.append(hands.submit(job))
                if len(waiting) > _AHEAD * size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    return mapped


def workers_worth(how: Running, jobs: int, cores_a_job: int = 1) -> int:
    """Workers for so many jobs; 1 where they are better done here."""
    if how.task_runner in CLUSTERS:  # somebody asked for them
        return min(how.workers or cores(), jobs) if how.address is None else jobs
    small = how.task_runner == "processes" and cores_a_job == 1
    return min(how.workers or cores() // cores_a_job, jobs // _WORTH_A_PROCESS if small else jobs)
