"""Starting runs through a stand-in of Prefect's API on loopback, behind the real HTTP client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.prefect_api import AskingAgain
from app.web.starting import Prefect
from tasks.web_settings import WebSettings
from tests.app.web.conftest import TOKEN, asking

RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
BEARER = {"authorization": f"Bearer {TOKEN}"}


class StandIn:
    """Answers as Prefect 3 does: a deployment by name, a CSRF token, a run that takes the states of ``states`` in turn.

    ``busy``: so many answers first are 503, as of a server whose SQLite file is locked by another of its own writes.
    """

    def __init__(self, csrf: bool = True, password: str | None = None) -> None:
        self.csrf, self.password, self.asked, self.made, self.states = csrf, password, [], [], ["PENDING"]
        self.busy = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, None)

            def do_POST(self) -> None:
                outer.answer(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.api = f"http://127.0.0.1:{self.server.server_port}/api"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: dict | None) -> None:
        from base64 import b64encode

        path = handler.path.removeprefix("/api")
        self.asked.append((handler.command, path))
        wanted = f"Basic {b64encode(self.password.encode()).decode()}" if self.password else None
        if wanted and handler.headers.get("authorization") != wanted:
            return self.send(handler, 401, {"exception_message": "Unauthorized"})
        if self.busy:
            self.busy -= 1
            return self.send(handler, 503, {"exception_message": "Service Unavailable"})
        if path.startswith("/csrf-token"):
            return self.send(
                handler, *((200, {"token": "t"}) if self.csrf else (422, {"detail": "CSRF protection is disabled."}))
            )
        if (
            body is not None
            and self.csrf
            and not (handler.headers.get("Prefect-Csrf-Token") == "t" and handler.headers.get("Prefect-Csrf-Client"))
        ):
            return self.send(handler, 403, {"detail": "Missing CSRF token."})
        if path == "/deployments/name/daily/daily":
            return self.send(handler, 200, {"id": "dep-1"})
        if path == "/deployments/dep-1/create_flow_run":
            self.made.append(body)
            return self.send(handler, 201, self.run())
        if path == f"/flow_runs/{RUN}" and self.states != ["deleted"]:
            return self.send(handler, 200, self.run())
        if path == "/flow_runs/filter":
            return self.send(handler, 200, [self.run()] if body["flows"]["name"]["any_"] == ["daily"] else [])
        return self.send(handler, 404, {"detail": "not found"})

    def run(self) -> dict:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"id": RUN, "name": "daily-latest", "state": {"type": state, "message": None}}

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@pytest.fixture
def prefect() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.server.shutdown()


def test_start__with_the_token_starts_the_deployment_for_this_home(made, prefect):
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        answer = client.post("/api/v1/runs", json={"symbols": ["tsla", "BRK-B"]}, headers=BEARER)
        assert (
            answer.status_code == 202 and answer.json()["id"] == RUN and answer.json()["url"].endswith(f"/runs/flow-run/{RUN}")
        )
        assert len(prefect.made) == 1 and len(prefect.made[0].pop("idempotency_key")) == 32
        assert prefect.made == [{"parameters": {"request": {"home": str(made.path), "symbols": ["TSLA", "BRK-B"]}}}]
        prefect.states = ["RUNNING", "COMPLETED"]
        seen = [client.get(f"/api/v1/runs/started/{RUN}", headers=BEARER).json()["state"] for _ in range(2)]
        assert seen == ["RUNNING", "COMPLETED"]
        assert "post" in client.get("/api/v1/openapi.json").json()["paths"]["/api/v1/runs"]
        assert 'id="start"' in client.get("/symbols/TSLA").text


def test_start__a_hundred_at_once_start_one_run(made, prefect):
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client, ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: client.post("/api/v1/runs", json={}, headers=BEARER).status_code, range(100)))
    assert len(prefect.made) == 1 and sorted(set(codes)) == [202, 409] and codes.count(202) == 1


def test_start__again_once_the_first_is_done(made, prefect):
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 202
        prefect.states = ["RUNNING"]
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 409
        prefect.states = ["FAILED"]
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 202
        prefect.states = ["deleted"]  # by a person in the UI, or by its age
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 202
    assert len(prefect.made) == 3


def test_start__knows_no_proxy_to_a_server_of_this_machine(made, prefect, monkeypatch):
    """The password must not pass through one, and one would look for the server on its own machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 202


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, {}, 401),
        ({"authorization": "Bearer wrong-token-of-the-same-sort"}, {}, 401),
        ({"authorization": f"Basic {TOKEN}"}, {}, 401),
        ({"authorization": TOKEN}, {}, 401),
        ({**BEARER, "origin": "https://evil.example"}, {}, 403),
        ({**BEARER, "origin": "null"}, {}, 403),
        (BEARER, {"symbols": ["../x"]}, 422),
        (BEARER, {"symbols": []}, 422),
        (BEARER, {"symbols": ["A"] * 201}, 422),
        (BEARER, {"home": "/etc"}, 422),
        (BEARER, {"origin": "tomorrow"}, 422),
    ],
)
def test_start__is_refused(made, prefect, headers, body, status, caplog):
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        assert client.post("/api/v1/runs", json=body, headers=headers).status_code == status
        assert (
            client.post("/api/v1/runs", content="token=x", headers={**BEARER, "content-type": "text/plain"}).status_code == 422
        )
    assert prefect.made == [] and any("refused" in line for line in caplog.messages)


