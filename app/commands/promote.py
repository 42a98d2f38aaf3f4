"""``nextclose promote``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def promote(
    model: Annotated[str, Parameter(help="First digits of a model's id, as `nextclose models` lists them.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why, in one line; kept beside the gate's decision.")],
    forecaster: Annotated[str, Parameter(help="Who of the model serves: lstm, or one of its rivals.")] = "lstm",
    by: Annotated[str | None, Parameter(help="Whose word it is; kept as well.")] = None,
    reject: Annotated[bool, Parameter(help="Say no to a model that waits for a yes.")] = False,
    even_if_refused: Annotated[
        bool, Parameter(help="Put it in service although the gate did not open; kept as an override.")
    ] = False,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Common = COMMON,
) -> int:
    """Put a model in service that passed the gate, or turn it down.

    It serves from the last stored session on, from the next run that forecasts. With `approval = true` under `[promotion]` in
    the settings, a model that passed the gate waits for this.

    For example:
      nextclose promote 7b67dd13 --reason "looked at the years one by one"
      nextclose promote 7b67dd13 --reject --reason "too little data of this universe" --by "the desk"
    """
    from app.asking import asked, execute
    from app.common import print_json
    from app.outcome import show_serving
    from flows.parameters import Promote
    from flows.promote import promote as flow

    request = asked(
        Promote, home=str(common.path), model=model, reason=reason, forecaster=forecaster, by=by, reject=reject,
        even_if_refused=even_if_refused,
    )  # fmt: skip
    report = execute(flow, request, prefect, quiet=common.quiet)
    print_json(report) if common.json else show_serving(report)
    return 0
