"""Serve all flows from one process: ``python -m deployments.serve``, beside ``prefect server start``.

The day runs by itself on weekdays in the evening of New York, when the session is over and its bars have settled; a holiday
ends as a day that was done before. Everything can be triggered by hand in the UI, with a form. Set NEXTCLOSE_HOME for the
folder of the data, and PREFECT_API_URL for the server.
"""

from __future__ import annotations

import os
from typing import Any

from deployments import prefect_flows

#: 18:30 in New York: two and a half hours after the close, and clear of the hours in which its clocks change. Twice more
#: in the evening, for a source that was down or late; a day that is done is found done in a second.
DAILY_CRON = "30 18,20,22 * * 1-5"
WEEKLY_CRON = "0 6 * * 6"
CONTROLS_CRON = "0 6 * * 0"  # Sunday: nobody waits for the database
TIMEZONE = "America/New_York"


def deployments(home: str | None = None) -> list[Any]:
    """One deployment a flow. At most one run of each at a time: a second one is cancelled, not queued, and says why."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    request = {} if home is None else {"home": home}
    common = {"concurrency_limit": one, "entrypoint_type": EntrypointType.MODULE_PATH, "tags": ["nextclose"]}
    return [
        prefect_flows.daily.to_deployment(
            name="daily", schedules=[Cron(DAILY_CRON, timezone=TIMEZONE)], parameters={"request": request}, **common
        ),
        prefect_flows.retrain.to_deployment(
            name="weekly-retrain",
            schedules=[Cron(WEEKLY_CRON, timezone=TIMEZONE)],
            parameters={"request": {**request, "force": False}},
            **common,
        ),
        prefect_flows.controls.to_deployment(
            name="weekly-controls",
            schedules=[Cron(CONTROLS_CRON, timezone=TIMEZONE)],
            parameters={"request": {**request, "size": "full"}},
            **common,
        ),
        prefect_flows.ingest.to_deployment(name="ingest", parameters={"request": request}, **common),
        prefect_flows.backfill.to_deployment(name="backfill", **common),
        prefect_flows.backtest.to_deployment(name="backtest", **common),
        prefect_flows.tune.to_deployment(name="tune", parameters={"request": request}, **common),
        prefect_flows.promote.to_deployment(name="promote", **common),
        prefect_flows.rollback.to_deployment(name="rollback", **common),
    ]


def main() -> None:
    from prefect import serve

    serve(*deployments(os.environ.get("NEXTCLOSE_HOME")), limit=1)


if __name__ == "__main__":
    main()
