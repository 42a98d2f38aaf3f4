"""Attacks on the web client: addresses that may never be asked, secrets that nobody may read, and texts that write themselves
into a log. Figure: attempts that got through, 0."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator

import pytest

from forecasting.errors import Blocked, SettingError, SourceDown
from sources.base import Cost
from sources.meter import Meter
from sources.web import Web
from tests.sources.asking_web import failure, refuse_to_resolve, web
from tests.sources.stand_in import Answer, StandIn, redirect

SECRET = "canaryKey+7f3a91"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


# --- S11: addresses that are never asked ----------------------------------------------------------------------------

PRIVATE = {
    "loopback": "127.0.0.1",
    "loopback elsewhere": "127.8.8.8",
    "this machine by name": "localhost",
    "IPv6 loopback": "[::1]",
    "cloud metadata": "169.254.169.254",
    "private 10": "10.0.0.5",
    "private 172": "172.16.3.4",
    "private 192": "192.168.1.1",
    "shared": "100.64.0.1",
    "unspecified": "0.0.0.0",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "documentation": "192.0.2.1",
    "IPv6 link-local": "[fe80::1]",
    "IPv6 unique local": "[fd00::1]",
    "IPv4-mapped loopback": "[::ffff:127.0.0.1]",
    "IPv4-mapped metadata": "[::ffff:a9fe:a9fe]",
    "IPv4-compatible": "[::7f00:1]",
    "6to4 private": "[2002:0a00:0005::1]",
    "NAT64 private": "[64:ff9b::a00:5]",
    "decimal": "2130706433",
    "hexadecimal": "0x7f000001",
    "octal": "0177.0.0.1",
    "short": "127.1",
}


@pytest.mark.parametrize("host", PRIVATE.values(), ids=PRIVATE)
def test_web__s11_no_address_that_is_not_public(host, monkeypatch):
    connected = watch_connections(monkeypatch)
    error = failure(web(), f"https://{host}/latest/meta-data")
    assert type(error) is Blocked and "refused" in str(error) and not connected


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://prices.example/a",
        "http://prices.example/a",
        "gopher://prices.example/",
        "/etc/passwd",
        "data:,x",
    ]
    + ["https:///a", "https://", "//prices.example/a", "unix:/run/x", "https://user:word@prices.example/a"],
)
def test_web__s11_only_https(url, monkeypatch):
    connected = watch_connections(monkeypatch)
    error = failure(web(), url)
    assert type(error) is Blocked and not connected and "word" not in str(error).replace("password", "")


@pytest.mark.parametrize(
    "url", ["https://exa mple/\n", "https://[::1", "https://a:b/", "https://prices.example:99999999/", "\x00"]
)
def test_web__s11_what_is_no_address_goes_nowhere(url, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", refuse_to_resolve)
    assert type(failure(web(), url)) in (Blocked, SourceDown)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.5"], ["127.0.0.1"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["93.184.216.34", "192.168.0.1"]]
)
def test_web__s11_a_name_that_leads_to_a_private_address(addresses, monkeypatch):
    """Also when only one of its addresses is: the next connection would take that one."""
    connected = watch_connections(monkeypatch)
    monkeypatch.setattr(socket, "getaddrinfo", lambda h, p, **_: [(2, 1, 6, "", (a, p)) for a in addresses])
    error = failure(web(), "https://rebind.example/a")
    assert type(error) is Blocked and "rebind.example leads to a " in str(error) and not connected


def test_web__s11_the_checked_address_is_the_one_that_is_connected_to(monkeypatch):
    """A name server that answers public first and private then finds itself asked once."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    connected = watch_connections(monkeypatch)
    monkeypatch.setattr(socket, "getaddrinfo", lambda h, p, **_: [(2, 1, 6, "", (a, p)) for a in next(answers)])
    assert type(failure(web(), "https://rebind.example/a")) is SourceDown
    assert connected == [("93.184.216.34", 443)]


@pytest.mark.parametrize("host", PRIVATE.values(), ids=PRIVATE)
def test_web__s11_no_redirect_to_an_address_that_is_not_public(server, host, monkeypatch):
    server.say("/a", redirect(f"https://{host}/latest/meta-data"))
    error = failure(web(server))
    assert type(error) is Blocked and len(server.requests) == 1


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://prices.example/a", "http://prices.example/a", "http://127.0.0.1:1/"]
)
def test_web__s11_no_redirect_away_from_https(server, to):
    server.say("/a", redirect(to))
    error = failure(web(server))
    assert type(error) is Blocked and len(server.requests) == 1


def test_web__s11_a_stand_in_opens_no_other_port_of_this_machine(server):
    with StandIn() as inside:
        inside.say("/secrets", Answer("inside"))
        server.say("/a", redirect(f"{inside.url}/secrets"))
        assert type(failure(web(server))) is Blocked and not inside.requests


@pytest.mark.parametrize(
    "base_url", ["http://prices.example", "ftp://127.0.0.1", "file:///etc", "http://10.0.0.5", "127.0.0.1"]
)
def test_web__s11_a_stand_in_is_https_or_on_this_machine(base_url):
    with pytest.raises(SettingError, match="base_url"):
        Web("house", Meter(Cost()), base_url=base_url)


def test_web__s11_metadata_is_refused_where_private_addresses_are_allowed(monkeypatch):
    connected = watch_connections(monkeypatch)
    error = failure(web(allow_private=True), "http://169.254.169.254/latest/meta-data")
    assert type(error) is Blocked and not connected


