"""A person's word on who serves."""

from __future__ import annotations

from typing import Any

from flows.entry import running
from flows.parameters import Promote
from tasks.engine import flow
from tasks.promotion import put_in_service, turn_down
from tasks.publishing import complete, publish
from tasks.reporting import report_of


@flow
def promote(request: Promote) -> dict[str, Any]:
    """Put a model in service that passed the gate, or turn it down; with a reason, which is kept. Forecasts nothing."""
    asked = request.model_dump_json(exclude={"home"})
    with running(request, needs_source=False, extra=("asked", asked), every_time=True) as run:
        if request.reject:
            turn_down(run, request.model, request.reason, request.by)
        else:
            put_in_service(run, request.model, request.forecaster, request.reason, request.by, request.even_if_refused)
        complete(run)
        publish(run)
        return report_of(run)
