"""The flows as Prefect sees them: runs with a name, a log and a state that says how it went.

Prefect shows and schedules. Whether a step was done, and who may write, is decided by our own ledger; a Prefect server
that fails in mid-run, or cannot take an artifact, changes nothing about the data.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from forecasting.errors import AlreadyRunning, InputError
from tasks.listening import Listener, heard_by
from tasks.prefect_again import state_of_beaten
from tasks.prefect_artifacts import Progress, show
from tasks.prefect_events import announce

if TYPE_CHECKING:
    import prefect

    from tasks.run import Run

log = logging.getLogger(__name__)

#: Where the flows can be imported from by whoever executes a deployment.
MODULE = "deployments.prefect_flows"


def as_prefect_flow(fn: Callable[..., dict[str, Any]], name: str) -> prefect.Flow:
    """The flow function as a Prefect flow: its one pydantic parameter is the form in the UI, its report the result."""
    from prefect import flow

    @functools.wraps(fn)
    def run(request: Any) -> Any:
        listener = PrefectLog()
        try:
            with heard_by(listener):
                report = fn(request)
        except AlreadyRunning as error:
            return state_of_beaten(error)
        if report.get("origin") and not listener.named:
            _rename(f"{name}-{report['origin']}")
        show(report, listener.web)
        announce(name, report, whole=not (getattr(request, "symbols", None) or getattr(request, "origin", None)))
        return state_of(report)

    # Prefect builds the form from the annotations, which are text until they are looked up in the flow's own module.
    run.__signature__ = inspect.signature(fn, eval_str=True)
    run.__annotations__ = inspect.get_annotations(fn, eval_str=True)
    del run.__wrapped__
    run.__module__ = MODULE  # a served or deployed flow is imported from there, where the name is a Prefect flow
    return flow(
        run, name=name, description=inspect.getdoc(fn), flow_run_name=_run_name, log_prints=False, persist_result=False,
        validate_parameters=True,
    )  # fmt: skip


def state_of(report: dict[str, Any]) -> Any:
    """The report, or a completed state whose name says what a person wants to know first: Degraded, or Nothing to do."""
    from prefect.states import Completed

    if report.get("status") == "degraded":
        refused = ", ".join(entry["symbol"] for entry in report["refused"])
        said = [report.get("not_trained"), f"no forecast for {refused}" if refused else None]
        return Completed(name="Degraded", message="; ".join(filter(None, said)), data=report)
    if report.get("nothing_to_do"):
        return Completed(name="Nothing to do", message=report["nothing_to_do"], data=report)
    return report


def run_on_server(flow: prefect.Flow, request: Any) -> dict[str, Any]:
    """Run the flow in this process as a flow run of the server in use; InputError where none answers, AlreadyRunning where
    another run holds the lease.

    Without the check Prefect would start a server of its own, and wait for it for up to twenty seconds.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        raise InputError(
            "no Prefect server is set; start one with `nextclose serve`, set PREFECT_API_URL=http://127.0.0.1:4200/api, "
            "or leave --prefect out"
        )
    _require_answer(url)
    state = flow(request, return_state=True)
    if state.is_cancelled():
        raise AlreadyRunning(state.message)
    return state.result()


class PrefectLog(Listener):
    """Tells the log of the flow run or task run that speaks, names the run after its session, and shows how far it is."""

    def __init__(self) -> None:
        self.web: str | None = None
        self.named = False
        self._progress = Progress()

    def opened(self, run: Run) -> None:
        self.web, self.named = run.settings.serve.web, True
        _rename(f"{run.flow}-{run.origin}")
        self._logger().info("run %s of %s: %d symbols up to %s", run.run_id, run.flow, len(run.symbols), run.origin)

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        self._logger().info("%s %s: %s (%.1f s, %.0f MB)", step, detail, summary, seconds, peak_mb)

    def advanced(self, step: str, done: float, note: str = "") -> None:
        self._progress.moved(step, done)

    def noted(self, text: str) -> None:
        self._logger().warning(text)

    @staticmethod
    def _logger() -> Any:
        from prefect import get_run_logger

        return get_run_logger()


def _rename(name: str) -> None:
    """Call the flow run under way ``name``; the server's troubles are not the data's."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name)
    except Exception as error:
        log.warning("the run could not be named %s: %s", name, error)


def _run_name() -> str:
    """Until the run knows its session: what was asked for."""
    from prefect.runtime import flow_run

    request = flow_run.parameters.get("request")
    origin = getattr(request, "origin", None) or getattr(request, "end", None) or getattr(request, "test_end", None)
    return f"{flow_run.flow_name}-{origin or 'latest'}"


def _require_answer(url: str) -> None:
    import httpx

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise InputError(
            f"the Prefect server at {url} does not answer ({type(error).__name__}); start it with `nextclose serve`, "
            "or leave --prefect out"
        ) from error
