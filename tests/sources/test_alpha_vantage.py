"""Alpha Vantage through the real client against a stand-in: every answer comes with status 200, good or bad."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    NoSession,
    Partial,
    RateLimited,
    SettingError,
    SourceDown,
    UnknownSymbol,
)
from sources.alpha_vantage import AlphaVantageSource
from tests.sources.replies import days, listed, recorded
from tests.sources.stand_in import Answer, StandIn

KEY = "CANARYKEY0123456"
END = date(2024, 3, 1)
SINCE = date(2024, 1, 1)


@pytest.fixture
def server(monkeypatch) -> Iterator[StandIn]:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", KEY)
    with StandIn() as stand_in:
        yield stand_in


def source(server: StandIn, **options) -> AlphaVantageSource:
    options = {"seconds_between": 0.0, "waits": (0.0, 0.0, 0.0), "timeout_seconds": 2.0} | options
    return AlphaVantageSource(base_url=server.url, **options)


def daily(rows: dict[str, tuple], symbol: str = "TSLA", adjusted: bool = False) -> Answer:
    names = ["1. open", "2. high", "3. low", "4. close"]
    names += ["5. adjusted close", "6. volume", "7. dividend amount", "8. split coefficient"] if adjusted else ["5. volume"]
    meta = {"1. Information": "Daily Prices", "2. Symbol": symbol, "5. Time Zone": "US/Eastern"}
    series = {day: dict(zip(names, map(str, cells), strict=True)) for day, cells in rows.items()}
    return Answer({"Meta Data": meta, "Time Series (Daily)": series})


TWO = {"2024-01-03": (10.5, 12.0, 10.0, 11.5, 2000), "2024-01-02": (10.0, 11.0, 9.5, 10.5, 1000)}
BAD_KEY = "the parameter apikey is invalid or missing. Please claim your free API key on (https://www.alphavantage.co/support/)"
INVALID = "Invalid API call. Please retry or visit the documentation for TIME_SERIES_DAILY."
DAILY = "We have detected your API key as " + KEY + " and our standard API rate limit is 25 requests per day. Please subscribe"
BURST = (
    "Please consider spreading out your free API requests (1 request per second). Premium lifts the limit (25 requests per day)"
)
MINUTE = "Our standard API call frequency is 5 calls per minute and 500 calls per day."
PREMIUM = "Thank you for using Alpha Vantage! The outputsize=full parameter value is a premium feature of this endpoint."
DEMO = "The **demo** API key is for demo purposes only. Please claim your free API key"


def test_alpha_vantage__bars_as_traded_in_order_with_what_is_asked(server):
    server.say("/query", daily(TWO))
    got = source(server).fetch(["TSLA"], SINCE)
    assert days(got.bars) == ["2024-01-02", "2024-01-03"] and got.basis == "as_traded" and got.currency == {"TSLA": "USD"}
    assert got.bars.iloc[1][["open", "high", "low", "close", "volume"]].tolist() == [10.5, 12.0, 10.0, 11.5, 2000.0]
    assert got.actions.empty and got.rejects.empty and not got.failures and "no splits or dividends" in got.notes[0]
    asked = {"function": ["TIME_SERIES_DAILY"], "symbol": ["TSLA"], "outputsize": ["compact"], "datatype": ["json"]}
    assert server.requests == [("/query", asked | {"apikey": [KEY]})]


def test_alpha_vantage__with_a_paid_plan_splits_dividends_and_the_adjusted_ratio(server):
    rows = {
        "2022-08-26": (297.0, 302.0, 287.0, 288.0, 288.0, 57_000_000, 0.5, 1.0),
        "2022-08-25": (302.0, 303.0, 291.0, 296.0, 295.5, 53_000_000, 0.0, 3.0),
        "2022-08-24": (893.0, 900.0, 880.0, 891.0, 296.5, 19_000_000, 0.0, 1.0),
    }
    server.say("/query", daily(rows, adjusted=True))
    got = source(server, function="TIME_SERIES_DAILY_ADJUSTED").fetch(["TSLA"])
    assert listed(got.actions) == [("2022-08-25", "split", 3.0), ("2022-08-26", "dividend", 0.5)] and not got.notes
    assert got.bars["close"].tolist() == [891.0, 296.0, 288.0]
    assert got.bars["adj_ratio"].round(6).tolist() == [0.332772, 0.998311, 1.0]


@pytest.mark.parametrize(
    ("start", "end", "sizes"),
    [
        (None, None, ["full"]),
        (END - timedelta(days=100), END, ["compact"]),
        (END - timedelta(days=138), END, ["compact"]),  # 99 weekdays
        (END - timedelta(days=140), END, ["full"]),
        (date(2015, 1, 2), None, ["compact"]),  # it may be a young symbol: only what comes tells
    ],
)
def test_alpha_vantage__a_compact_answer_where_it_may_reach_back_far_enough(server, start, end, sizes):
    server.say("/query", daily(TWO))
    source(server).fetch(["TSLA"], start, end)
    assert [query["outputsize"][0] for _, query in server.requests] == sizes


def test_alpha_vantage__a_compact_answer_that_does_not_reach_back_is_made_up_for(server):
    hundred = {str(date(2024, 2, 29) - timedelta(days=n)): (1, 1, 1, 1, 1) for n in range(100)}
    server.say("/query", daily(hundred), daily(TWO))
    got = source(server).fetch(["TSLA"], date(2023, 11, 1))
    assert [query["outputsize"][0] for _, query in server.requests] == ["compact", "full"] and len(got.bars) == 2


def test_alpha_vantage__a_plan_without_full_answers_gives_the_last_hundred(server):
    server.say("/query", Answer({"Information": PREMIUM}), daily(TWO))
    got = source(server).fetch(["TSLA", "MSFT"])
    assert [query["outputsize"][0] for _, query in server.requests] == ["full", "compact", "compact"]
    assert set(got.bars["symbol"]) == {"TSLA"} and "no more than the last 100 sessions" in got.notes[1]
    assert isinstance(got.failures["MSFT"], Malformed) and "answered about 'TSLA'" in str(got.failures["MSFT"])


@pytest.mark.parametrize(
    ("symbol", "theirs"),
    [("TSCO.L", "TSCO.LON"), ("BMW.DE", "BMW.DEX"), ("SHOP.TO", "SHOP.TRT"), ("BRK-B", "BRK-B"), ("600104.SS", "600104.SHH")],
)
def test_alpha_vantage__other_exchanges_in_their_spelling(server, symbol, theirs):
    server.say("/query", daily(TWO, theirs))
    got = source(server).fetch([symbol], SINCE)
    assert server.requests[0][1]["symbol"] == [theirs] and set(got.bars["symbol"]) == {symbol}
    assert got.currency == ({symbol: "USD"} if symbol == "BRK-B" else {})  # it does not say in what London's prices are


def test_alpha_vantage__a_spelling_can_be_given_and_the_rest_is_not_asked(server):
    server.say("/query", daily(TWO, "SPX"))
    got = source(server, spelling={"^gspc": "SPX"}).fetch(["^GSPC", "^VIX", "EURUSD=X", "7203.T"], SINCE)
    assert set(got.bars["symbol"]) == {"^GSPC"} and len(server.requests) == 1
    assert {type(e) for e in got.failures.values()} == {UnknownSymbol} and len(got.failures) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (Answer({"Note": MINUTE}), RateLimited, "it says: Our standard API call frequency is 5 calls per minute"),
        (Answer({"Information": BURST}), RateLimited, "1 request per second"),
        (Answer({"Information": "Please wait."}), RateLimited, "Please wait."),
        (Answer({"Information": DAILY}), BudgetSpent, "rate limit is 25 requests per day"),
        (Answer({"Error Message": INVALID}), UnknownSymbol, "Invalid API call"),
        (Answer({"Error Message": BAD_KEY}), Blocked, "it refuses the key"),
        (Answer({"Information": DEMO}), Blocked, "it refuses the key"),
        (Answer({"Information": "This is a premium endpoint."}), Blocked, "part of a paid plan"),
        (Answer({}), UnknownSymbol, "an empty answer"),
        (daily({}), UnknownSymbol, "without a single day"),
        (Answer({"Meta Data": {}, "Time Series (1min)": {}}), Malformed, "without 'Time Series (Daily)'"),
        (Answer([1, 2]), Malformed, "without 'Time Series (Daily)'"),
        (Answer('{"Meta Da'), Malformed, "not JSON"),
        (Answer({"Time Series (Daily)": {"2024-01-02": {"1. open": "1"}}}), Malformed, "there is no high"),
        (Answer("<html>maintenance"), Blocked, "a web page instead of data"),
        (Answer("oops", status=502), SourceDown, "answered with status 502"),
        (Answer("x", cut=0), SourceDown, "the connection was cut"),
        (daily(TWO, "MSFT"), Malformed, "asked for TSLA, it answered about 'MSFT'"),
    ],
)
def test_alpha_vantage__bad_answers_are_told_apart(server, answer, kind, says):
    server.say("/query", answer)
    got = source(server).fetch(["TSLA"], SINCE)
    assert type(got.failures["TSLA"]) is kind and says in str(got.failures["TSLA"]) and got.bars.empty


def test_alpha_vantage__a_note_makes_it_wait_and_ask_again(server):
    server.say("/query", Answer({"Note": MINUTE}), Answer({"Note": MINUTE}), daily(TWO))
    got = source(server).fetch(["TSLA"], SINCE)
    assert not got.failures and len(server.requests) == 3


def test_alpha_vantage__the_day_is_over_for_all_when_it_says_so(server):
    server.say("/query", daily(TWO), Answer({"Information": DAILY}))
    got = source(server).fetch(["TSLA", "MSFT", "AAPL", "IBM"], SINCE)
    assert len(server.requests) == 2 and {s: type(e) for s, e in got.failures.items()} == dict.fromkeys(
        ("MSFT", "AAPL", "IBM"), BudgetSpent
    )


def test_alpha_vantage__no_more_than_twenty_five_requests(server):
    server.say("/query", lambda query: daily(TWO, query["symbol"][0]))
    symbols = [f"A{n:02d}" for n in range(40)]
    house = source(server)
    got = house.fetch(symbols, SINCE)
    assert len(server.requests) == 25 == got.bars["symbol"].nunique() and house.meter.left == 0
    assert {type(e) for e in got.failures.values()} == {BudgetSpent} and len(got.failures) == 15


def test_alpha_vantage__cells_that_are_no_numbers_are_rejects_and_days_outside_are_left_out(server):
    rows = dict(TWO) | {"2024-01-04": ("x", 1, 1, 1, 1), "someday": (1, 1, 1, 1, 1), "2023-12-29": (1, 1, 1, 1, 1)}
    server.say("/query", daily(rows))
    got = source(server).fetch(["TSLA"], SINCE)
    assert days(got.bars) == ["2024-01-02", "2024-01-03"]
    assert sorted(got.rejects["reason"]) == ["bad_session", "not_a_number"] and set(got.rejects["symbol"]) == {"TSLA"}


def test_alpha_vantage__nothing_readable_is_partial_and_nothing_in_the_span_is_no_session(server):
    server.say("/query", daily({"2024-01-02": ("x", 1, 1, 1, 1)}), daily(TWO))
    house = source(server)
    assert isinstance(house.fetch(["TSLA"], SINCE).failures["TSLA"], Partial)
    assert isinstance(house.fetch(["TSLA"], date(2024, 2, 28)).failures["TSLA"], NoSession)


def test_alpha_vantage__without_a_key_it_says_what_to_type(monkeypatch):
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    with pytest.raises(Blocked, match="ALPHAVANTAGE_API_KEY is not set; export ALPHAVANTAGE_API_KEY="):
        AlphaVantageSource().fetch(["TSLA"])


def test_alpha_vantage__an_unknown_function_is_refused():
    with pytest.raises(SettingError, match="TIME_SERIES_DAILY or TIME_SERIES_DAILY_ADJUSTED"):
        AlphaVantageSource(function="TIME_SERIES_INTRADAY")


def test_alpha_vantage__s19_the_key_is_in_no_error_and_no_log(server, caplog):
    with caplog.at_level(logging.DEBUG):
        for answer in (Answer({"Information": DAILY}), Answer({"Error Message": f"bad {KEY}"}), Answer(KEY, status=400)):
            server.say("/query", answer)
            house = source(server)
            error = house.fetch(["TSLA"], SINCE).failures["TSLA"]
            told = "".join(traceback.format_exception(error)) + repr(house) + house.identity() + caplog.text
            assert KEY not in told and (answer.status == 200) <= ("***" in str(error))


# --- recorded answers -----------------------------------------------------------------------------------------------


def test_alpha_vantage__recorded_tesla_with_its_split(server, shared_data):
    server.say("/query", recorded(shared_data / "recorded/alphavantage/TIME_SERIES_DAILY_ADJUSTED_TSLA_compact.json"))
    got = source(server, function="TIME_SERIES_DAILY_ADJUSTED").fetch(["TSLA"])
    assert len(got.bars) == 100 and days(got.bars)[-1] == "2022-12-21" and listed(got.actions) == [("2022-08-25", "split", 3.0)]
    before, after = got.bars.set_index("session")["close"].loc["2022-08-24":"2022-08-25"]
    assert before == 891.29 and after == 296.07


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("errors/error_message_invalid_symbol", UnknownSymbol),
        ("errors/information_25_per_day", BudgetSpent),
        ("errors/note_5_per_minute", RateLimited),
        ("TIME_SERIES_INTRADAY_MSFT_1min", Malformed),
    ],
)
def test_alpha_vantage__recorded_errors(server, shared_data, name, kind):
    server.say("/query", recorded(shared_data / f"recorded/alphavantage/{name}.json"))
    assert type(source(server).fetch(["MSFT"], SINCE).failures["MSFT"]) is kind
