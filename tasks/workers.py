"""Processes that work beside the run: one thread each, and gone when the run is."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from forecasting.features.user import load_user_features, user_source

_MOST_PROCESSES = 16  # each holds TensorFlow: about 700 MB
_WORTH_A_PROCESS = 3  # jobs: a process is up in about the time of one or two
_JOBS_A_PROCESS = 100  # TensorFlow keeps a little of every network that it ever built


def cores() -> int:
    """Processes that are worth having on this machine."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, _MOST_PROCESSES)


def one_a_core(work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
    """``map`` in worker processes, one a core, in the order of ``jobs``; here, where they are too few for that."""
    processes = min(cores(), len(jobs) // _WORTH_A_PROCESS)
    if processes < 2:
        yield from map(work, jobs)
        return
    with worker_pool(processes, _JOBS_A_PROCESS) as pool:
        yield from pool.map(work, jobs)


@contextmanager
def worker_pool(
    processes: int, jobs_a_process: int, begin: Callable | None = None, given: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Spawned worker processes (see ``become_worker``), each replaced after so many jobs; terminated where the block raises,
    since nobody wants to wait for the end of a training whose outcome nobody takes.

    ``begin``: what a process does first, with our process id, what is ``given``, and the person's own features.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), begin or become_worker, (os.getpid(), *given, user_source()),
        max_tasks_per_child=jobs_a_process,
    )  # fmt: skip
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def become_worker(parent: int, own_features: tuple[str | None, ...]) -> None:
    """Make this process a worker of ``parent`` (its process id).

    One thread in TensorFlow, and an end when the parent is no more: one that was killed cannot say so. ``own_features``: what
    ``user_source`` answers in the parent, since a process of its own knows nothing of them.
    """
    from forecasting.lstm import configure_tensorflow

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    configure_tensorflow(threads=1)
    load_user_features(*own_features)
