"""``nextclose backfill``."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def backfill(
    *,
    start: Annotated[date, Parameter(help="First session to forecast from.")],
    end: Annotated[date | None, Parameter(help="Last session to forecast from. Default: the last one stored.")] = None,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Common = COMMON,
) -> int:
    """Forecast past sessions that have no forecast yet; never counted as live.

    Each session is forecast by the model that served then; where there was none, one is trained on what was known then.

    For example:
      nextclose backfill --start 2023-06-01
      nextclose backfill --start 2023-06-01 --end 2023-06-30 --json
    """
    from app.asking import asked, execute, exit_code
    from app.common import print_json
    from app.outcome import show_refused, show_serving
    from app.printing import say
    from flows.backfill import backfill as flow
    from flows.parameters import Backfill

    request = asked(Backfill, home=str(common.path), start=start, end=end)
    report = execute(flow, request, prefect, quiet=common.quiet)
    if common.json:
        print_json(report)
    else:
        show_refused(report)
        show_serving(report)
        say(f"Forecasts from {start} to {report['origin']} are in the ledger; see `nextclose scoreboard --mode backfill`")
    return exit_code(report)