def test_start__from_a_page_of_this_host_is_taken(made, prefect):
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        answer = client.post("/api/v1/runs", json={}, headers={**BEARER, "origin": "http://localhost"})
    assert answer.status_code == 202


def test_start__while_the_server_is_busy_asks_again(made, prefect):
    """Three answers of 503, "database is locked" inside: the run is started all the same, once."""
    prefect.busy = 3
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 202
    named = "/deployments/name/daily/daily"
    assert [path for _, path in prefect.asked].count(named) == 4 and len(prefect.made) == 1


def test_prefect__that_stays_busy_is_said_when_patience_ends(prefect):
    """Within half a second of patience it is asked at 0, 0.1 and 0.3 seconds; the next time would be too late."""
    prefect.busy = 1000
    with AskingAgain(prefect.api, patience=0.5) as client:
        assert client.get("/deployments/name/daily/daily").status_code == 503
    assert 2 <= len(prefect.asked) <= 3


def test_prefect__that_does_not_answer_is_said_without_secrets(made, prefect):
    prefect.password = "nextclose:the-right-password"
    with asking(made, token=TOKEN, prefect_api=prefect.api) as client:
        answer = client.post("/api/v1/runs", json={}, headers=BEARER)
        assert (
            answer.status_code == 502
            and "it answered 401" in answer.json()["detail"]
            and "nextclose serve" in answer.json()["detail"]
        )
    with asking(made, token=TOKEN, prefect_api="http://127.0.0.1:9/api") as client:
        assert client.post("/api/v1/runs", json={}, headers=BEARER).status_code == 502
        assert client.get("/runs/beefbeefbeefbeef/prefect").status_code == 502


def test_prefect__with_a_password_and_without_csrf():
    stand_in = StandIn(csrf=False, password="nextclose:secret-of-the-server")
    settings = WebSettings(prefect_api=stand_in.api)
    asked = Prefect(settings, "/home/of/data", stand_in.password)
    assert asked.look(RUN).state == "PENDING"
    assert asked.page_of("daily", datetime(2026, 11, 18, 22, tzinfo=UTC)).endswith(f"/runs/flow-run/{RUN}")
    assert asked.page_of("tune", datetime(2026, 11, 18, 22, tzinfo=UTC)) is None
    stand_in.server.shutdown()


def test_run_page__leads_to_prefect(made, prefect):
    with asking(made, prefect_api=prefect.api) as client:
        answer = client.get("/runs/beefbeefbeefbeef/prefect", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == f"{prefect.api.removesuffix('/api')}/runs/flow-run/{RUN}"
