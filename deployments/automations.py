"""Who is told, and of what. Made by code at each start; whether one is switched on stays as a person left it in the UI.

    no forecast    no daily run found everything done for ``notify.hours``
    failed run     a run failed, crashed or ran out of time
    gate closed    a challenger was not let in
    data stale     symbols got no forecast because their prices are old or did not come
    zombie run     a run stopped giving signs of life; it is marked as crashed, which frees its place
    model waiting  a model passed the gate and waits for a person's yes

Messages go to the webhook and the mail addresses of the settings; without either an automation still shows in the UI.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from deployments.catalogue import TAG
from deployments.environment import HEARTBEAT_SECONDS
from tasks.prefect_events import DATA_STALE, DAY_DONE, GATE_CLOSED, MODEL_WAITING, RESOURCE

if TYPE_CHECKING:
    from prefect.automations import Automation
    from prefect.events.actions import ActionTypes
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

    from tasks.settings_serving import Notify

PREFIX = "nextclose: "
BLOCK = "nextclose-notices"
MISSED_BEATS = 10
# By the names of states, ours among them: an event is called after the name.
ENDED = (
    "Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Suspended", "Paused", "AwaitingRetry", "Scheduled",
    "Already running", "Nothing to do", "Degraded", "Skipped",
)  # fmt: skip
SENTENCE = "{{ event.payload.sentence }}"
RUN_SENTENCE = "{{ flow_run.name }} of {{ flow.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}"


@dataclass(frozen=True)
class Wanted:
    """One automation before it is Prefect's: ``text`` is a template of what is sent; ``marks`` are actions besides telling."""

    name: str
    description: str
    trigger: EventTrigger
    text: str
    marks: tuple[ActionTypes, ...] = ()


