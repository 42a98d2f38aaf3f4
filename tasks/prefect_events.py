"""What a flow run tells the automations: facts about the day that Prefect's own events do not know.

    nextclose.day.done       a daily run of all symbols found every session that is over forecast, whether it had something to
                             do or not, and somebody has a forecast from the last one
    nextclose.gate.closed    the gate did not let a challenger in
    nextclose.data.stale     symbols got no forecast because their prices are old or did not come
    nextclose.model.waiting  a model passed the gate and waits for a person's yes

Each carries one sentence for the person who gets the message.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

DAY_DONE = "nextclose.day.done"
GATE_CLOSED = "nextclose.gate.closed"
DATA_STALE = "nextclose.data.stale"
MODEL_WAITING = "nextclose.model.waiting"
RESOURCE = "nextclose.home"
#: Reasons for a missing forecast that say that prices are old or did not come.
STALE_REASONS = frozenset({
    "stale", "stale_symbol", "partial", "down", "rate_limited", "blocked", "malformed", "budget_spent", "no_session",
})  # fmt: skip
MOST_NAMED = 10


@dataclass(frozen=True)
class Fact:
    event: str
    sentence: str


def facts_of(flow: str, report: dict[str, Any], whole: bool = True) -> list[Fact]:
    """What a report says that somebody may want to be told. ``whole``: of all symbols, up to the last session that is over."""
    found, decision, origin = [], report.get("decision"), report.get("origin")
    behind = flow == "daily" and whole and report.get("behind", 0) > 1  # one: what comes in the morning after
    if behind:
        found.append(Fact(DATA_STALE, f"the newest session of {report['source']} is {origin}, and {report['final']} is over"))
    if flow == "daily" and whole and _served(report) and not behind:
        done = report.get("nothing_to_do") or f"forecasts from the close of {origin} for {len(_served(report))} symbols"
        found.append(Fact(DAY_DONE, done))
    if decision and str(decision.get("origin")) == origin and not report.get("already_done"):
        if decision["verdict"] != "promoted":
            found.append(Fact(GATE_CLOSED, decision["sentence"]))
        elif decision.get("approval") == "pending":
            who = f"model {decision['model_id'][:16]} passed the gate of {origin} and waits for a yes"
            found.append(Fact(MODEL_WAITING, f"{who}: run the flow promote with a reason"))
    if report.get("not_trained"):
        found.append(Fact(GATE_CLOSED, report["not_trained"]))
    stale = [entry["symbol"] for entry in report.get("refused", []) if entry["reason"] in STALE_REASONS]
    if stale:
        named = ", ".join(stale[:MOST_NAMED]) + (f" and {len(stale) - MOST_NAMED} more" if len(stale) > MOST_NAMED else "")
        found.append(Fact(DATA_STALE, f"no fresh prices at {origin} for {named}"))
    return found


def announce(flow: str, report: dict[str, Any], whole: bool = True) -> None:
    """Send the report's facts as events of the flow run under way; a failure to do so is logged and forgotten."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": RESOURCE, "prefect.resource.name": "nextclose"}
    try:
        for fact in facts_of(flow, report, whole):
            emit_event(event=fact.event, resource=resource, payload={"sentence": fact.sentence, "origin": report.get("origin")})
    except Exception as error:  # the server's troubles are not the data's
        log.warning("events could not be sent: %s", error)


def _served(report: dict[str, Any]) -> set[str]:
    return {forecast["symbol"] for forecast in report.get("forecasts") or []}
