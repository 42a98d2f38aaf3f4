"""The product against markets where the truth is known."""

from __future__ import annotations

from typing import Any

from flows.entry import running
from flows.parameters import Controls
from tasks.controls import controls_report, try_cases
from tasks.engine import flow
from tasks.publishing import complete, publish


@flow
def controls(request: Controls) -> dict[str, Any]:
    """Random walks (a promotion is a false alarm), planted signals (must be found), broken models and leaks (must be refused).

    Needs no prices. A run that was killed goes on where it stood; one of the same day, size and settings is done once.
    """
    with running(request, needs_source=False, stands_alone=True, extra=("size", request.size)) as run:
        if run.already is None:
            try_cases(run, request.size, request.processes)
        complete(run)
        publish(run)
        return controls_report(run)