def wanted(notify: Notify, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> list[Wanted]:
    """The automations for these settings."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    home = {"prefect.resource.id": RESOURCE}
    runs = {"prefect.resource.id": "prefect.flow-run.*"}
    ours = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
    lost = ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of life for {MISSED_BEATS} heartbeats")

    def told(event: str) -> EventTrigger:
        return EventTrigger(expect={event}, match=home, posture=Posture.Reactive)

    return [
        Wanted(
            "no forecast",
            f"No daily run found everything forecast for {notify.hours:g} hours.",
            EventTrigger(
                expect={DAY_DONE}, match=home, posture=Posture.Proactive, threshold=1, within=timedelta(hours=notify.hours)
            ),
            f"no daily run found everything forecast for {notify.hours:g} hours; look at `nextclose doctor`",
        ),
        Wanted(
            "failed run",
            "A run failed, crashed or ran out of time.",
            EventTrigger(
                expect={f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")},
                match=runs, match_related=ours, posture=Posture.Reactive,
            ),
            RUN_SENTENCE,
        ),
        Wanted("gate closed", "The gate did not let a challenger in.", told(GATE_CLOSED), SENTENCE),
        Wanted("data stale", "Symbols got no forecast: their prices are old or did not come.", told(DATA_STALE), SENTENCE),
        Wanted(
            "zombie run",
            "A run stopped giving signs of life: it is marked as crashed, which frees its place.",
            EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{name}" for name in ENDED)},
                match=runs, match_related=ours, for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1,
                within=timedelta(seconds=MISSED_BEATS * heartbeat_seconds),
            ),
            RUN_SENTENCE,
            (lost,),
        ),
        Wanted("model waiting", "A model passed the gate and waits for a person's yes.", told(MODEL_WAITING), SENTENCE),
    ]  # fmt: skip


def put_in_place(notify: Notify, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> list[Automation]:
    """Create or update them on the server in use, with the blocks that they send through. One that is as it should be stays
    untouched: an update begins its hours anew, and where the server is started every day no day without forecast were told."""
    from prefect.automations import Automation
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    sending = senders(notify)
    made = []
    with get_client(sync_client=True) as client:
        for one in wanted(notify, heartbeat_seconds):
            name = PREFIX + one.name
            actions = [*one.marks, *(send(one) for send in sending)] or [_nothing()]
            core = AutomationCore(name=name, description=one.description, trigger=one.trigger, actions=actions, tags=[TAG])
            there = client.read_automations_by_name(name)
            if there:
                core.enabled = there[0].enabled
                identity = there[0].id
                if _meant(there[0]) != _meant(core):
                    client.update_automation(identity, core)
            else:
                identity = client.create_automation(core)
            made.append(Automation(id=identity, **core.model_dump()))
    return made


def _meant(automation: AutomationCore) -> Any:
    """What an automation says, without the ids that the server gives."""
    from prefect.events.schemas.automations import AutomationCore

    def without_ids(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without_ids(inner) for name, inner in value.items() if name != "id"}
        return [without_ids(inner) for inner in value] if isinstance(value, list) else value

    return without_ids(automation.model_dump(include=set(AutomationCore.model_fields)))


def senders(notify: Notify) -> list[Callable[[Wanted], ActionTypes]]:
    """One function for each way to tell, after its block was put in place on the server in use."""
    found: list[Callable[[Wanted], ActionTypes]] = []
    if notify.webhook is not None:
        found.append(_by_webhook(notify))
    if notify.email:
        found.append(_by_mail(notify))
    return found


def _by_webhook(notify: Notify) -> Callable[[Wanted], ActionTypes]:
    from prefect.blocks.webhook import Webhook
    from prefect.events.actions import CallWebhook

    block = _saved(Webhook(url=notify.webhook, headers={"Content-Type": "application/json"}), BLOCK)

    def send(one: Wanted) -> ActionTypes:
        return CallWebhook(block_document_id=block, payload=payload(one))

    return send


def payload(one: Wanted) -> str:
    """The JSON template of a message: ``subject`` and ``text``. Texts of others are escaped by the template's own filter."""
    text = one.text if "{{" in one.text else json.dumps(one.text)
    if "{{" in one.text:
        parts = [part for part in _parts(one.text) if part]
        text = "{{ (" + " ~ ".join(parts) + ") | tojson }}"
    return f'{{"subject": {json.dumps(PREFIX + one.name)}, "text": {text}}}'


def _parts(template: str) -> list[str]:
    """'{{ a }} of {{ b }}' as the operands of a concatenation: ['a', '" of "', 'b']."""
    parts = []
    for piece in template.split("{{"):
        inside, end, after = piece.partition("}}")
        parts += [inside.strip(), json.dumps(after) if after else ""] if end else [json.dumps(piece) if piece else ""]
    return parts


def _by_mail(notify: Notify) -> Callable[[Wanted], ActionTypes]:
    from prefect.events.actions import SendNotification

    from deployments.mail import Mail

    host, _, port = notify.smtp.rpartition(":")
    mail = Mail(
        host=host, port=int(port), security=notify.smtp_security, user=notify.smtp_user, password=notify.smtp_password,
        sender=notify.sender or notify.email[0], to=list(notify.email),
    )  # fmt: skip
    block = _saved(mail, f"{BLOCK}-by-mail")

    def send(one: Wanted) -> ActionTypes:
        return SendNotification(block_document_id=block, subject=PREFIX + one.name, body=one.text)

    return send


def _saved(block: Any, name: str) -> Any:
    return block.save(name, overwrite=True)


def _nothing() -> ActionTypes:
    from prefect.events.actions import DoNothing

    return DoNothing()


def main() -> None:
    """Where workers run the flows: put them in place on the server in use, as the settings here say who is told."""
    from flows.entry import settings_for
    from flows.parameters import Parameters

    made = put_in_place(settings_for(Parameters()).notify)
    print(f"nextclose: {len(made)} automations are in place", flush=True)


if __name__ == "__main__":
    main()
