"""``nextclose controls``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from app.common import TABULAR, Tabular

FOUND_WANTING = 13


def controls(
    *,
    size: Annotated[
        Literal["small", "full"], Parameter(help="small: a minute or two; full: 200 random walks and more.")
    ] = "small",
    processes: Annotated[int | None, Parameter(help="Cases side by side. Default: one a core.")] = None,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """Try the product on markets, models and leaks whose truth is known; the code is 13 where it is found wanting.

    For example:
      nextclose controls
      nextclose controls --size full --home controls-home
    """
    from app.asking import asked, execute
    from app.common import answer
    from flows.controls import controls as flow
    from flows.parameters import Controls

    request = asked(Controls, home=str(common.path), size=size, processes=processes)
    report = execute(flow, request, prefect, quiet=common.quiet)
    answer(common, report, lambda: _show(report), report["tallies"])
    return 0 if report["met"] else FOUND_WANTING


def _show(report: dict[str, Any]) -> None:
    from app.printing import percent, say, table

    words = {None: "for information", True: "met", False: "not met"}
    rows = [
        (
            t["control"], "-" if t["strength"] is None else f"{t['strength']:g}", t["cases"], t["right"],
            percent(t["right"] / t["cases"]), t["promoted"], "-" if t["bar"] is None else t["bar"], words[t["met"]],
        )
        for t in report["tallies"]
    ]  # fmt: skip
    say()
    columns = ("control", "strength", "cases", "right", "share", "promoted", "needed", "bar")
    table(columns, rows, "What was said where the truth is known", left=("control", "bar"))
    say()
    for wrong in report["wrong"][:20]:
        say(f"{wrong['control']} {wrong['case_name']}: {wrong['answer']} instead of {wrong['expected']}; {wrong['sentence']}")
    if len(report["wrong"]) > 20:
        say(f'and {len(report["wrong"]) - 20} more; see `nextclose sql "FROM controls WHERE NOT right_answer"`')
