"""``nextclose verify``."""

from __future__ import annotations

from app.common import TABULAR, Tabular

DAMAGED = 11


def verify(*, common: Tabular = TABULAR) -> int:
    """Recompute every digest and compare with the manifest; the code is 11 where something is not as it was left.

    For example:
      nextclose verify
      nextclose verify --json
    """
    from app.common import answer
    from app.printing import counted, say
    from storage.verify import verify as check

    findings = check(common.opened())
    told = [vars(finding) for finding in findings]

    def show() -> None:
        for finding in findings:
            say(str(finding))
        say(f"{common.path}: " + (counted(len(findings), "finding") if findings else "everything is as it was left"))

    answer(common, {"ok": not findings, "findings": told}, show, told, ("kind", "what", "sentence"))
    return DAMAGED if findings else 0
