"""A challenger, on demand."""

from __future__ import annotations

from typing import Any

from flows.challenge import challenge
from flows.entry import running
from flows.parameters import Retrain
from tasks.engine import flow
from tasks.planning import retrain_due
from tasks.publishing import complete, publish
from tasks.reporting import report_of


@flow
def retrain(request: Retrain) -> dict[str, Any]:
    """Train on what is stored, judge on sessions never seen, let the gate decide who serves. Forecasts nothing."""
    with running(request, needs_source=False, origin=request.origin, force_retrain=request.force) as run:
        if run.already is None and retrain_due(run):
            challenge(run, run.origin)
        complete(run)
        publish(run)
        return report_of(run)
