"""What a stranger can do to the default installation: the attempts of the catalogue that concern the Prefect server."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys

import httpx
import pytest

from tests.deployments.conftest import ROOT

FOREIGN = "http://evil.example"
READS = ["/admin/version", "/admin/settings", "/flow_runs/00000000-0000-0000-0000-000000000000", "/variables/name/x"]
WRITES = [
    ("POST", "/flow_runs/filter"), ("POST", "/deployments/filter"), ("POST", "/automations/"), ("POST", "/block_documents/"),
    ("POST", "/deployments/00000000-0000-0000-0000-000000000000/create_flow_run"),
    ("PATCH", "/flow_runs/00000000-0000-0000-0000-000000000000"),
    ("DELETE", "/flow_runs/00000000-0000-0000-0000-000000000000"),
    ("DELETE", "/deployments/00000000-0000-0000-0000-000000000000"), ("POST", "/admin/database/drop"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tally():
    """Attempts and how they were answered; printed at the end."""
    tried: list[tuple[str, bool, str]] = []
    yield tried
    blocked = sum(held for _, held, _ in tried)
    print(f"\nattempts blocked: {blocked} / {len(tried)}")
    for what, held, answer in tried:
        print(f"  {'blocked' if held else 'LET IN '} {what}: {answer}")


def attempt(tally, what: str, answer: httpx.Response, allowed: tuple[int, ...]) -> None:
    held = answer.status_code in allowed
    tally.append((what, held, str(answer.status_code)))
    assert held, f"{what}: {answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize("path", READS)
def test_without_password__nothing_is_read(served, tally, path):
    attempt(tally, f"GET {path} without password", httpx.get(served.url + path), (401,))


@pytest.mark.parametrize(("method", "path"), WRITES, ids=lambda v: v.strip("/").replace("/", "-"))
def test_without_password__nothing_is_changed(served, tally, method, path):
    answer = httpx.request(method, served.url + path, json={} if method != "DELETE" else None)
    attempt(tally, f"{method} {path} without password", answer, (401, 403))


@pytest.mark.parametrize("login", [("nextclose", "wrong"), ("", ""), ("admin", "admin"), ("nextclose", "")])
def test_wrong_password__is_refused(served, tally, login):
    attempt(tally, f"password {login}", httpx.get(served.url + "/admin/version", auth=login), (401,))


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic", "Basic !!!", "Digest x", "Basic " + base64.b64encode(b"\xff\xfe").decode()]
)
def test_broken_authorization__is_refused_and_breaks_nothing(served, tally, header):
    answer = httpx.get(served.url + "/admin/version", headers={"Authorization": header})
    attempt(tally, f"Authorization: {header}", answer, (401,))


def test_path__that_looks_like_the_health_check_is_no_way_around(served, tally):
    for path in ("/variables/name/health", "/x/../health/../admin/version", "//health/../admin/version", "/flows/name/ready"):
        attempt(tally, f"GET {path} without password", httpx.get(served.url + path), (401, 404))


def test_foreign_page__is_refused_even_with_the_password(served, tally):
    """A page somewhere else whose visitor's browser has the password: no read, no write, no preflight that allows one."""
    for method, path in [
        ("GET", "/admin/version"),
        ("POST", "/flow_runs/filter"),
        ("DELETE", "/flow_runs/0"),
        ("OPTIONS", "/flow_runs/filter"),
    ]:
        headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
        answer = httpx.request(method, served.url + path, headers=headers, auth=served.login)
        attempt(tally, f"{method} {path} from {FOREIGN}", answer, (403,))
        assert "access-control-allow-origin" not in answer.headers
    for origin in (
        "null",
        "http://127.0.0.1",
        f"http://127.0.0.1:{served.port}.evil.example",
        f"https://127.0.0.1:{served.port}",
    ):
        answer = httpx.get(served.url + "/admin/version", headers={"Origin": origin}, auth=served.login)
        attempt(tally, f"GET from {origin}", answer, (403,))


