"""The past, as it could have been known."""

from __future__ import annotations

from typing import Any

from flows.challenge import challenge
from flows.entry import running
from flows.issuing import issue
from flows.parameters import Backfill
from tasks.engine import flow
from tasks.listening import one_by_one
from tasks.planning import plan_days, sessions_without_forecast
from tasks.publishing import complete, publish
from tasks.reporting import report_of


@flow
def backfill(request: Backfill) -> dict[str, Any]:
    """Forecast the sessions from start to end that have no forecast yet, oldest first, from stored prices.

    Each session is forecast by the model that served then; where none did, one is trained on what was known at that
    session. The rows are marked backfill and never count as live.
    """
    with running(request, needs_source=False, origin=request.end, extra=("start", str(request.start))) as run:
        if run.already is None:
            with run.burst():
                plan = plan_days(run, sessions_without_forecast(run, request.start))
            for days in one_by_one("sessions", plan):
                if days.retrain:
                    challenge(run, days.sessions[0])
                issue(run, days.sessions)
        complete(run)
        publish(run)
        return report_of(run)
