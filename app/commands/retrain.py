"""``nextclose retrain``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def retrain(
    *,
    origin: Annotated[
        date | None, Parameter(help="Last session that may be learnt from. Default: the last one stored.")
    ] = None,
    if_due: Annotated[bool, Parameter(help="Only where there is no model yet or it is too old.")] = False,
    force: Annotated[bool, Parameter(help="Even where that makes the very model that the session has already.")] = False,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """Train a challenger on what is stored and put it before the gate.

    The same data, specification, settings and code make the same model to the bit: where the session has that model already,
    nothing is trained and a line says so.

    For example:
      nextclose retrain
      nextclose retrain --origin 2023-06-30 --json
    """
    from app.asking import asked, execute
    from app.common import answer
    from flows.parameters import Retrain
    from flows.retrain import retrain as flow
    from forecasting.errors import InputError

    if force and if_due:
        raise InputError("--force trains in any case, --if-due only where a model is due: leave one of the two out")
    request = asked(Retrain, home=str(common.path), origin=origin, force=not if_due, again=force)
    report = execute(flow, request, prefect, quiet=common.quiet)
    decision = report["decision"] if report["trained"] else None
    answer(common, report, lambda: _show(report, decision), decision["checks"] if decision else ())
    return 0


def _show(report: dict[str, Any], decision: dict[str, Any] | None) -> None:
    from app.outcome import show_serving
    from app.printing import say, table

    if decision:
        table(("check", "verdict", "in words"), [(c["code"], c["verdict"], c["sentence"]) for c in decision["checks"]],
              left=("check", "verdict", "in words"))  # fmt: skip
        say()
    show_serving(report)
