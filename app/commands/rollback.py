"""``nextclose rollback``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def rollback(
    *,
    reason: Annotated[str, Parameter(help="Why, in one line; kept.")],
    by: Annotated[str | None, Parameter(help="Whose word it is; kept as well.")] = None,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Common = COMMON,
) -> int:
    """Put the model back in service that served before.

    Each rollback goes one step further back; `nextclose promote` puts a model in service that was taken out. Forecasts that
    were issued stay as they are.

    For example:
      nextclose rollback --reason "its intervals are too narrow since Monday"
    """
    from app.asking import asked, execute
    from app.common import print_json
    from app.outcome import show_serving
    from flows.parameters import Rollback
    from flows.rollback import rollback as flow

    request = asked(Rollback, home=str(common.path), reason=reason, by=by)
    report = execute(flow, request, prefect, quiet=common.quiet)
    print_json(report) if common.json else show_serving(report)
    return 0
