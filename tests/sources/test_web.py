"""The web client against a real server on loopback: what its answers mean, and in which bounds they come."""

from __future__ import annotations

import gzip
import inspect
import socket
import ssl
import time
from collections.abc import Iterator

import httpcore
import httpx
import pytest

from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    RateLimited,
    SourceDown,
    UnknownSymbol,
)
from sources.base import Cost
from sources.meter import Meter
from sources.web import Web
from sources.web_answers import MEANING, meaning_of_exception
from tests.sources.asking_web import failure, refuse_to_resolve, web
from tests.sources.stand_in import Answer, StandIn, redirect


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


# --- good answers ---------------------------------------------------------------------------------------------------


def test_web__an_answer_with_its_query_headers_and_text(server):
    server.say("/v1/a b", Answer("\ufeffDate,Close\n2024-01-02,10.5\n", kind="text/csv; charset=utf-8"))
    with web(server, headers={"X-Client": "7"}) as out:
        got = out.get("https://prices.example/v1/a b?from=2024", {"symbol": "^GSPC"}, auth=("ann", "pass"))
    assert (
        got.status == 200 and got.text == "Date,Close\n2024-01-02,10.5\n" and got.headers["content-type"].startswith("text/csv")
    )
    assert server.requests == [("/v1/a b", {"from": ["2024"], "symbol": ["^GSPC"]})]
    assert server.headers[0]["x-client"] == "7" and server.headers[0]["authorization"] == "Basic YW5uOnBhc3M="
    assert out.meter.requests == 1 and out.meter.seconds > 0.0


def test_web__json_or_malformed(server):
    server.say("/a", Answer({"x": [1, None]}), Answer("{"), Answer(""), Answer("[" * 100_000))
    with web(server) as out:
        assert out.get("https://prices.example/a").json() == {"x": [1, None]}
        for says in ("not JSON", "an empty answer", "not JSON"):
            with pytest.raises(Malformed, match=says):
                out.get("https://prices.example/a", symbol="X").json()


def test_web__packed_answers_are_unpacked_and_unknown_packings_refused(server):
    packed = {"Content-Encoding": "gzip"}
    server.say("/a", Answer(gzip.compress(b"a,b\n" * 1000), headers=packed), Answer(b"not gzip", headers=packed))
    server.say("/br", Answer(b"\x0b", headers={"Content-Encoding": "br"}))
    with web(server) as out:
        assert out.get("https://prices.example/a").body == b"a,b\n" * 1000
        with pytest.raises(Malformed, match="cannot be unpacked"):
            out.get("https://prices.example/a")
        with pytest.raises(Malformed, match="packed as br"):
            out.get("https://prices.example/br")
    assert server.headers[0]["accept-encoding"] == "gzip"


# --- what answers mean ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (Answer("busy", status=429), RateLimited, "answered 429: too many requests"),
        (Answer("no", status=401), Blocked, "refused with status 401"),
        (Answer("no", status=403), Blocked, "refused with status 403"),
        (Answer("no", status=407), Blocked, "refused with status 407"),
        (Answer("no", status=451), Blocked, "refused with status 451"),
        (Answer("gone", status=404), UnknownSymbol, "answered 404: there is nothing at"),
        (Answer("oops", status=500), SourceDown, "answered with status 500"),
        (Answer("<html>busy", status=503), SourceDown, "answered with status 503"),
        (Answer("what?\nmore", status=400), Malformed, "answered 400: what?"),
        (Answer("", status=304), Malformed, "answered 304"),
        (Answer("<!DOCTYPE html><p>Sign in", kind="text/html"), Blocked, "a web page instead of data"),
        (Answer(" \n<html>", kind="text/csv"), Blocked, "a web page instead of data"),
        (Answer("x", cut=0), SourceDown, "the connection was cut"),
        (Answer("x" * 100, cut=50), SourceDown, "the connection was cut"),
        (Answer("x", headers={"Content-Length": "oops"}), SourceDown, "not HTTP"),
    ],
    ids=[
        "429",
        "401",
        "403",
        "407",
        "451",
        "404",
        "500",
        "503",
        "400",
        "304",
        "HTML",
        "HTML-as-CSV",
        "cut",
        "cut-inside",
        "HTTP",
    ],
)
def test_web__bad_answers_are_told_apart(server, answer, kind, says):
    server.say("/a", answer)
    error = failure(web(server), symbol="AAPL")
    assert type(error) is kind and says in str(error) and str(error).startswith("house AAPL: ") and "\n" not in str(error)