def test_foreign_host_name__is_refused(served, tally):
    """A name made to point here (DNS rebinding) makes the browser think that it is one origin with the attacker's page."""
    for host in ("evil.example", f"evil.example:{served.port}", "", "127.0.0.1:1", f"127.0.0.1:{served.port}@evil.example"):
        answer = httpx.get(served.url + "/admin/version", headers={"Host": host}, auth=served.login)
        attempt(tally, f"Host: {host!r}", answer, (400,))


def test_change__without_a_csrf_token_is_refused(served, tally):
    answer = httpx.post(served.url + "/flow_runs/filter", json={}, auth=served.login)
    attempt(tally, "POST with password and no CSRF token", answer, (403,))
    answer = httpx.post(
        served.url + "/flow_runs/filter", json={}, auth=served.login,
        headers={"Prefect-Csrf-Token": "made-up", "Prefect-Csrf-Client": "made-up"},
    )  # fmt: skip
    attempt(tally, "POST with a made-up CSRF token", answer, (403,))


def test_documentation__is_not_shown(served, tally):
    root = served.url.removesuffix("/api")
    for url in (f"{root}/docs", f"{root}/openapi.json", f"{root}/redoc"):
        attempt(tally, f"GET {url.removeprefix(root)}", httpx.get(url), (404,))
    for url in (f"{served.url}/docs", f"{served.url}/openapi.json"):
        attempt(tally, f"GET {url.removeprefix(root)}", httpx.get(url), (401,))


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled"])
def test_web_socket__from_a_foreign_page_or_without_password_hears_nothing(served, tally, path):
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    url = served.url.replace("http", "ws", 1) + path
    with pytest.raises(InvalidStatus) as refused:
        connect(url, origin=FOREIGN, open_timeout=10)
    tally.append((f"web socket {path} from {FOREIGN}", refused.value.response.status_code == 403, "403"))
    assert refused.value.response.status_code == 403
    try:
        with connect(url, open_timeout=10, subprotocols=["prefect"]) as socket_:
            socket_.send(json.dumps({"type": "auth", "token": "nextclose:wrong"}))
            with pytest.raises(ConnectionClosed):
                for _ in range(3):
                    said = json.loads(socket_.recv(timeout=10))
                    assert said.get("type") in ("auth_failure", "auth_required"), said
            answer = "closed after the wrong password"
    except (InvalidStatus, ConnectionClosed) as error:
        answer = type(error).__name__
    tally.append((f"web socket {path} with a wrong password", True, answer))


def test_page__may_not_be_framed_and_may_speak_to_nobody_else(served):
    page = httpx.get(served.url.removesuffix("/api") + "/", follow_redirects=True)
    policy = page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in policy
    assert f"connect-src 'self' http://127.0.0.1:{served.port} http://localhost:{served.port} ws://" in policy
    assert "http" not in policy.split("connect-src")[0] and "amplitude" not in policy


def test_own_page__may_read_its_answers(served):
    for origin in (f"http://127.0.0.1:{served.port}", f"http://localhost:{served.port}"):
        answer = httpx.get(served.url + "/admin/version", headers={"Origin": origin}, auth=served.login)
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == origin


def test_listening__is_on_loopback_only(served):
    """Another address of this machine finds nothing on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            own = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no other address")
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((own, served.port), timeout=2).close()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "a password of your own in NEXTCLOSE_PASSWORD"),
        ({"NEXTCLOSE_PASSWORD": "long-enough-password"}, "the address that browsers use in serve.url"),
        ({"NEXTCLOSE_PASSWORD": "short"}, "serve.url"),
        ({"NEXTCLOSE_PASSWORD": "short", "NEXTCLOSE_SERVE__URL": "https://prefect.example.org"}, "12 or more printable"),
    ],
)
def test_serve__beyond_this_machine_refuses_to_start(tmp_path, variables, words):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEXTCLOSE_")} | variables
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve", "--host", "0.0.0.0", "--port", "4997", "--home", str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert "short" not in done.stderr.replace("shorter", "")
