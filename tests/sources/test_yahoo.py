"""Yahoo through the real yfinance and curl_cffi, against a server on loopback that answers as Yahoo does."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import yfinance.exceptions

from forecasting.errors import (
    Blocked,
    Malformed,
    NoSession,
    Partial,
    RateLimited,
    SourceDown,
    SymbolError,
    TimedOut,
    UnknownSymbol,
)
from sources.yahoo import YahooSource
from sources.yahoo_errors import MEANING, translate
from tasks.timeouts import time_limit
from tests.sources.replies import days, recorded
from tests.sources.yahoo_stand_in import (
    Answer,
    YahooStandIn,
    chart,
    empty,
    rate_limited,
    server_error,
    unknown,
    web_page,
)

SINCE = date(2024, 1, 1)
TWO = [("2024-01-02", 25.0), ("2024-01-03", 26.0)]


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with YahooStandIn() as server:
        yield server


def ask(yahoo: YahooStandIn, *symbols: str, start: date | None = SINCE, end: date | None = None, **options):
    options = {"timeout_seconds": 2.0, "waits": (0.0, 0.0, 0.0)} | options
    return YahooSource(base_url=yahoo.url, **options).fetch(symbols, start, end)


# --- good answers ---------------------------------------------------------------------------------------------------


def test_yahoo__bars_with_currency_and_exchange_dates(yahoo):
    yahoo.say(
        "AAPL", chart([("2024-01-02", 10.0, 11.0, 9.5, 10.5, 1000), ("2024-01-03", 10.5, 12.0, 10.0, 11.5, 11_000_000_000)])
    )
    yahoo.say("7203.T", chart([("2024-01-04", 2600.0)], zone="Asia/Tokyo", currency="JPY"))
    yahoo.say("SAP.DE", chart([("2024-01-02T00:00:01", 140.0)], zone="Europe/Berlin", currency="EUR"))
    got = ask(yahoo, "AAPL", "7203.T", "SAP.DE")
    assert got.bars[got.bars["symbol"] == "AAPL"].iloc[1, 2:].tolist() == [10.5, 12.0, 10.0, 11.5, 11e9, 1.0]
    assert dict(zip(got.bars["symbol"], days(got.bars), strict=True)) == {
        "7203.T": "2024-01-04",
        "AAPL": "2024-01-03",
        "SAP.DE": "2024-01-02",
    }
    assert got.currency == {"AAPL": "USD", "7203.T": "JPY", "SAP.DE": "EUR"} and got.basis == "as_traded" and not got.failures
    assert str(got.bars["session"].dtype) == "datetime64[us]"


def test_yahoo__prices_volumes_and_dividends_before_a_split_are_as_traded(yahoo):
    rows = [("2024-01-02", 25.0), ("2024-01-03", 26.0), ("2024-01-04", 26.5), ("2024-01-05", 27.0)]
    yahoo.say("AAPL", chart(rows, splits={"2024-01-04": 4}, dividends={"2024-01-03": 0.205, "2024-01-05": 0.21}))
    got = ask(yahoo, "AAPL")
    assert got.bars["close"].tolist() == [100.0, 104.0, 26.5, 27.0] and got.bars["volume"].tolist() == [
        250.0,
        250.0,
        1000.0,
        1000.0,
    ]
    assert list(zip(days(got.actions), got.actions["kind"], got.actions["value"], strict=True)) == [
        ("2024-01-03", "dividend", 0.82),
        ("2024-01-04", "split", 4.0),
        ("2024-01-05", "dividend", 0.21),
    ]


def test_yahoo__a_split_after_the_span_still_counts(yahoo):
    yahoo.say("AAPL", chart([*TWO, ("2024-06-10", 30.0)], splits={"2024-06-10": 4}))
    got = ask(yahoo, "AAPL", end=date(2024, 1, 3))
    assert got.bars["close"].tolist() == [100.0, 104.0] and got.actions.empty


def test_yahoo__single_precision_noise_is_rounded_away(yahoo):
    yahoo.say("TSLA", chart([("2024-01-02", 17.450000762939453), ("2024-01-03", 1234.5600585937500)]))
    assert ask(yahoo, "TSLA").bars["close"].tolist() == [17.45, 1234.56]


def test_yahoo__null_last_bar_is_set_aside_and_said(yahoo):
    yahoo.say("FBIIX", chart([*TWO, ("2024-01-04", None, None, None, None, None)]))
    got = ask(yahoo, "FBIIX")
    assert days(got.bars) == ["2024-01-02", "2024-01-03"]
    assert got.rejects["reason"].tolist() == ["null_bar"] and days(got.rejects) == ["2024-01-04"]
    assert got.notes == ("FBIIX: Yahoo names the session but gives no price for 2024-01-04",)


def test_yahoo__live_row_beside_the_last_bar_becomes_one(yahoo):
    yahoo.say("AAPL", chart([*TWO, ("2024-01-03T16:00:01", 26.5)]))
    got = ask(yahoo, "AAPL")
    assert days(got.bars) == ["2024-01-02", "2024-01-03"] and got.bars["close"].tolist() == [25.0, 26.5]


def test_yahoo__odd_symbols_arrive_whole(yahoo):
    for symbol in ("^GSPC", "M&M.NS", "EURUSD=X", "BRK-B", "NA"):
        yahoo.say(symbol, chart(TWO, symbol=symbol))
    got = ask(yahoo, "^GSPC", "M&M.NS", "EURUSD=X", "BRK-B", "NA")
    assert not got.failures and set(got.bars["symbol"]) == {"^GSPC", "M&M.NS", "EURUSD=X", "BRK-B", "NA"}


@pytest.mark.parametrize("symbol", ["AAPL?range=max", "../v1/other", "AAPL/x", "A B"])
def test_yahoo__nothing_but_symbols_leaves(yahoo, symbol):
    with pytest.raises(SymbolError):
        ask(yahoo, symbol)
    assert not yahoo.requests


def test_yahoo__an_isin_is_not_searched_for(yahoo):
    assert isinstance(ask(yahoo, "US0378331005").failures["US0378331005"], UnknownSymbol) and not yahoo.requests


# --- bad answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (unknown(), UnknownSymbol, "yahoo X: answered 404: No data found, symbol may be delisted; check the spelling"),
        (rate_limited(), RateLimited, "yahoo X: answered 429: too many requests; wait some hours"),
        (server_error(), SourceDown, "yahoo X: answered with status 500; check the network"),
        (Answer("<html>Will be right back", kind="text/html"), SourceDown, "will be right back"),
        (web_page(), Blocked, "a web page instead of prices"),
        (Answer("no", status=403, kind="text/plain"), Blocked, "refused with status 403"),
        (Answer('{"chart": {"resu'), Malformed, "cannot be read (JSONDecodeError"),
        (Answer({"chart": {"result": [{"meta": {}}], "error": None}}), Malformed, "cannot be read"),
        (empty(), Partial, "an answer without a single bar"),
    ],
    ids=["404", "429", "500", "maintenance", "HTML", "403", "cut", "no-meta", "empty"],
)
def test_yahoo__bad_answers_are_told_apart(yahoo, answer, kind, says):
    yahoo.say("X", answer)
    got = ask(yahoo, "X")
    assert type(got.failures["X"]) is kind and says in str(got.failures["X"]) and got.bars.empty
    assert got.failures["X"].__cause__ is not None


def test_yahoo__no_bar_in_a_few_days_is_no_session(yahoo):
    old = chart([("2020-01-02", 1.0)])
    yahoo.say("X", old)
    recent = date.today() - timedelta(days=3)
    assert isinstance(ask(yahoo, "X", start=recent).failures["X"], NoSession)


def test_yahoo__a_slow_server_is_not_waited_for(yahoo):
    yahoo.say("X", Answer({}, wait=6.0))
    began = time.monotonic()
    got = YahooSource(base_url=yahoo.url, timeout_seconds=0.4).fetch(["X"], SINCE)
    assert isinstance(got.failures["X"], SourceDown) and "no answer in time" in str(got.failures["X"])
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize(
    "failing", [server_error(), web_page(), unknown(), empty(), rate_limited()], ids=["500", "HTML", "404", "empty", "429"]
)
def test_yahoo__a_retry_in_the_same_process_asks_again(yahoo, failing):
    yahoo.say("X", failing)
    assert "X" in ask(yahoo, "X").failures
    asked = yahoo.asked("X")
    yahoo.say("X", chart(TWO))
    got = ask(yahoo, "X")
    assert not got.failures and len(got.bars) == 2 and yahoo.asked("X") > asked


def test_yahoo__one_bad_symbol_leaves_the_others_alone(yahoo):
    yahoo.say("AAPL", chart(TWO))
    yahoo.say("BAD", server_error())
    yahoo.say("MSFT", chart(TWO))
    got = ask(yahoo, "AAPL", "BAD", "GONE", "MSFT")
    assert set(got.bars["symbol"]) == {"AAPL", "MSFT"}
    assert {s: type(e) for s, e in got.failures.items()} == {"BAD": SourceDown, "GONE": UnknownSymbol}


def test_yahoo__a_rate_limit_ends_the_asking(yahoo):
    yahoo.say("AAPL", chart(TWO))
    yahoo.say("X", rate_limited())
    yahoo.say("MSFT", chart(TWO))
    got = ask(yahoo, "AAPL", "X", "MSFT", "TSLA")
    assert set(got.bars["symbol"]) == {"AAPL"} and yahoo.asked("MSFT") == yahoo.asked("TSLA") == 0
    assert all(type(got.failures[s]) is RateLimited for s in ("X", "MSFT", "TSLA"))
    assert "not asked; X before it: answered 429" in str(got.failures["TSLA"])


def test_yahoo__a_refused_crumb_is_not_kept(yahoo):
    yahoo.crumb = Answer("Too Many Requests", status=429, kind="text/plain")
    yahoo.say("A", chart(TWO))
    yahoo.say("B", chart(TWO))
    assert not ask(yahoo, "A", "B").failures
    assert not any("crumb" in query for _, query in yahoo.requests)


def test_yahoo__without_a_network_it_ends_at_once():
    began = time.monotonic()
    got = YahooSource(base_url="http://127.0.0.1:9").fetch(["AAPL", "MSFT", "TSLA"], SINCE)
    assert time.monotonic() - began < 5.0 and len(got.failures) == 3
    line = str(got.failures["AAPL"])
    assert line.startswith("yahoo AAPL: no connection (") and "check the network and try again" in line and "\n" not in line


def test_yahoo__leaves_the_home_alone(yahoo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yahoo.say("AAPL", chart(TWO))
    assert not ask(yahoo, "AAPL").failures and not list(tmp_path.iterdir())


def test_yahoo__a_session_can_be_handed_in(yahoo):
    from sources.yahoo_session import YahooSession

    made = []

    def factory():
        made.append(YahooSession(yahoo.url))
        return made[-1]

    yahoo.say("AAPL", chart(TWO))
    assert not YahooSource(session_factory=factory).fetch(["AAPL"], SINCE).failures and len(made) == 1


def test_yahoo_errors__every_error_of_yfinance_has_a_meaning():
    theirs = [c for _, c in inspect.getmembers(yfinance.exceptions, inspect.isclass) if issubclass(c, Exception)]
    assert len(theirs) >= 8 and not [c.__name__ for c in theirs if c.__name__ not in MEANING]


def test_yahoo_errors__a_step_that_has_had_its_time_is_no_fault_of_yahoo():
    with pytest.raises(TimedOut, match="fetch_prices"), time_limit(0.05, "fetch_prices"), translate("AAPL", None):
        time.sleep(10)


# --- recorded answers -----------------------------------------------------------------------------------------------


def test_yahoo__recorded_tesla_of_thirteen_years(yahoo, shared_data):
    yahoo.say("TSLA", recorded(shared_data / "recorded/yahoo/historical-via-chart-dividends-TSLA-no-dividends.json"))
    got = ask(yahoo, "TSLA", start=None)
    assert (
        len(got.bars) == 3303 and days(got.bars)[0] == "2010-06-29" and days(got.bars)[-1] == "2023-08-11" and got.actions.empty
    )


def test_yahoo__recorded_microsoft_dividends(yahoo, shared_data):
    yahoo.say(
        "MSFT", recorded(shared_data / "recorded/yahoo/historical-via-chart-MSFT-dividends-2021-02-01-to-2022-01-31.csv.json")
    )
    got = ask(yahoo, "MSFT", start=date(2021, 2, 1))
    assert list(zip(days(got.actions), got.actions["value"], strict=True)) == [
        ("2021-02-17", 0.56),
        ("2021-05-19", 0.56),
        ("2021-08-18", 0.56),
        ("2021-11-17", 0.62),
    ]


def test_yahoo__recorded_apple_split_of_2020(yahoo, shared_data):
    yahoo.say("AAPL", recorded(shared_data / "recorded/yahoo/chart-AAPL-2020-08-31-to-2020-11-07.json"))
    got = ask(yahoo, "AAPL", start=date(2020, 8, 1))
    assert list(zip(days(got.actions), got.actions["kind"], got.actions["value"], strict=True)) == [
        ("2020-08-31", "split", 4.0),
        ("2020-11-06", "dividend", 0.205),
    ]


def test_yahoo__recorded_null_bar_and_empty_quote(yahoo, shared_data):
    yahoo.say("FBIIX", recorded(shared_data / "recorded/yahoo/chart-FBIIX-null-last-bar.json"))
    yahoo.say("CAPIO.ST", recorded(shared_data / "recorded/yahoo/chart-CAPIO.ST-empty-quote.json"))
    got = ask(yahoo, "FBIIX", "CAPIO.ST", start=None)
    assert got.rejects["reason"].tolist() == ["null_bar"] and (got.bars["symbol"] == "FBIIX").all() and len(got.bars)
    assert isinstance(got.failures["CAPIO.ST"], Partial)


def test_yahoo__recorded_pence_and_days_of_other_zones(yahoo, shared_data):
    for symbol in ("OCDO.L", "BTC-USD", "EURUSD=X"):
        yahoo.say(symbol, recorded(shared_data / f"recorded/yahoo/chart-{symbol}-2020-01-01-to-2020-01-03.json"))
    got = ask(yahoo, "OCDO.L", "BTC-USD", "EURUSD=X", start=date(2019, 12, 1))
    assert got.currency == {"OCDO.L": "GBp", "BTC-USD": "USD", "EURUSD=X": "USD"} and not got.failures
    assert days(got.bars[got.bars["symbol"] == "OCDO.L"])[0] in ("2020-01-01", "2020-01-02")