def test_web__a_missing_address_is_not_an_unknown_symbol(server):
    assert type(failure(web(server))) is Malformed


def test_web__a_page_is_fine_where_a_page_is_wanted(server):
    server.say("/a", Answer("<html>", kind="text/html"))
    with web(server) as out:
        assert out.get("https://prices.example/a", accept="html").text == "<html>"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Fri, 01 Mar 2024 10:01:30 GMT", "Date": "Fri, 01 Mar 2024 10:00:00 GMT"}, 90.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_web__how_long_to_wait_is_read(server, said, seconds):
    server.say("/a", Answer("busy", status=429, headers=said))
    assert failure(web(server)).retry_after == seconds


def test_web__the_source_may_judge_first(server):
    server.say("/a", Answer({"code": 7}, status=400))
    asked = web(server)
    error = failure(asked, judge=lambda answer: asked.error(Blocked, "X", f"code {answer.json()['code']}"))
    assert type(error) is Blocked and str(error).startswith("house X: code 7; ")


def test_web__nobody_there_and_no_such_name(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = failure(Web("house", Meter(Cost()), base_url=f"http://127.0.0.1:{port}"))
    assert type(error) is SourceDown and "no connection" in str(error)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_to_resolve)
    assert "the name prices.example is not known" in str(failure(web()))


def test_web__an_untrusted_certificate_means_that_somebody_is_in_between():
    error = httpcore.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert meaning_of_exception(error, "prices.example")[0] is Blocked


@pytest.mark.parametrize("library", [httpcore, httpx])
def test_web__every_error_of_the_libraries_has_a_meaning(library):
    theirs = [c for _, c in inspect.getmembers(library, inspect.isclass) if issubclass(c, Exception)]
    without = [
        c.__name__ for c in theirs if not any(base.__name__ in MEANING for base in c.__mro__) and c is not httpx.HTTPStatusError
    ]
    assert len(theirs) >= 15 and not without


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_web__an_answer_in_drops_ends_in_time(server):
    server.say("/a", Answer("x" * 1000, drip=0.1))
    began = time.monotonic()
    error = failure(web(server, total_seconds=0.5))
    assert type(error) is SourceDown and "no answer in time" in str(error) and time.monotonic() - began < 3.0


def test_web__headers_in_drops_end_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        import threading

        def drip() -> None:
            connection, _ = listening.accept()
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                for n in range(50):
                    connection.sendall(b"X-%d: 1\r\n" % n)
                    time.sleep(0.1)
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        error = failure(Web("house", Meter(Cost()), base_url=address, total_seconds=0.5))
    assert type(error) is SourceDown and "no answer in time" in str(error)


def test_web__a_silent_server_is_not_waited_for(server):
    server.say("/a", Answer("x", wait=3.0))
    assert "no answer in time" in str(failure(web(server, timeout_seconds=0.2)))


def test_web__a_name_that_is_not_resolved_in_time(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(1.0) or [])
    assert "was not resolved in time" in str(failure(web(timeout_seconds=0.2)))


def test_web__no_more_bytes_than_allowed_also_when_packed(server):
    server.say("/a", Answer("x" * 5000), Answer(gzip.compress(b"x" * 5_000_000), headers={"Content-Encoding": "gzip"}))
    for _ in range(2):
        error = failure(web(server, max_bytes=4000))
        assert type(error) is Malformed and "more than 4,000 bytes" in str(error)


def test_web__nothing_is_asked_when_the_budget_is_spent(server):
    server.say("/a", Answer("1"))
    with Web("house", Meter(Cost(per_day=25), spent=24), base_url=server.url) as out:
        out.get("https://prices.example/a")
        with pytest.raises(BudgetSpent, match="house AAPL: the 25 requests that it allows in 24 hours are used up"):
            out.get("https://prices.example/a", symbol="AAPL")
    assert len(server.requests) == 1


# --- redirects ------------------------------------------------------------------------------------------------------


def test_web__redirects_are_followed_three_times_and_counted(server):
    server.say("/a", redirect("/b"))
    server.say("/b", redirect("/c", status=307))
    server.say("/c", redirect("d?x=1", status=308))
    server.say("/d", Answer("there"))
    with web(server) as out:
        got = out.get("https://prices.example/a")
    assert got.text == "there" and got.url == f"{server.url}/d?x=1" and out.meter.requests == 4


def test_web__a_redirect_in_a_circle_ends(server):
    server.say("/a", redirect("/a"))
    assert type(failure(web(server))) is Malformed and len(server.requests) == 4