def test_web__private_addresses_are_asked_where_they_are_allowed(server):
    server.say("/a", Answer("1"))
    with web(allow_private=True) as out:
        assert out.get(server.url + "/a").text == "1"


@pytest.mark.parametrize(
    ("host", "asked"), [("api.prices.example", True), ("prices.example.evil.test", False), ("evil.test", False)]
)
def test_web__only_the_hosts_named_are_asked(host, asked, monkeypatch):
    looked_up = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda h, *_, **__: looked_up.append(h) or refuse_to_resolve())
    error = failure(web(hosts=["prices.example", "*.prices.example"]), f"https://{host}/a")
    assert (type(error) is SourceDown) == asked and looked_up == ([host] if asked else [])


def test_web__a_redirect_leaves_the_named_hosts_no_more_than_a_request(server):
    server.say("/a", redirect("https://evil.test/a"))
    assert "only prices.example may be asked" in str(failure(web(server, hosts=["prices.example"])))


def watch_connections(monkeypatch) -> list[tuple[str, int]]:
    connected: list[tuple[str, int]] = []

    def connect(address, *args, **kwargs):
        connected.append(address)
        raise ConnectionRefusedError("not in a test")

    monkeypatch.setattr(socket, "create_connection", connect)
    return connected


# --- what follows to another host --------------------------------------------------------------------------------


def test_web__credentials_do_not_follow_to_another_host(server):
    with StandIn() as other:
        server.say("/a", redirect(f"{other.url}/a"))
        other.say("/a", redirect(f"{server.url}/b"))
        server.say("/b", Answer("back"))
        with web(allow_private=True, headers={"X-Token": SECRET}) as out:
            assert out.get(server.url + "/a", auth=("ann", SECRET)).text == "back"
    assert "authorization" in server.headers[0] and server.headers[0]["x-token"] == SECRET
    assert not {"authorization", "x-token"} & other.headers[0].keys()


def test_web__no_proxy_and_no_netrc_of_the_environment(server, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.say("/a", Answer("1"))
    with web(server) as out:
        assert out.get("https://prices.example/a").text == "1"
    assert "authorization" not in server.headers[0]


# --- S19: a secret is found nowhere ---------------------------------------------------------------------------------

SAID = f"We have detected your API key as {SECRET} and {SECRET.upper()}"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(SAID, status=400),
        Answer(SAID, status=403),
        Answer(SAID, status=404),
        Answer(SAID, status=500),
        Answer(SAID, status=429),
        Answer(f"<html>{SAID}"),
        Answer(SAID, cut=0),
        Answer(SAID, headers={"Content-Encoding": SECRET}),
        Answer(SAID, headers={"Content-Length": SECRET}),
        redirect(f"http://prices.example/?apikey={SECRET}"),
        redirect(f"https://{SECRET}@prices.example/"),
        redirect(f"https://[{SECRET}/"),
        redirect("https://127.0.0.1/canaryKey%2B7f3a91"),
        redirect(f"/a?apikey={SECRET}"),
    ],
)
def test_web__s19_a_secret_is_in_no_error_and_no_log(server, answer, caplog, capfd):
    server.say("/a", answer)
    logging.getLogger().setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        asked = web(server, secrets=[SECRET])
        error = failure(asked, params={"apikey": SECRET}, auth=("ann", SECRET), symbol="AAPL")
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(asked) + repr(error.__dict__) + caplog.text
    told += "".join(capfd.readouterr())
    assert "canary" not in told.lower() and "7f3a91" not in told


def test_web__s19_a_secret_is_not_in_the_address_of_an_answer(server, caplog):
    server.say("/a", redirect(f"/b?apikey={SECRET}"))
    server.say("/b", Answer("1"))
    with caplog.at_level(logging.DEBUG), web(server, secrets=[SECRET]) as out:
        got = out.get("https://prices.example/a", {"apikey": SECRET})
    assert got.url.endswith("/b?apikey=***") and "canary" not in (repr(got) + repr(out) + caplog.text).lower()
    assert server.requests[0][1] == {"apikey": [SECRET]}


@pytest.mark.parametrize(
    "url", [f"https://[{SECRET}", f"https://ann:{SECRET}@127.0.0.1/", f"ftp://{SECRET}/", f"https://x:{SECRET}/"]
)
def test_web__s19_a_secret_in_an_address_that_is_none(url):
    error = failure(web(secrets=[SECRET]), url)
    assert "7f3a91" not in "".join(traceback.format_exception(error))


def test_web__s24_what_a_source_says_is_one_printable_line(server):
    server.say("/a", Answer("\x1b[31mred\x1b[0m\x07 and\r\nmore \u202e", status=400))
    line = str(failure(web(server)))
    assert line.isprintable() and "\x1b" not in line


# --- S10: nothing but symbols reaches an address --------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["AAPL?range=max", "AAPL#x", "../../../v1/other", "A/B", "A%2fB", "A&B=C D"])
def test_web__s10_a_parameter_stays_a_parameter(server, symbol):
    """Symbols are checked at the sources' door; even one that is none cannot leave its place in the query."""
    server.say("/query", Answer("1"))
    with web(server) as out:
        out.get("https://prices.example/query", {"symbol": symbol, "apikey": "k"})
    assert server.requests == [("/query", {"symbol": [symbol], "apikey": ["k"]})]
