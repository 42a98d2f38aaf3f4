"""Runs whose process died are begun again; runs that were due while nobody served become one.

Prefect leaves a run whose process was killed as Running for ever, and with it the one place that its deployment has. Where
it stood is in our own ledger, so beginning again is safe; that it is begun again at most ``MOST_BEGINNINGS`` times keeps a run
that always dies from dying for ever.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

log = logging.getLogger(__name__)

MOST_BEGINNINGS = 3
MINUTES_APART = 60  # of late runs of one deployment: one that finds its place taken is cancelled
MOST_READ = 200  # runs asked for at once; a server refuses more


@dataclass(frozen=True)
class Step:
    """What to do about one run."""

    run: UUID
    do: Literal["begin again", "give up", "skip", "postpone"]
    why: str
    minutes: int = 0  # for so long


def decide(runs: Iterable[FlowRun], resuming: Collection[UUID]) -> list[Step]:
    """What becomes of the runs that a dead server process left, seen when nothing runs yet. Pure.

    ``runs`` are those of the served deployments that are Running, Pending, Cancelling, Late or Scheduled in the past;
    ``resuming`` the deployments whose runs go on where they stood. Of several that are late and ask for the same only the
    newest is kept: it catches up. Others of one deployment begin one after another, those of the schedule first, since it has
    one place.
    """
    steps, late, under_way = [], {}, Counter()
    for run in sorted(runs, key=lambda run: (str(run.expected_start_time), str(run.id))):
        if run.state is not None and run.state.is_scheduled():
            asks = json.dumps(run.parameters, sort_keys=True, default=str)
            if (run.deployment_id, asks) in late:
                why = "a later run of the same deployment that asks for the same is due as well and catches up"
                steps.append(Step(late.pop((run.deployment_id, asks)).id, "skip", why))
            late[run.deployment_id, asks] = run
        elif run.state is not None and run.state.is_cancelling():
            steps.append(Step(run.id, "skip", "its process is gone"))
        elif run.deployment_id in resuming and (run.run_count or 0) < MOST_BEGINNINGS:
            steps.append(Step(run.id, "begin again", f"its process died with the server; beginning {(run.run_count or 0) + 1}"))
            under_way[run.deployment_id] += 1
        else:
            steps.append(Step(run.id, "give up", "its process died with the server"))
    return steps + _one_after_another(late.values(), under_way)


def _one_after_another(late: Iterable[FlowRun], before: Counter[UUID]) -> list[Step]:
    """All but the first late run of each deployment wait for those ``before`` it."""
    steps = []
    for run in sorted(late, key=lambda run: not run.auto_scheduled):
        if waits := before[run.deployment_id]:
            why = "another run of the same deployment is due as well and comes first"
            steps.append(Step(run.id, "postpone", why, waits * MINUTES_APART))
        before[run.deployment_id] += 1
    return steps


def pick_up(client: SyncPrefectClient, deployments: dict[UUID, bool]) -> list[Step]:
    """Do so with the runs of ``deployments`` (id -> whether it resumes), before any is started; what was done."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed, Scheduled

    from tasks.clock import now_utc

    ours = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    open_states = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    lost = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=open_states)))
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=now_utc()),
    )
    found = [
        run
        for wanted in (lost, due)
        for run in client.read_flow_runs(deployment_filter=ours, flow_run_filter=wanted, limit=MOST_READ)
    ]
    steps = decide(found, {identity for identity, resumes in deployments.items() if resumes})
    for step in steps:
        if step.do == "skip":
            client.set_flow_run_state(step.run, Cancelled(name="Skipped", message=step.why), force=True)
        elif step.do == "postpone":
            later = now_utc() + timedelta(minutes=step.minutes)
            client.set_flow_run_state(step.run, Scheduled(scheduled_time=later, message=step.why), force=True)
        else:
            client.set_flow_run_state(step.run, Crashed(message=step.why), force=True)
        if step.do == "begin again":
            _schedule(client, step.run, step.why)
        log.warning("run %s: %s, %s", step.run, step.do, step.why)
    return steps


def begin_again(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """What the runner does when the process of a run died: put it back on the schedule, a bounded number of times."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        now = client.read_flow_run(flow_run.id)
        if now.run_count >= MOST_BEGINNINGS or now.state is None or not now.state.is_crashed():
            return
        _schedule(
            client, now.id, f"its process died; beginning {now.run_count + 1} of {MOST_BEGINNINGS}, goes on where it stood"
        )


def _schedule(client: SyncPrefectClient, run: UUID, why: str) -> None:
    from prefect.states import Scheduled

    client.set_flow_run_state(run, Scheduled(name="AwaitingRetry", message=why), force=True)
