"""Workers of a cluster, by Prefect's own integrations: they start it, or join one that is there; see ``tasks/spreading.py``.

A cluster that is started for a run is on this machine: Dask's speaks over loopback with certificates made for the occasion,
and neither opens a page for looking at. Jobs are handed to it as plain functions, so that a run without a Prefect server can
use it, and a study of a thousand trials does not make a thousand task runs (docs/decisions/0009-one-seam-for-spreading.md).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from forecasting.errors import SettingError
from tasks.settings_running import Running
from tasks.workers import Needs, Order, Submit, become, done

_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
_DEEPEST = 10  # how often a job is begun again whose worker died: it may have been the job
_ready: list[Needs] = []  # what this process was made to be, where it is a worker of a cluster


def require_runner(how: Running) -> None:
    """SettingError with what to type where the runner of the settings is not installed."""
    package = _PACKAGES.get(how.task_runner)
    if package is not None and find_spec(package) is None:
        raise SettingError(
            "run.task_runner", how.task_runner,
            f"a runner that is installed; type pip install 'nextclose[{how.task_runner}]', or set it to processes or threads",
        )  # fmt: skip


@contextmanager
def dask_crew(order: Order) -> Iterator[Submit]:
    """Workers of a Dask cluster, each a process of one thread; a job whose worker dies is done by another."""
    import dask.config
    from prefect_dask import DaskTaskRunner

    own = {
        "n_workers": order.size, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1", "security": True,
        "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}, "silence_logs": logging.ERROR,
    }  # fmt: skip
    nothing_shown = {f"distributed.{part}.http.routes": [] for part in ("scheduler", "worker")}  # logs and what is at work
    with _quiet("distributed"), _joined(order, "dask"), dask.config.set(nothing_shown):
        runner = DaskTaskRunner(address=order.address) if order.address else DaskTaskRunner(cluster_kwargs=own)
        with ExitStack() as failing:
            client = failing.enter_context(runner).client  # which begins it
            failing.pop_all()
    waiting: dict[str, Any] = {}
    try:
        held = None if order.held is None else client.scatter(order.held, broadcast=True, hash=False)

        def submit(job: Any) -> Future[Any]:
            theirs = client.submit(_work, order.needs, order.work, held, job, pure=False)
            waiting[theirs.key] = theirs  # one that nobody holds is given up
            ours: Future[Any] = Future()
            ours.set_running_or_notify_cancel()
            theirs.add_done_callback(lambda one: _hand_over(ours, one.result, lambda: waiting.pop(one.key, None)))
            return ours

        yield submit
    finally:
        client.cancel(list(waiting.values()), force=True)
        with _quiet("distributed"):
            runner.__exit__(None, None, None)


@contextmanager
def ray_crew(order: Order) -> Iterator[Submit]:
    """Workers of a Ray cluster, each a process; a job whose worker dies is done by another."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from prefect_ray import RayTaskRunner

    own = {
        "num_cpus": order.size, "include_dashboard": False, "log_to_driver": False, "configure_logging": False,
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}},
    }  # fmt: skip
    with _joined(order, "ray"):
        runner = RayTaskRunner(address=order.address, init_kwargs={} if order.address else own)
        runner.__enter__()
    waiting: list[Any] = []
    try:
        held = None if order.held is None else ray.put(order.held)
        remote = ray.remote(_work).options(num_cpus=1, max_retries=_DEEPEST, retry_exceptions=False)

        def submit(job: Any) -> Future[Any]:
            theirs = remote.remote(order.needs, order.work, held, job)
            waiting.append(theirs)
            ours: Future[Any] = Future()
            ours.set_running_or_notify_cancel()
            theirs.future().add_done_callback(lambda one: _hand_over(ours, one.result, lambda: waiting.remove(theirs)))
            return ours

        yield submit
    finally:
        for theirs in list(waiting):
            ray.cancel(theirs, force=True)
        runner.__exit__(None, None, None)


def _hand_over(ours: Future[Any], result: Callable[[], Any], forget: Callable[[], Any]) -> None:
    """What their future holds becomes what ours does, an error of the job as the error that it is."""
    try:
        found = result()
    except BaseException as error:  # of the job; Ray wraps it
        ours.set_exception(getattr(error, "cause", None) or error)
    else:
        ours.set_result(found)
    forget()


def _work(needs: Needs, work: Callable[..., Any], held: Any, job: Any) -> Any:
    if _ready != [needs]:
        become(needs)
        _ready[:] = [needs]
    return done(work, held, job)


@contextmanager
def _joined(order: Order, name: str) -> Iterator[None]:
    """Around entering a cluster: one that does not answer is a wrong setting, in one line."""
    try:
        yield
    except (OSError, TimeoutError, ConnectionError, ValueError) as error:
        where, said = order.address or "on this machine", " ".join(str(error).split())[:200]
        raise SettingError("run.address", where, f"a {name} cluster that answers ({type(error).__name__}: {said})") from error


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Starting and stopping are not news."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
