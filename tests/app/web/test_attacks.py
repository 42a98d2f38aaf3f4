"""Attempts on the app as a user gets it: each is refused, and says so in the log. The last test prints blocked / tried."""

from __future__ import annotations

import hashlib
import logging
from urllib.parse import quote

import pytest

from app.web.questions import QUESTIONS
from app.web.serving import listening
from forecasting.errors import SettingError
from tasks.loopback import is_loopback
from tasks.web_settings import WebSettings, read_web_settings
from tests.app.web.conftest import TOKEN, asking

API = "/api/v1"
SYMBOLS = (
    "'; DROP TABLE forecasts;--", '" OR 1=1', "../../x", "..%2f..", "%2e%2e", "a/b", "a\\b", "A\x00B", "A" * 4000, ".",
    "..", "",
    "AAPL?range=max", "AAPL#x", "../../../v1/other", "<script>", "{{7*7}}", "${7*7}", "AAPL;ls", "CON/../x",
    "\r\nX-Evil: 1", "‮AAPL",
)  # fmt: skip
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def paths() -> list[str]:
    return [
        *(API + q.path for q in QUESTIONS), f"{API}/health", f"{API}/runs/beef", f"{API}/models/beef",
        f"{API}/forecasts/AAPL", "/", "/data",
        "/symbols/AAPL", "/scoreboard", "/models", "/runs", "/ask", "/static/app.css",
    ]  # fmt: skip


def tree(folder) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def tally():
    counted = {"tried": 0, "blocked": 0}
    yield counted
    print(f"\nattacks on the web app: {counted['blocked']} blocked / {counted['tried']} tried")
    assert counted["blocked"] == counted["tried"] > 0


@pytest.fixture
def blocked(tally):
    def count(right: bool, what: object) -> None:
        tally["tried"] += 1
        tally["blocked"] += bool(right)
        assert right, what

    return count


def test_hostile_symbols__in_path_and_query_touch_nothing(made, blocked):
    before = tree(made.path)
    with asking(made) as client:
        for text in SYMBOLS:
            for address in (
                f"{API}/forecasts/latest?symbol={quote(text, safe='')}",
                f"{API}/prices?symbol={quote(text, safe='')}",
            ):
                blocked(client.get(address).status_code == 422, address)
            for address in (
                ()
                if set(text) <= {"."}
                else (
                    f"{API}/forecasts/{quote(text, safe='')}/history",
                    f"/symbols/{quote(text, safe='')}",
                    f"/ask?symbol={quote(text, safe='')}",
                )
            ):
                answer = client.get(address, follow_redirects=False)
                told = answer.text if "html" in answer.headers.get("content-type", "") else ""
                blocked(
                    answer.status_code in (303, 404, 422) and "<script>alert" not in told and "<script>," not in told,
                    (address, answer.status_code),
                )
                if (
                    answer.status_code == 303
                ):  # what only looked hostile is normalised to a symbol, and stays one part of a path
                    blocked(answer.headers["location"].count("/") == 2, answer.headers["location"])
    assert tree(made.path) == before


def test_writing__is_refused_everywhere_without_a_token(made, blocked, caplog):
    caplog.set_level(logging.WARNING, "nextclose.web")
    with asking(made) as client:
        for path in paths():
            for verb in WRITES:
                answer = client.request(verb, path, json={"symbols": ["TSLA"]})
                blocked(answer.status_code in (404, 405), (verb, path, answer.status_code))
        blocked(
            client.post(f"{API}/runs", headers={"authorization": f"Bearer {TOKEN}"}, json={}).status_code == 405,
            "a token where none is set",
        )
    assert sum("refused POST" in line for line in caplog.messages) >= len(QUESTIONS)


