"""Tables at an https address: pinned, bounded, and asked for nowhere else."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from forecasting.errors import (
    Blocked,
    Malformed,
    PricesFileError,
    RateLimited,
    SettingError,
    SourceDown,
    SymbolError,
    UnknownSymbol,
)
from sources.http_csv import HttpCsvSource
from sources.registry import make_source
from tests.sources.stand_in import Answer, StandIn, redirect

CSV = "Date,Open,High,Low,Close,Volume\n2024-01-02,10,11,9.5,10.5,1000\n2024-01-03,10.5,12,10,11.5,2000\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RAW = f"https://raw.githubusercontent.com/someone/prices/{COMMIT}/data/AAPL.csv"
PATH = f"/someone/prices/{COMMIT}/data/AAPL.csv"
HOSTILE = ["'; DROP TABLE forecasts;--", '" OR 1=1', "../../x", "..%2f..", "%2e%2e", "a/b", "a\\b", "A\x00", "X" * 4000, "",
           "AAPL?range=max", "AAPL#x", "../../../v1/other", "AAPL\r\nHost: evil", "{symbol}"]  # fmt: skip


def text(body: str | bytes, **more) -> Answer:
    return Answer(body, kind="text/csv", **more)


@pytest.fixture
def server():
    with StandIn() as running:
        yield running


# --- one table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [RAW, f"https://github.com/someone/prices/blob/{COMMIT}/data/AAPL.csv",
     f"https://github.com/someone/prices/raw/{COMMIT}/data/AAPL.csv?plain=1#L3"],
)  # fmt: skip
def test_http_csv__a_file_of_a_commit(server, url):
    server.say(PATH, text(CSV))
    source = make_source("github", {"url": url, "base_url": server.url, "basis": "as_traded"})
    got = source.fetch(source.symbols())
    assert got.bars["symbol"].tolist() == ["AAPL", "AAPL"] and got.bars["close"].tolist() == [10.5, 11.5]
    assert not [note for note in got.notes if "pin it" in note] and got.basis == "as_traded"
    assert server.asked(PATH) == 1 == source.meter.requests


def test_http_csv__what_is_not_pinned_says_how(server):
    server.say("/p/AAPL.csv", text(CSV))
    digest = hashlib.sha256(CSV.encode()).hexdigest()
    source = HttpCsvSource("https://prices.example/p/AAPL.csv", base_url=server.url)
    assert f'pin it with sha256 = "{digest}"' in source.fetch(["AAPL"]).notes[0]
    pinned = HttpCsvSource("https://prices.example/p/AAPL.csv", sha256=digest.upper(), base_url=server.url)
    assert not [note for note in pinned.fetch(["AAPL"]).notes if "pin" in note]
    assert pinned.identity() == source.identity()


def test_http_csv__other_content_than_the_pinned_is_refused_naming_both(server):
    server.say("/p/AAPL.csv", text(CSV.replace("11.5", "12.5")))
    wanted, found = (hashlib.sha256(c.encode()).hexdigest() for c in (CSV, CSV.replace("11.5", "12.5")))
    with pytest.raises(PricesFileError, match=f"has SHA-256 {found}, the setting sha256 is {wanted}"):
        HttpCsvSource("https://prices.example/p/AAPL.csv", sha256=wanted, base_url=server.url).symbols()


def test_http_csv__takes_the_options_of_a_file(server):
    server.say("/export", text("Datum;Schluss\n03.01.2024;1.234,5\n04.01.2024;1.240,0\n".encode("latin-1")))
    source = HttpCsvSource(
        "https://prices.example/export?kind=day", base_url=server.url, symbol="SAP.DE", decimal=",", date_order="dmy",
        columns={"date": "Datum", "close": "Schluss"}, close_only=True, currency="EUR",
    )  # fmt: skip
    got = source.fetch(["SAP.DE"])
    assert got.bars["close"].tolist() == [1234.5, 1240.0] and got.currency == {"SAP.DE": "EUR"}
    assert server.requests == [("/export", {"kind": ["day"]})]


def test_http_csv__a_packed_table_and_a_bomb(server):
    server.say("/AAPL.csv.gz", Answer(gzip.compress(CSV.encode()), kind="application/gzip"))
    assert HttpCsvSource("https://prices.example/AAPL.csv.gz", base_url=server.url).symbols() == ("AAPL",)
    server.say("/AAPL.csv.gz", Answer(gzip.compress(CSV.encode() + b"\n" * 4_000_000), kind="application/gzip"))
    with pytest.raises(PricesFileError, match="unpacks to more than 160,000 bytes"):
        HttpCsvSource("https://prices.example/AAPL.csv.gz", base_url=server.url, max_bytes=10_000).symbols()
    server.say("/AAPL.csv", text(CSV + "\n" * 20_000))
    with pytest.raises(Malformed, match="more than 10,000 bytes"):
        HttpCsvSource("https://prices.example/AAPL.csv", base_url=server.url, max_bytes=10_000).symbols()


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (text("no", status=404), Malformed, "404"),
        (text("no", status=403), Blocked, "403"),
        (text("no", status=429), RateLimited, "429"),
        (text("no", status=500), SourceDown, "500"),
        (text("<!DOCTYPE html><p>sign in"), Blocked, "web page"),
        (text(CSV, cut=20), SourceDown, "connection|ended|broke"),
        (text("a,b\n1,2\n"), PricesFileError, "no column for date"),
        (text(""), PricesFileError, "the file is empty"),
        (redirect("http://127.0.0.1:1/AAPL.csv"), Blocked, "refused"),
        (redirect("https://169.254.169.254/AAPL.csv"), Blocked, "may be asked"),
        (redirect("https://other.example/AAPL.csv"), Blocked, "only prices.example may be asked"),
        (redirect("file:///etc/passwd"), Blocked, "refused"),
    ],
)
def test_http_csv__what_goes_wrong(server, answer, kind, says):
    server.say("/AAPL.csv", answer)
    with pytest.raises(kind, match=says) as error:
        HttpCsvSource("https://prices.example/AAPL.csv", base_url=server.url).symbols()
    assert "\n" not in str(error.value) and server.asked("/AAPL.csv") == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "169.254.169.254", "10.0.0.1", "localhost"]
)
def test_http_csv__this_machine_and_its_network_are_not_asked(host):
    with pytest.raises((Blocked, SourceDown), match="refused|no connection"):
        HttpCsvSource(f"https://{host}/AAPL.csv").symbols()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "http://prices.example/AAPL.csv"}, "expected an address such as https://raw"),
        ({"url": "file:///etc/passwd"}, "expected an address"),
        ({"url": "ftp://prices.example/AAPL.csv"}, "expected an address"),
        ({"url": "https://prices.example/a b.csv"}, "expected an address"),
        ({"url": "https://prices.example/x.csv\r\nHost: a"}, "expected an address"),
        ({"url": "https://{symbol}.example/x.csv"}, "expected an address"),
        ({"url": "https://prices.example/{ticker}.csv"}, "'{ticker}'; expected no other placeholder"),
        ({"url": RAW, "sha256": "abc"}, "64 hexadecimal digits"),
        ({"url": "https://prices.example/{symbol}.csv", "sha256": "0" * 64}, "no hash for an address with {symbol}"),
        ({"url": "https://prices.example/{symbol}.csv", "symbol": "AAPL"}, "no symbol for an address with {symbol}"),
        ({"url": RAW, "decimal": "'"}, "http_csv.decimal"),
        ({"url": RAW, "colums": {}}, "'columns' .of url, sha256"),
    ],
)
def test_http_csv__wrong_options_are_said(options, says):
    with pytest.raises(SettingError, match=says):
        make_source("http_csv", options)


def test_http_csv__a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(SettingError, match="an address with a password in it") as error:
        HttpCsvSource("https://me:kanarie@prices.example/AAPL.csv")
    assert "kanarie" not in str(error.value)


# --- one table for each symbol --------------------------------------------------------------------------------------


def test_http_csv__one_address_for_each_symbol(server):
    server.say("/d/AAPL.csv", text(CSV))
    server.say("/d/^GSPC.csv", text(CSV))
    server.say("/d/M&M.NS.csv", text(CSV.replace("11.5", "n.a. today")))
    server.say("/d/TSLA.csv", text("<html>"))
    server.say("/d/MSFT.csv", text(CSV.splitlines()[0] + "\n"))
    source = HttpCsvSource("https://prices.example/d/{symbol}.csv", base_url=server.url, waits=[0.0], seconds_between=0.0)
    assert source.symbols() is None
    got = source.fetch(["AAPL", "^GSPC", "M&M.NS", "NONE", "TSLA", "MSFT"])
    assert got.bars["symbol"].value_counts().to_dict() == {"AAPL": 2, "^GSPC": 2, "M&M.NS": 1}
    assert {s: type(e).__name__ for s, e in got.failures.items()} == {
        "NONE": "UnknownSymbol",
        "TSLA": "Blocked",
        "MSFT": "NoSession",
    }
    assert got.rejects[["symbol", "reason"]].to_numpy().tolist() == [["M&M.NS", "not_a_number"]]
    assert isinstance(got.failures["NONE"], UnknownSymbol) and source.meter.requests == 6


def test_http_csv__a_rate_limit_holds_all_and_ends_the_asking(server):
    for symbol in ("AAPL", "MSFT", "TSLA"):
        server.say(f"/{symbol}.csv", text("slow", status=429))
    server.say("/AAPL.csv", text("slow", status=429), text(CSV))
    got = HttpCsvSource("https://prices.example/{symbol}.csv", base_url=server.url, waits=[0.0], seconds_between=0.0).fetch(
        ["AAPL", "MSFT", "TSLA"]
    )
    assert len(got.bars) == 2 and {type(e) for e in got.failures.values()} == {RateLimited}
    assert (server.asked("/AAPL.csv"), server.asked("/MSFT.csv"), server.asked("/TSLA.csv")) == (2, 2, 0)


@pytest.mark.parametrize("symbol", HOSTILE)
def test_http_csv__a_hostile_symbol_is_never_asked_for(server, symbol):
    source = HttpCsvSource("https://prices.example/d/{symbol}.csv", base_url=server.url)
    with pytest.raises(SymbolError):
        source.fetch([symbol])
    assert server.requests == []


def test_http_csv__odd_symbols_keep_to_their_place_in_the_address(server):
    for symbol in ("M&M.NS", "EURUSD=X", "^GSPC", "BRK-B"):
        HttpCsvSource("https://prices.example/d/{symbol}/x.csv?a=1", base_url=server.url).fetch([symbol])
    assert [path for path, _ in server.requests] == ["/d/M&M.NS/x.csv", "/d/EURUSD=X/x.csv", "/d/^GSPC/x.csv", "/d/BRK-B/x.csv"]
    assert all(query == {"a": ["1"]} for _, query in server.requests)
