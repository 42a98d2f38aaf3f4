"""``nextclose recover``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from app.common import COMMON, Common


def recover(
    *,
    no_redo: Annotated[bool, Parameter(help="Only say which sessions are to be done again.")] = False,
    common: Common = COMMON,
) -> int:
    """After damage: bring back what can be, say which sessions are to be done again, and do them.

    For a write-ahead log that is torn or cannot be read, a database that was changed or lost rows, a snapshot or manifest
    that is not what was published, a model folder that a backup still has. What is replaced is kept in damaged/ of the home.
    The sessions are done as `nextclose run` does them, by the settings, up to the last one that is over.

    For example:
      nextclose recover
      nextclose recover --no-redo --json
    """
    from app.common import print_json
    from storage.repair import repair
    from tasks.clock import now_utc

    done = repair(common.opened(), now_utc())
    answer: dict[str, Any] = {
        "home": str(common.path), "actions": done.actions, "taken_from": done.from_,
        "lost_steps": sorted({commit.step for commit in done.lost if commit.step}), "last_forecast": done.last_origin,
        "sessions_to_do": done.sessions, "findings": [vars(finding) for finding in done.findings], "run": None,
    }  # fmt: skip
    if not common.json:
        _show(answer)
    if done.sessions and not no_redo:
        answer["run"] = _redo(common)
    if common.json:
        print_json(answer)
    return 11 if done.findings else 0


def _redo(common: Common) -> dict[str, Any]:
    from app.asking import asked, execute
    from app.outcome import show_run
    from flows.daily import daily
    from flows.parameters import Daily

    report = execute(daily, asked(Daily, home=str(common.path)), quiet=common.quiet)
    if not common.json:
        show_run(report)
    return {name: report[name] for name in ("run_id", "origin", "status", "digest")}


def _show(answer: dict[str, Any]) -> None:
    from app.printing import say

    for action in answer["actions"]:
        say(action)
    if answer["lost_steps"]:
        say(f"lost and to be done again: {', '.join(answer['lost_steps'][:20])}")
    for finding in answer["findings"]:
        say(f"{finding['kind']} {finding['what']}: {finding['sentence']}")
    if not answer["actions"] and not answer["lost_steps"]:
        say(f"{answer['home']}: nothing is damaged")
    sessions = answer["sessions_to_do"]
    if sessions:
        span = str(sessions[0]) if len(sessions) == 1 else f"{sessions[0]} to {sessions[-1]}, {len(sessions)} sessions"
        say(f"to be done: {span}")
    else:
        say(f"no session is missing; the last forecast is from {answer['last_forecast']}")