def test_foreign_hosts__are_refused_what_is_kept_as_well(made, blocked, caplog):
    caplog.set_level(logging.WARNING, "nextclose.web")
    with asking(made) as client:
        for path in ("/", f"{API}/forecasts/latest"):
            assert [client.get(path).status_code for _ in range(2)] == [200, 200]  # now it is kept
            answer = client.get(path, headers={"host": "evil.example"})
            blocked(answer.status_code == 400 and "S001" not in answer.text, path)
            blocked("content-security-policy" in answer.headers, path)
    for host in ("evil.example", "localhost.evil.example", "169.254.169.254"):
        with asking(made, host=host) as client:
            for path in ("/", f"{API}/forecasts/latest"):
                answer = client.get(path)
                blocked(answer.status_code == 400 and "S001" not in answer.text, (host, path, answer.status_code))
    with asking(made, host="forecasts.example.org", hosts=("forecasts.example.org",)) as client:
        assert client.get("/").status_code == 200
    assert any("evil.example" in line and "400" in line for line in caplog.messages)


def test_headers__of_every_answer_are_strict(made, blocked):
    with asking(made) as client:
        for path in (*paths(), "/nothing", f"{API}/forecasts?limit=-1", f"{API}/openapi.json"):
            answer = client.get(path, follow_redirects=False)
            policy = answer.headers["content-security-policy"]
            blocked("unsafe" not in policy and "default-src 'none'" in policy and "http" not in policy, (path, policy))
            blocked("set-cookie" not in answer.headers and answer.headers["x-content-type-options"] == "nosniff", path)
            blocked(
                "access-control-allow-origin" not in client.get(path, headers={"origin": "https://evil.example"}).headers, path
            )
            blocked(answer.headers["x-frame-options"] == "DENY" and answer.headers["referrer-policy"] == "same-origin", path)


def test_demands__without_measure_are_refused(made, blocked):
    with asking(made) as client:
        for query in ("limit=1000000000", "offset=-1", "horizon=1000000", "symbol=" + ",".join(f"S{i}" for i in range(10_000))):
            blocked(client.get(f"{API}/forecasts?{query}").status_code in (414, 422), query[:40])
        for path in ("/?page=0", "/?page=99999999999", "/?sort='", "/?dir=left", "/symbols/S001?horizon=99999",
        "/symbols/S001?span=forever", "/runs?flow=a%20b",
                     "/models/zzzz", "/models/compare?a=../..&b=zz"):  # fmt: skip
            blocked(client.get(path).status_code == 422, path)


def test_log_lines__stay_one_line(made, blocked, caplog):
    caplog.set_level(logging.WARNING, "nextclose.web")
    with asking(made) as client:
        client.get(f"{API}/forecasts/latest?symbol=x%0d%0aINFO%20fake")
        client.get("/symbols/%0d%0aINFO%20fake%1b%5b31m")
    for line in caplog.messages:
        blocked("\n" not in line and "\r" not in line and "\x1b" not in line, repr(line))


def test_canary__a_token_is_shown_nowhere(made, blocked, tmp_path, caplog):
    canary = "canary-8f14e45fceea167a5a36"
    caplog.set_level(logging.DEBUG)
    settings = WebSettings(token=canary)
    blocked(canary not in repr(settings) and canary not in str(settings.model_dump()), "repr")
    with pytest.raises(SettingError) as raised:
        read_web_settings(tmp_path / "none.toml", {"NEXTCLOSE_WEB__TOKEN": "short-canary"})
    blocked("short-canary" not in str(raised.value) and "web.token" in str(raised.value), str(raised.value))
    with asking(made, token=canary) as client:
        answers = [client.get(path) for path in ("/", "/symbols/NOPE", f"{API}/openapi.json", f"{API}/health", "/data", "/api")]
        answers.append(client.post(f"{API}/runs", headers={"authorization": "Bearer wrong-but-long-enough"}, json={}))
    blocked(all(canary not in a.text and canary not in str(a.headers) for a in answers), "answers")
    blocked(all(canary not in line for line in caplog.messages), "log")


def test_listening__beyond_this_machine_needs_names(blocked):
    for host in ("0.0.0.0", "::", "10.0.0.1"):
        with pytest.raises(SettingError, match="web.hosts"):
            listening(host, 0, WebSettings())
        blocked(not is_loopback(host), host)
    sock = listening("127.0.0.1", 0, WebSettings())
    sock.close()
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
