"""stooq.com through the real client against a stand-in: CSV when all is well, a line of text with status 200 when not."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import date

import pytest

import sources.stooq
from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    NoBars,
    NoSession,
    Partial,
    RateLimited,
    SourceDown,
    UnknownSymbol,
)
from sources.stooq import StooqSource
from tests.sources.replies import days, recorded
from tests.sources.stand_in import Answer, Query, StandIn

PATH = "/q/d/l/"
HEADER = "Date,Open,High,Low,Close,Volume\n"
TWO = HEADER + "2024-01-02,187.15,188.44,183.885,185.64,82488674\n2024-01-03,184.22,185.88,183.43,184.25,58414460\n"
SINCE, END = date(2024, 1, 1), date(2024, 1, 31)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def source(server: StandIn, **options) -> StooqSource:
    options = {"seconds_between": 0.0, "waits": (0.0,), "timeout_seconds": 2.0} | options
    return StooqSource(base_url=server.url, **options)


def csv(text: str) -> Answer:
    return Answer(text, kind="text/csv")


def test_stooq__adjusted_bars_and_what_is_asked(server):
    server.say(PATH, csv(TWO))
    got = source(server).fetch(["AAPL"], SINCE, END)
    assert days(got.bars) == ["2024-01-02", "2024-01-03"] and got.bars["close"].tolist() == [185.64, 184.25]
    assert got.bars["volume"].tolist() == [82488674.0, 58414460.0] and got.basis == "adjusted" and got.actions.empty
    assert got.bars["adj_ratio"].isna().all() and "already adjusted" in got.notes[0] and not got.failures
    assert server.requests == [(PATH, {"s": ["aapl.us"], "i": ["d"], "d1": ["20240101"], "d2": ["20240131"]})]


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [(None, None, {}), (SINCE, None, {"d1": ["20240101"]}), (None, END, {"d2": ["20240131"]})],
)
def test_stooq__the_span_is_asked_for(server, start, end, asked):
    server.say(PATH, csv(TWO))
    source(server).fetch(["AAPL"], start, end)
    assert server.requests[0][1] == {"s": ["aapl.us"], "i": ["d"]} | asked


@pytest.mark.parametrize(
    ("symbol", "theirs"),
    [
        ("AAPL", "aapl.us"),
        ("BRK-B", "brk-b.us"),
        ("BRK.B", "brk-b.us"),
        ("VOD.L", "vod.uk"),
        ("7203.T", "7203.jp"),
        ("0700.HK", "700.hk"),
        ("SAP.DE", "sap.de"),
        ("PKN.WA", "pkn"),
        ("^GSPC", "^spx"),
        ("^NDX", "^ndx"),
        ("EURUSD=X", "eurusd"),
        ("GC=F", "gc.f"),
        ("BTC-USD", "btc.v"),
    ],
)
def test_stooq__symbols_in_its_spelling(server, symbol, theirs):
    server.say(PATH, csv(TWO))
    got = source(server).fetch([symbol], SINCE, END)
    assert server.requests[0][1]["s"] == [theirs] and set(got.bars["symbol"]) == {symbol}


def test_stooq__a_spelling_can_be_given_and_an_exchange_without_one_is_not_asked(server):
    server.say(PATH, csv(TWO))
    got = source(server, spelling={"^vix": "vi.c"}).fetch(["^VIX", "SHOP.TO"], SINCE, END)
    assert [query["s"] for _, query in server.requests] == [["vi.c"]]
    assert isinstance(got.failures["SHOP.TO"], UnknownSymbol) and "no exchange .TO" in str(got.failures["SHOP.TO"])


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (csv("Exceeded the daily hits limit"), BudgetSpent, "it says: Exceeded the daily hits limit; run again tomorrow"),
        (csv("No data"), UnknownSymbol, "it says: No data; check the spelling"),
        (csv(""), UnknownSymbol, "it says: No data"),
        (csv(HEADER), NoBars, "without a single bar"),
        (csv("Get your apikey:\n1. Open https://stooq.com"), Blocked, "it asks for a key"),
        (csv("Warning: mysql error"), Malformed, "no table of prices: Warning"),
        (csv("Date,Price\n2024-01-02,1\n"), Malformed, "no table of prices"),
        (csv("<html><body>Cookies?"), Blocked, "a web page instead of data"),
        (Answer("gone", status=404), UnknownSymbol, "answered 404"),
        (Answer("busy", status=429), RateLimited, "answered 429"),
        (Answer("oops", status=500), SourceDown, "answered with status 500"),
        (Answer(TWO, cut=40), SourceDown, "the connection was cut"),
        (csv(HEADER + "x,1,1,1,1,1\n"), Malformed, "no table of prices"),
        (csv(HEADER + "2024-01-02,x,1,1,1,1\n"), Partial, "none of its 1 rows could be read"),
    ],
)
def test_stooq__bad_answers_are_told_apart(server, answer, kind, says):
    server.say(PATH, answer)
    got = source(server).fetch(["AAPL"], SINCE, END)
    assert type(got.failures["AAPL"]) is kind and says in str(got.failures["AAPL"]) and got.bars.empty


def test_stooq__no_data_for_a_weekend_is_no_session(server):
    server.say(PATH, csv("No data"))
    got = source(server).fetch(["AAPL"], date(2024, 1, 6), date(2024, 1, 7))
    assert type(got.failures["AAPL"]) is NoSession


def test_stooq__after_the_daily_limit_nobody_else_is_asked(server):
    server.say(PATH, csv(TWO), csv("Exceeded the daily hits limit"))
    got = source(server).fetch(["AAPL", "MSFT", "IBM", "TSLA"], SINCE, END)
    assert len(server.requests) == 2 and set(got.bars["symbol"]) == {"AAPL"}
    assert all(isinstance(e, RateLimited) and not e.retry for e in got.failures.values()) and len(got.failures) == 3


def test_stooq__every_row_is_a_bar_or_a_reject(server):
    server.say(
        PATH, csv(TWO + "2024-01-04,181.99,n/d!,180.88,181.91,71983570\n2024-01-05,181.99\n2024-01-08,182.085,185.6,,,\n")
    )
    got = source(server).fetch(["AAPL"], SINCE, END)
    assert days(got.bars) == ["2024-01-02", "2024-01-03", "2024-01-08"] and got.bars["close"].isna().tolist() == [0, 0, 1]
    assert sorted(got.rejects["reason"]) == ["not_a_number", "wrong_width"] and set(got.rejects["symbol"]) == {"AAPL"}


def test_stooq__its_examples_are_true():
    assert doctest.testmod(sources.stooq).failed == 0


def test_stooq__recorded_apple_of_forty_years(server, shared_data):
    def answer(query: Query) -> Answer:
        return recorded(shared_data / "recorded/stooq/aapl_us_d.csv", "text/csv")

    server.say(PATH, answer)
    got = source(server).fetch(["AAPL"])
    delivered = (shared_data / "recorded/stooq/aapl_us_d.csv").read_text().strip().count("\n")
    assert len(got.bars) + len(got.rejects) == delivered and days(got.bars)[0] == "1984-09-07"
    assert got.bars["close"].iloc[0] == 0.0991725 and got.rejects.empty


def test_stooq__recorded_daily_limit(server, shared_data):
    server.say(PATH, recorded(shared_data / "recorded/stooq/errors/daily_limit.txt", "text/plain"))
    assert type(source(server).fetch(["AAPL"]).failures["AAPL"]) is BudgetSpent
