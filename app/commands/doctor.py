"""``nextclose doctor``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular

SICK = 14


def doctor(
    *,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True, help="Names of checks. Default: all of them.")] = None,
    common: Tabular = TABULAR,
) -> int:
    """Look over the installation: what is wrong, and what to type next.

    One line for each thing that is wrong, with the next step. Changes nothing.

    Packages, settings, permissions, disk, clock, calendars, database, commits, digests, snapshot, model, freshness, backups,
    sources, and the server where one runs. The code is 14 where there is a problem; a warning is none.

    For example:
      nextclose doctor
      nextclose doctor --only disk clock --json
    """
    import os

    from app.common import answer
    from app.doctor import Patient, examinations, look_over
    from forecasting.errors import InputError
    from tasks.clock import now_utc
    from tasks.settings_values import nearest

    names = None if only is None else tuple(name.replace("-", "_") for name in only)
    unknown = [name for name in names or () if name not in examinations()]
    if unknown:
        raise InputError(f"--only {unknown[0]!r}: no such check{nearest(unknown[0], list(examinations()))}")
    checks = look_over(Patient(common.opened(), os.environ, now_utc()), names)
    problems = [check for check in checks if check.verdict == "problem"]
    rows = [vars(check) for check in checks]
    answer(common, {"ok": not problems, "checks": rows}, lambda: _show(checks), rows)
    return SICK if problems else 0


def _show(checks: list) -> None:
    from app.printing import counted, judged, say

    for check in checks:
        step = f"; {check.next_step}" if check.next_step else ""
        judged(check.verdict, f"{check.name}: {check.sentence}{step}")
    bad = sum(check.verdict == "problem" for check in checks)
    odd = sum(check.verdict == "warning" for check in checks)
    say()
    say(f"{counted(bad, 'problem')}, {counted(odd, 'warning')}, {counted(len(checks), 'check')}")
