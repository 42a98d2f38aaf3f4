"""The process that runs flows: registers the deployments and the automations, picks up what was left, waits for work.

Started by ``deployments/serve.py``, which says everything in the environment. Each run is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from prefect.runner import Runner

from deployments import lifeline
from deployments.automations import put_in_place
from deployments.catalogue import deployments, planned, times_of
from deployments.recovery import pick_up
from flows.entry import settings_for
from flows.parameters import Parameters

if TYPE_CHECKING:
    from uuid import UUID

    from tasks.settings import Settings

log = logging.getLogger(__name__)


class Serving(Runner):
    """Prefect's runner, that on SIGTERM ends its runs as crashed (to be begun again) where Prefect's own cancels them."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[Any]

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        self.stopping = True
        self.loop.call_soon_threadsafe(self.task.cancel)


def register(runner: Runner, settings: Settings) -> dict[UUID, bool]:
    """Create or update every deployment; id -> whether its runs go on where they stood. A schedule that a person switched off
    in the UI stays off."""
    from prefect.client.orchestration import get_client

    resumes = {plan.name: plan.resumes for plan in planned(times_of(settings))}
    made = {}
    with get_client(sync_client=True) as client:
        for deployment in deployments(settings):
            full = f"{deployment.flow_name}/{deployment.name}"
            off = {str(s.schedule) for s in _schedules(client, full) if not s.active}
            for schedule in deployment.schedules or []:
                schedule.active = str(schedule.schedule) not in off
            made[runner.add_deployment(deployment)] = resumes[deployment.name]
    return made


def _schedules(client: Any, name: str) -> list[Any]:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name).schedules
    except ObjectNotFound:
        return []


async def serve(runner: Serving) -> None:
    """Run what is due until SIGTERM."""
    runner.loop, runner.task = asyncio.get_running_loop(), asyncio.ensure_future(runner.start())
    with contextlib.suppress(asyncio.CancelledError):
        await runner.task


def main() -> None:
    from prefect.client.orchestration import get_client

    lifeline.end_with_stdin()
    settings = settings_for(Parameters())
    runner = Serving(
        name="nextclose", query_seconds=settings.serve.poll_seconds, limit=settings.serve.parallel, pause_on_shutdown=False
    )
    made = register(runner, settings)
    put_in_place(settings.notify)
    with get_client(sync_client=True) as client:
        pick_up(client, made)
    os.environ[lifeline.RUNNER] = str(os.getpid())  # the runs' processes end with this one
    print("nextclose: ready for runs", flush=True)
    asyncio.run(serve(runner))


if __name__ == "__main__":
    main()
