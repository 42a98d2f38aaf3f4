"""A run of a deployment that meets another one at work comes again later: whose work the other does, it cannot know.

Prefect would keep it as Cancelled, and a weekly run that met a daily one would not happen that week, without a word. A person's
word does not come again: by then that person may have said another.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tasks.clock import now_utc

if TYPE_CHECKING:
    from prefect.states import State

    from forecasting.errors import AlreadyRunning

log = logging.getLogger(__name__)

NAME = "Already running"
AFTER = timedelta(minutes=10)
MOST = 18  # times, three hours
WORDS = frozenset({"promote", "rollback"})  # flows that are a person's word
_MARK = "again-"  # a tag that counts them


def state_of_beaten(error: AlreadyRunning) -> State:
    """Cancelled, after the deployment's next try was put on the schedule; failed, which is told, where it was tried ``MOST``
    times; cancelled for good where no deployment started it, or it is a person's word: whoever did reads it."""
    from prefect.states import Cancelled, Failed

    try:
        return _again(error)
    except Exception as trouble:  # the server's troubles are not the data's
        log.warning("the run could not be put on the schedule again: %s", trouble)
        return Failed(message=str(error)) if _of_a_deployment() else Cancelled(name=NAME, message=str(error))


def times_before(tags: list[str]) -> int:
    """How often a run with these tags was tried before."""
    return max((int(tag.removeprefix(_MARK)) for tag in tags if tag.startswith(_MARK)), default=0)


def tags_of_next(tags: list[str]) -> list[str]:
    """Those of the run that comes instead; no schedule made it."""
    kept = [tag for tag in tags if tag != "auto-scheduled" and not tag.startswith(_MARK)]
    return [*kept, f"{_MARK}{times_before(tags) + 1}"]


def _again(error: AlreadyRunning) -> State:
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run
    from prefect.states import Cancelled, Failed, Scheduled

    with get_client(sync_client=True) as client:
        mine: Any = client.read_flow_run(flow_run.id)
        if mine.deployment_id is None:
            return Cancelled(name=NAME, message=str(error))
        if flow_run.flow_name in WORDS:
            return Cancelled(name=NAME, message=f"{error}; nothing was done, say it again then")
        if times_before(mine.tags) >= MOST:  # without a name of its own: the automations listen for "Failed"
            return Failed(message=f"{error}; given up after {MOST * AFTER / timedelta(hours=1):g} hours")
        at = now_utc() + AFTER
        client.create_flow_run_from_deployment(
            mine.deployment_id, parameters=mine.parameters, state=Scheduled(scheduled_time=at), tags=tags_of_next(mine.tags),
            idempotency_key=f"{_MARK}{mine.id}",
        )  # fmt: skip
        return Cancelled(name=NAME, message=f"{error}; comes again at {at:%H:%M} UTC as a run of its own")


def _of_a_deployment() -> bool:
    from prefect.runtime import deployment

    return deployment.id is not None
