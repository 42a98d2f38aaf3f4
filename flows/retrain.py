"""A challenger, on demand."""

from __future__ import annotations

from typing import Any

from flows.challenge import challenge
from flows.entry import running
from flows.parameters import Retrain
from tasks.engine import flow
from tasks.learning import challenger_of
from tasks.planning import retrain_due
from tasks.publishing import as_before, complete, publish
from tasks.reporting import report_of


@flow
def retrain(request: Retrain) -> dict[str, Any]:
    """Train on what is stored, judge on sessions never seen, let the gate decide who serves. Forecasts nothing.

    Asked for at a session whose model is of the same data, specification, settings and code, it trains nothing and says so.
    """
    extra = ("again",) if request.again else ()
    with running(
        request, needs_source=False, origin=request.origin, force_retrain=request.force, extra=extra, every_time=request.force
    ) as run:
        due = run.already is None and retrain_due(run, request.again)
        if due:
            challenge(run, run.origin)
        elif run.already is None:
            as_before(run)
        complete(run)
        publish(run)
        return report_of(run) | {"trained": challenger_of(run, run.origin) if due else None}
