"""Back to the model that served before."""

from __future__ import annotations

from typing import Any

from flows.entry import running
from flows.parameters import Rollback
from tasks.engine import flow
from tasks.promotion import roll_back
from tasks.publishing import complete, publish
from tasks.reporting import report_of


@flow
def rollback(request: Rollback) -> dict[str, Any]:
    """Take the model that serves out of service, and put the one before it back; with a reason, which is kept."""
    asked = request.model_dump_json(exclude={"home"})
    with running(request, needs_source=False, extra=("asked", asked), every_time=True, said_once=True) as run:
        if run.already is None:
            roll_back(run, request.reason, request.by)
        complete(run)
        publish(run)
        return report_of(run)
