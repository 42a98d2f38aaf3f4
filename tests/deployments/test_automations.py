"""Who is told: automations made by code on the real server, and one seen to fire to a webhook and to a mail server."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deployments.automations import PREFIX, payload, put_in_place, wanted
from tasks.prefect_events import DATA_STALE, DAY_DONE, GATE_CLOSED, MODEL_WAITING, Fact, facts_of
from tasks.settings_serving import Notify
from tests.deployments.conftest import wait_for

SENTENCE = 'G03 not better than "har" | skill +0.76% <b>\\ in {{ braces }}'


class Hook(BaseHTTPRequestHandler):
    heard: list[tuple[str, str]]

    def do_POST(self) -> None:
        self.heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


class Post(socketserver.StreamRequestHandler):
    """As much of a mail server as takes one mail."""

    heard: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = []
                for text in self.rfile:
                    if text.rstrip() == b".":
                        break
                    body.append(text.decode())
                self.heard.append("".join(body))
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def hook() -> Iterator[tuple[str, list]]:
    handler = type("Here", (Hook,), {"heard": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/notices", handler.heard
        server.shutdown()


@pytest.fixture
def post() -> Iterator[tuple[str, list]]:
    handler = type("Here", (Post,), {"heard": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", handler.heard
        server.shutdown()


def test_wanted__each_case_of_the_operator_has_one():
    names = {one.name for one in wanted(Notify())}
    assert names == {"no forecast", "failed run", "gate closed", "data stale", "zombie run", "model waiting"}
    missing = next(one for one in wanted(Notify(hours=26)) if one.name == "no forecast")
    assert missing.trigger.posture == "Proactive" and missing.trigger.within.total_seconds() == 26 * 3600
    assert missing.trigger.expect == {DAY_DONE}


def test_zombie__is_no_run_that_ended_under_a_name_of_ours():
    """An event is called after the name of the state. A run that is given up must be heard as failed."""
    from prefect.states import Failed

    triggers = {one.name: one.trigger for one in wanted(Notify())}
    for name in ("Completed", "Nothing to do", "Degraded", "Already running", "Skipped"):
        assert f"prefect.flow-run.{name}" in triggers["zombie run"].expect, name
    assert f"prefect.flow-run.{Failed().name}" in triggers["failed run"].expect


def test_payload__is_json_whatever_the_sentence_says():
    """Rendered by the template engine that Prefect uses, with a sentence full of what breaks JSON, HTML and templates."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    gate = next(one for one in wanted(Notify()) if one.name == "gate closed")
    event = {"payload": {"sentence": SENTENCE}}
    said = json.loads(ImmutableSandboxedEnvironment().from_string(payload(gate)).render(event=event))
    assert said == {"subject": "nextclose: gate closed", "text": SENTENCE}
    failed = next(one for one in wanted(Notify()) if one.name == "failed run")
    run = {"name": "daily-2026-11-20", "state": {"name": "Failed", "message": 'no "prices"'}}
    said = json.loads(ImmutableSandboxedEnvironment().from_string(payload(failed)).render(flow_run=run, flow={"name": "daily"}))
    assert said["text"] == 'daily-2026-11-20 of daily: Failed. no "prices"'


def test_facts__of_a_day():
    """Done, the gate closed on it, one symbol late; the same told again says only that the day is done."""
    report = {
        "origin": "2026-11-20", "already_done": False, "nothing_to_do": None, "forecasts": [{"symbol": "AAA"}],
        "decision": {"origin": "2026-11-20", "verdict": "refused", "sentence": "G03 not better.", "model_id": "ab" * 32},
        "refused": [{"symbol": "BBB", "reason": "stale_symbol"}, {"symbol": "CCC", "reason": "inactive"}],
    }  # fmt: skip
    assert facts_of("daily", report) == [
        Fact(DAY_DONE, "forecasts from the close of 2026-11-20 for 1 symbols"),
        Fact(GATE_CLOSED, "G03 not better."),
        Fact(DATA_STALE, "no fresh prices at 2026-11-20 for BBB"),
    ]
    assert facts_of("daily", report, whole=False)[0].event == GATE_CLOSED  # some symbols, or a session of the past
    assert facts_of("daily", report | {"forecasts": []})[0].event == GATE_CLOSED
    dead = report | {"source": "files", "final": "2026-11-24", "behind": 2, "decision": None, "refused": []}
    assert facts_of("daily", dead) == [Fact(DATA_STALE, "the newest session of files is 2026-11-20, and 2026-11-24 is over")]
    assert facts_of("daily", dead | {"final": "2026-11-23", "behind": 1})[0].event == DAY_DONE
    again = report | {"already_done": True, "nothing_to_do": "2026-11-21 (Saturday) is no session of XNYS", "refused": []}
    assert facts_of("daily", again) == [Fact(DAY_DONE, "2026-11-21 (Saturday) is no session of XNYS")]
    assert facts_of("daily", report | {"decision": report["decision"] | {"origin": "2026-08-01"}, "refused": []})[1:] == []
    waiting = report | {"decision": report["decision"] | {"verdict": "promoted", "approval": "pending"}, "refused": []}
    assert [fact.event for fact in facts_of("retrain", waiting)] == [MODEL_WAITING]


