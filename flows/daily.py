"""The day, end to end."""

from __future__ import annotations

from typing import Any

from flows.challenge import challenge_or_go_on
from flows.entry import running
from flows.issuing import issue
from flows.parameters import Daily
from flows.prices import bring_in_prices
from tasks.engine import flow
from tasks.ledger import stay_without
from tasks.listening import one_by_one
from tasks.planning import plan_days
from tasks.publishing import complete, publish
from tasks.reporting import report_of
from tasks.watching import watch


@flow
def daily(request: Daily) -> dict[str, Any]:
    """Prices in, checked and kept; a model retrained if due and put before the gate; forecasts written; what settled
    scored; a look at whether the serving model still is what it was; all of it published.

    Sessions that were missed are caught up first, oldest first, marked as backfill. A run that was killed goes on where
    it stood; a day that is done stays as it is.
    """
    with running(
        request, symbols=request.symbols, source=request.source, source_options=request.source_options, origin=request.origin,
        replay=request.replay, force_retrain=request.retrain,
    ) as run:  # fmt: skip
        if begun := run.already is None:
            bring_in_prices(run)
            with run.burst():
                plan = plan_days(run)
            for days in one_by_one("sessions", plan):
                if days.retrain:
                    challenge_or_go_on(run, days.sessions[0])
                if not stay_without(run, days.sessions):
                    issue(run, days.sessions)
        with run.burst(working=True):
            if begun:
                watch(run)
            complete(run)
        publish(run)
        return report_of(run)
