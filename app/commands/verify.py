"""``nextclose verify``."""

from __future__ import annotations

from app.common import COMMON, Common

DAMAGED = 11


def verify(*, common: Common = COMMON) -> int:
    """Recompute every digest and compare with the manifest; the code is 11 where something is not as it was left.

    For example:
      nextclose verify
      nextclose verify --json
    """
    from app.common import print_json
    from app.printing import say
    from storage.verify import verify as check

    findings = check(common.opened())
    if common.json:
        print_json({"ok": not findings, "findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding.kind}: {finding.sentence}")
        say(f"{common.path}: " + (f"{len(findings)} findings" if findings else "everything is as it was left"))
    return DAMAGED if findings else 0