def test_automations__are_there_from_the_first_start(served):
    names = {one["name"] for one in served.ask("POST", "/automations/filter", json={})}
    assert names == {PREFIX + one.name for one in wanted(Notify())}


def test_automation__closed_gate_is_told_to_the_webhook_and_by_mail(served, prefect_server, hook, post):
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    url, heard = hook
    host, mails = post
    notify = Notify(webhook=url, email=("desk@example.org",), smtp=host)
    put_in_place(notify)
    try:
        wait_for(lambda: _actions(served, "gate closed") == ["call-webhook", "send-notification"], "the actions", 20)
        resource = {"prefect.resource.id": "nextclose.home", "prefect.resource.name": "nextclose"}
        emit_event(GATE_CLOSED, resource=resource, payload={"sentence": SENTENCE, "origin": "2026-11-20"})
        EventsWorker.instance().wait_until_empty()
        wait_for(lambda: heard and mails, "a message", 90)
        assert heard[0][0] == "/notices"
        assert json.loads(heard[0][1]) == {"subject": "nextclose: gate closed", "text": SENTENCE}
        assert "To: desk@example.org" in mails[0] and "Subject: nextclose: gate closed" in mails[0]
        assert "G03 not better" in mails[0]
    finally:
        put_in_place(Notify())


def test_automation__day_without_forecast_is_told(served, prefect_server, hook):
    """With 10 seconds for the 26 hours: no daily run says that everything is done."""
    from datetime import timedelta

    url, heard = hook
    put_in_place(Notify(webhook=url))
    try:
        [there] = [a for a in served.ask("POST", "/automations/filter", json={}) if a["name"] == PREFIX + "no forecast"]
        core = {k: there[k] for k in ("name", "description", "enabled", "trigger", "actions", "actions_on_trigger",
                                      "actions_on_resolve", "tags")}  # fmt: skip
        core["trigger"]["within"] = timedelta(seconds=10).total_seconds()
        served.ask("PUT", f"/automations/{there['id']}", json=core)
        wait_for(lambda: heard, "a message", 120)
        assert json.loads(heard[0][1])["text"].startswith("no daily run found everything forecast for 26 hours")
    finally:
        put_in_place(Notify())


def test_automations__that_are_as_they_should_be_are_left_alone(served, prefect_server):
    """An update would begin the hours of `no forecast` anew."""

    def triggers() -> dict[str, str]:
        return {one["name"]: one["trigger"]["id"] for one in served.ask("POST", "/automations/filter", json={})}

    before = triggers()
    put_in_place(Notify())
    assert triggers() == before
    put_in_place(Notify(hours=30))
    assert [name for name, trigger in triggers().items() if trigger != before[name]] == [PREFIX + "no forecast"]
    put_in_place(Notify())


def test_automation__switched_off_in_the_ui_stays_off(served, prefect_server):
    [there] = [a for a in served.ask("POST", "/automations/filter", json={}) if a["name"] == PREFIX + "data stale"]
    served.ask("PATCH", f"/automations/{there['id']}", json={"enabled": False})
    put_in_place(Notify())
    [again] = [a for a in served.ask("POST", "/automations/filter", json={}) if a["name"] == PREFIX + "data stale"]
    assert again["id"] == there["id"] and again["enabled"] is False
    served.ask("PATCH", f"/automations/{there['id']}", json={"enabled": True})


def _actions(served, name: str) -> list[str]:
    return [
        action["type"]
        for one in served.ask("POST", "/automations/filter", json={})
        if one["name"] == PREFIX + name
        for action in one["actions"]
    ]
