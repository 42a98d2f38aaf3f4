"""Workers of this machine: threads, or processes of one thread that are gone when the run is. See ``tasks/spreading.py``."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Submit = Callable[[Any], Future[Any]]
_FEATURES, _RIVALS = "forecasting.features.user", "forecasting.rivals.own"
_MOST_PROCESSES = 16  # each holds TensorFlow: about 700 MB


@dataclass(frozen=True)
class Needs:
    """What a process must be before it works: with TensorFlow of one thread (``network``), with a person's own features (what
    ``user_source`` answers) and forecasters (file name → text), since a process of its own knows nothing of them."""

    network: bool
    own_features: tuple[str | None, ...]
    own_rivals: Mapping[str, str]


@dataclass(frozen=True)
class Order:
    """What a crew is for: ``work(job)``, or ``work(held, job)`` where ``held`` is not None; ``address`` of a cluster."""

    work: Callable[..., Any]
    held: Any
    size: int
    address: str | None
    jobs_a_process: int
    needs: Needs


def cores() -> int:
    """Processes that are worth having on this machine."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, _MOST_PROCESSES)


def needs_here(network: bool) -> Needs:
    """What a worker needs to be to work as this process would."""
    own: dict[str, Any] = {"features": (None,), "rivals": {}}
    if _FEATURES in sys.modules:  # else there are none, and it would load a second of other modules
        own["features"] = sys.modules[_FEATURES].user_source()
    if _RIVALS in sys.modules:
        own["rivals"] = sys.modules[_RIVALS].own_rivals_source()
    return Needs(network, own["features"], own["rivals"])


def become(needs: Needs) -> None:
    """Make this process, which is not the run's own, one that can work."""
    if needs.network:
        from forecasting.lstm import configure_tensorflow

        configure_tensorflow(threads=1)
    if needs.own_features[0] is not None or _FEATURES in sys.modules:  # of an earlier run, where it works for several
        import_module(_FEATURES).load_user_features(*needs.own_features)
    if needs.own_rivals or _RIVALS in sys.modules:
        import_module(_RIVALS).load_own_rivals(needs.own_rivals)


def done(work: Callable[..., Any], held: Any, job: Any) -> Any:
    """The work on one job."""
    return work(job) if held is None else work(held, job)


@contextmanager
def thread_crew(order: Order) -> Iterator[Submit]:
    """Threads of this process. What is under way cannot be stopped, only what waits."""
    if order.needs.network:
        from forecasting.lstm import configure_tensorflow

        configure_tensorflow()
    pool = ThreadPoolExecutor(order.size, "nextclose")
    try:
        yield lambda job: pool.submit(done, order.work, order.held, job)
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


_held: list[Any] = []  # of this process, where it is a worker


@contextmanager
def process_crew(order: Order) -> Iterator[Submit]:
    """Spawned processes, each replaced after so many jobs (TensorFlow keeps a little of every network that it ever built);
    terminated where the block raises, since nobody wants to wait for the end of a training whose outcome nobody takes."""
    hands = _Hands(order)
    threads = ThreadPoolExecutor(order.size, "nextclose")
    try:
        yield lambda job: threads.submit(hands.do, job)
        threads.shutdown()
    except BaseException:
        hands.drop()
        threads.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        hands.close()


class _Hands:
    """A process for each thread that calls ``do``.

    Not one pool with ``max_tasks_per_child``: in the releases of Python 3.11 to 3.13 until July 2026 it stops for good when its
    processes have had their number of jobs (python/cpython#115634).
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._mine = threading.local()  # of each thread: its pool of one process, and the jobs that it had
        self._pools: list[ProcessPoolExecutor] = []
        self._processes: set[int] = set()
        self._dropped = False

    def do(self, job: Any) -> Any:
        """What the process of this thread makes of the job. BrokenProcessPool where it was killed meanwhile."""
        if getattr(self._mine, "jobs", self._order.jobs_a_process) >= self._order.jobs_a_process:
            self._renew()
        self._mine.jobs += 1
        try:
            return self._mine.pool.submit(_work, self._order.work, job).result()
        except BrokenExecutor:
            self._mine.jobs = self._order.jobs_a_process  # the next job gets another process
            raise

    def _renew(self) -> None:
        if hasattr(self._mine, "pool"):
            self._mine.pool.shutdown()
            self._pools.remove(self._mine.pool)
        if self._dropped:
            raise CancelledError
        context = multiprocessing.get_context("spawn")
        self._mine.pool = ProcessPoolExecutor(1, context, _begin, (os.getpid(), self._order.needs, self._order.held))
        self._pools.append(self._mine.pool)
        self._mine.jobs = 0
        self._processes.add(self._mine.pool.submit(os.getpid).result())

    def drop(self) -> None:
        """End the processes in the middle of their work; no other begins."""
        self._dropped = True
        for process in multiprocessing.active_children():
            if process.pid in self._processes:
                process.terminate()

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=not self._dropped, cancel_futures=True)


def _begin(parent: int, needs: Needs, held: Any) -> None:
    """A worker of ``parent`` (its process id) ends when that is no more: one that was killed cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    become(needs)
    _held[:] = [held]


def _work(work: Callable[..., Any], job: Any) -> Any:
    return done(work, _held[0], job)
