"""Yahoo when it fails: what each way of failing costs in requests, what it means for the others, and what is never asked."""

from __future__ import annotations

import json
import logging
from collections import Counter
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
    SourceDown,
    UnknownSymbol,
)
from sources.yahoo import YahooSource
from sources.yahoo_session import YahooSession
from tests.sources.replies import days, listed, recorded
from tests.sources.stand_in import StandIn, redirect
from tests.sources.yahoo_stand_in import (
    CHART,
    FAILURES,
    Answer,
    YahooStandIn,
    chart,
    rate_limited,
    server_error,
    slow,
    unanswered,
    unknown,
    web_page,
    without_prices,
)

SINCE = date(2024, 1, 1)
TWO = [("2024-01-02", 25.0), ("2024-01-03", 26.0)]
SIX = [(f"2024-01-{day:02d}", 10.0 + day) for day in (2, 3, 4, 5, 8, 9)]


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with YahooStandIn() as server:
        yield server


def source(yahoo: YahooStandIn, **options) -> YahooSource:
    return YahooSource(base_url=yahoo.url, **({"timeout_seconds": 2.0, "waits": (0.0, 0.0, 0.0)} | options))


# --- every symbol ends with bars or with one reason -----------------------------------------------------------------

MEANT = {
    "429": RateLimited,
    "html": Blocked,
    "404": UnknownSymbol,
    "empty": Partial,
    "malformed": Malformed,
    "500": SourceDown,
    "cut": SourceDown,
    "unanswered": SourceDown,
    "partial": None,  # bars, fewer than there should be: the calendar tells
    "null": None,  # bars, and the last one set aside
}


@pytest.mark.slow(10)
@pytest.mark.parametrize("seed", [1, 2])
def test_yahoo__five_hundred_symbols_with_five_percent_of_each_failure(yahoo, seed):
    symbols = [f"S{n:03d}" for n in range(500)]
    for symbol in symbols:
        yahoo.say(symbol, chart(SIX, symbol=symbol))
    yahoo.fail_at_random(0.05, seed=seed)
    house = source(yahoo)
    got = house.fetch(symbols, SINCE)
    check(got, symbols)
    counted = Counter(type(error) for error in got.failures.values())
    assert got.bars["symbol"].nunique() > 200 and counted.keys() == {Blocked, UnknownSymbol, Partial, Malformed, SourceDown}
    # two requests a symbol and one more for each rate limit; curl repeats a request whose old connection was closed
    again = yahoo.failed["429"] + yahoo.failed["unanswered"]
    assert len(yahoo.requests) <= 2 * len(symbols) + again + 4 and house.meter.requests <= len(yahoo.requests)
    print(
        f"\n{got.bars['symbol'].nunique()} of 500 symbols with bars, {len(got.failures)} explained "
        f"({', '.join(f'{kind.kind} {n}' for kind, n in sorted(counted.items(), key=str))}), "
        f"{sum(yahoo.failed.values())} answers failed, {len(yahoo.requests)} requests"
    )


@pytest.mark.parametrize("way", FAILURES)
def test_yahoo__forty_symbols_with_a_fifth_of_one_failure(yahoo, way):
    symbols = [f"S{n:02d}" for n in range(40)]
    for symbol in symbols:
        yahoo.say(symbol, chart(SIX, symbol=symbol))
    yahoo.fail_at_random(0.2, [way], seed=3)
    got = source(yahoo).fetch(symbols, SINCE)
    check(got, symbols)
    assert yahoo.failed[way] > 0 and not any("not asked" in str(error) for error in got.failures.values())
    kinds = {type(error) for error in got.failures.values()}
    if way == "429":
        assert not got.failures  # each was asked again
    elif way == "unanswered":
        assert kinds <= {SourceDown}
    else:
        assert kinds == ({MEANT[way]} if MEANT[way] else set())
    if way == "null":
        assert set(got.rejects["reason"]) == {"null_bar"} and set(days(got.rejects)) == {"2024-01-09"}
    if way == "partial":
        assert set(got.bars.groupby("symbol").size()) == {3, 6}


def check(got, symbols: list[str]) -> None:
    """Every symbol has bars or one failure of its own, and no reason is hidden in the bars."""
    with_bars = set(got.bars["symbol"])
    assert with_bars | got.failures.keys() == set(symbols) and not with_bars & got.failures.keys()
    assert all(error.symbol == symbol and error.detail for symbol, error in got.failures.items())
    assert got.bars["close"].between(12.0, 19.0).all() and not got.bars.duplicated(["symbol", "session"]).any()


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(rate_limited(), 4), (unknown(), 1), (server_error(), 1), (web_page(), 1), (Answer("no", status=403), 1)],
    ids=["429", "404", "500", "HTML", "403"],
)
def test_yahoo__a_refused_request_is_not_repeated_with_other_cookies(yahoo, answer, asked):
    """yfinance asks ten times for each refusal; here a rate limit is asked again after a wait, and nothing else is."""
    yahoo.say("X", answer)
    house = source(yahoo)
    house.fetch(["X"], SINCE)
    others = len(yahoo.requests) - yahoo.asked("X")
    assert yahoo.asked("X") == asked and others <= 3 and house.meter.requests == len(yahoo.requests)


def test_yahoo__a_stale_crumb_is_tried_with_another_once(yahoo):
    yahoo.say("X", Answer("Invalid Crumb", status=401), chart(TWO))
    assert not source(yahoo).fetch(["X"], SINCE).failures
    yahoo.say("Y", Answer("Invalid Crumb", status=401))
    assert isinstance(source(yahoo).fetch(["Y"], SINCE).failures["Y"], Blocked) and yahoo.asked("Y") == 2


def test_yahoo__cookies_are_asked_for_once_a_run(yahoo):
    symbols = [f"S{n}" for n in range(10)]
    for symbol in symbols:
        yahoo.say(symbol, chart(TWO, symbol=symbol))
    source(yahoo).fetch(symbols, SINCE)
    assert len(yahoo.requests) <= 2 * len(symbols) + 3


def test_yahoo__a_budget_of_our_own_is_kept(yahoo):
    symbols = [f"BUDGET{n}" for n in range(20)]  # in no other test: yfinance keeps time zones for the whole process
    for symbol in symbols:
        yahoo.say(symbol, chart(TWO, symbol=symbol))
    house = source(yahoo, per_day=12)
    got = house.fetch(symbols, SINCE)
    assert (
        len(yahoo.requests) == 12 and house.meter.left == 0 and 3 <= got.bars["symbol"].nunique() <= 10
    )  # time zones are kept between tests
    assert {type(error) for error in got.failures.values()} == {BudgetSpent}
    assert "the 12 requests that it allows in 24 hours are used up" in str(got.failures["BUDGET5"])


def test_yahoo__waits_as_long_as_it_is_told(yahoo):
    busy = Answer("Too Many Requests", status=429, kind="text/html", headers={"Retry-After": "3600"})
    yahoo.say("X", busy)
    yahoo.say("Y", chart(TWO))
    got = source(yahoo).fetch(["X", "Y"], SINCE)
    assert yahoo.asked("X") == 1 and yahoo.asked("Y") == 0 and got.failures["X"].retry_after == 3600.0


def test_yahoo__after_two_refusals_or_three_failures_nobody_else_is_asked(yahoo):
    for answer, kind, asked in ((web_page(), Blocked, 2), (server_error(), SourceDown, 3), (unanswered(), SourceDown, 3)):
        for symbol in "ABCDE":
            yahoo.say(symbol, answer)
        got = source(yahoo).fetch(list("ABCDE"), SINCE)
        assert {type(error) for error in got.failures.values()} == {kind} and len(got.failures) == 5
        assert ["not asked" in str(got.failures[s]) for s in "ABCDE"] == [n >= asked for n in range(5)]


def test_yahoo__a_cut_connection_is_not_a_dead_line(yahoo):
    yahoo.say("X", unanswered())
    yahoo.say("Y", slow())
    yahoo.say("Z", chart(TWO))
    got = source(yahoo, timeout_seconds=0.3).fetch(["X", "Y", "Z"], SINCE)
    assert set(got.bars["symbol"]) == {"Z"} and {type(e) for e in got.failures.values()} == {SourceDown}


# --- what is never asked (S10, S11) ---------------------------------------------------------------------------------


def test_yahoo__no_redirect_is_followed(yahoo):
    """curl_cffi once followed one into the inner network (CVE-2026-33752)."""
    with StandIn() as inside:
        for status in (301, 302, 307, 308):
            yahoo.say("X", redirect(f"{inside.url}/latest/meta-data", status))
            error = source(yahoo).fetch(["X"], SINCE).failures["X"]
            assert isinstance(error, Blocked) and f"redirected elsewhere with status {status}" in str(error)
        assert not inside.requests


@pytest.mark.parametrize(
    "url",
    [
        "http://query1.finance.yahoo.com" + CHART + "AAPL",
        "https://169.254.169.254/latest/meta-data",
        "https://yahoo.com.evil.test/",
        "https://evil.test/?.yahoo.com",
        "file:///etc/passwd",
    ],
)
def test_yahoo__the_session_asks_nobody_but_yahoo(yahoo, url):
    with pytest.raises(Exception, match="is not Yahoo"):
        YahooSession(yahoo.url).get(url)
    assert not yahoo.requests


def test_yahoo__s24_what_it_says_is_one_printable_line(yahoo):
    error = {"code": "Not Found", "description": "no\r\nsuch \x1b[31msymbol\x1b[0m"}
    yahoo.say("X", Answer(json.dumps({"chart": {"result": None, "error": error}}), status=404))
    assert str(source(yahoo).fetch(["X"], SINCE).failures["X"]).isprintable()


def test_yahoo__s19_nothing_of_a_request_is_in_the_log(yahoo, caplog):
    yahoo.crumb = Answer("canary.crumb", kind="text/plain")
    yahoo.say("X", chart(TWO), server_error())
    with caplog.at_level(logging.DEBUG):
        house = source(yahoo)
        house.fetch(["X"], SINCE), house.fetch(["X"], SINCE)
    assert "canary" not in caplog.text


# --- bars -----------------------------------------------------------------------------------------------------------


def test_yahoo__adjusted_close_over_close_as_delivered(yahoo):
    answer = json.loads(chart(TWO, dividends={"2024-01-03": 0.5}).body)
    answer["chart"]["result"][0]["indicators"]["adjclose"] = [{"adjclose": [24.5, 26.0]}]
    yahoo.say("X", Answer(answer))
    got = source(yahoo).fetch(["X"], SINCE)
    assert got.bars["adj_ratio"].tolist() == [0.98, 1.0] and got.bars.columns[-1] == "adj_ratio"


def test_yahoo__an_action_of_a_day_without_a_price_counts_and_its_row_is_accounted_for(yahoo):
    rows = [*TWO, ("2024-01-04", None, None, None, None, None), ("2024-01-05", 27.0)]
    yahoo.say("X", chart(rows, dividends={"2024-01-04": 0.5}))
    got = source(yahoo).fetch(["X"], SINCE)
    assert listed(got.actions) == [("2024-01-04", "dividend", 0.5)] and len(got.bars) + len(got.rejects) == 4
    assert list(zip(days(got.rejects), got.rejects["reason"], strict=True)) == [("2024-01-04", "action_without_bar")]


def test_yahoo__nothing_but_null_bars_is_partial(yahoo):
    yahoo.say("X", chart([("2024-01-04", None, None, None, None, None)]))
    got = source(yahoo).fetch(["X"], SINCE)
    assert isinstance(got.failures["X"], Partial) and len(got.rejects) == 1


@pytest.mark.parametrize(
    ("day", "zone", "hour"),
    [
        ("2024-04-07", "America/Santiago", 9),  # the hour before it comes twice
        ("2024-01-04", "America/Sao_Paulo", 18),  # stamped at the close
        ("2024-01-04", "Pacific/Auckland", 10),  # the day before in UTC
        ("2024-01-04", "Europe/Berlin", 0),
    ],
)
def test_yahoo__the_exchanges_date_whatever_its_clock(yahoo, day, zone, hour):
    yahoo.say("X", chart([(day + "T00:00:01" if hour == 0 else day, 25.0)], zone=zone, hour=hour))
    assert days(source(yahoo).fetch(["X"], date(2023, 1, 1)).bars) == [day]


@pytest.mark.parametrize(
    ("day", "before", "zone"),
    [
        ("2024-09-08", "2024-09-06", "America/Santiago"),
        ("2023-04-28", "2023-04-27", "Africa/Cairo"),
        ("2024-03-10", "2024-03-08", "America/Havana"),
    ],
)
@pytest.mark.parametrize("days_before", [0, 1])
def test_yahoo__a_day_without_a_midnight(yahoo, day, before, zone, days_before):
    """yfinance cannot begin with one; then it is asked for a week more, which is left out again."""
    symbol = f"DST{days_before}{zone[-4:].upper()}"
    first, both = chart([(day, 25.0)], zone=zone), chart([(before, 24.0), (day, 25.0)], zone=zone)
    yahoo.say(symbol, *[first] * (1 + days_before), both)  # the time zone; the prices, where it comes to that; once more
    start = date.fromisoformat(day) - timedelta(days=days_before)
    got = source(yahoo).fetch([symbol], start)
    assert set(days(got.bars)) - {before} == {day} and not got.failures and yahoo.asked(symbol) == 2 + days_before


def test_yahoo__a_missing_field_is_not_a_delisted_symbol(yahoo):
    for field in ("exchangeTimezoneName", "currency", "instrumentType"):
        answer = json.loads(chart(TWO, symbol=f"NO-{field[:3].upper()}").body)
        del answer["chart"]["result"][0]["meta"][field]
        yahoo.say("X" + field[:3].upper(), Answer(answer))
        error = source(yahoo).fetch(["X" + field[:3].upper()], SINCE).failures.get("X" + field[:3].upper())
        assert not isinstance(error, UnknownSymbol)


def test_yahoo__a_span_of_few_days_without_a_session(yahoo):
    yahoo.say("X", chart([("2020-01-02", 1.0)]))
    start = date.today() - timedelta(days=3)
    assert isinstance(source(yahoo).fetch(["X"], start).failures["X"], NoSession)


def test_yahoo__bars_without_open_high_and_low(yahoo):
    yahoo.say("X", without_prices(chart(TWO)))
    got = source(yahoo).fetch(["X"], SINCE)
    assert isinstance(got.failures.get("X"), Malformed) or got.bars["open"].isna().all()


# --- every recorded answer ------------------------------------------------------------------------------------------


def test_yahoo__every_recorded_answer_gives_bars_or_a_reason(yahoo, shared_data):
    """Through the real client, under its own symbol; the figure is how many of them do."""
    folder = shared_data / "recorded/yahoo"
    told = {}
    for path in [*sorted(folder.glob("*.json")), *sorted((folder / "errors").glob("*.json"))]:
        answer = recorded(path)
        symbol = symbol_of(answer)
        yahoo.say(symbol, answer)
        got = source(yahoo).fetch([symbol], None)
        assert (symbol in set(got.bars["symbol"])) != (symbol in got.failures), path.name
        told[path.name] = type(got.failures[symbol]).__name__ if symbol in got.failures else len(got.bars)
        if symbol not in got.failures:
            assert len(got.bars) + len(got.rejects) == rows_in(answer), path.name
    print("\n" + "\n".join(f"{name}: {what}" for name, what in told.items()))
    assert len(told) == 23 and {name: what for name, what in told.items() if isinstance(what, str)} == {
        "404-not-found.json": "UnknownSymbol",
        "429-crumb-endpoint.json": "RateLimited",
        "429-edge.json": "RateLimited",
        "aapl_chart_5d_cl_adjcl.json": "Malformed",  # closes alone
        "aapl_chart_no_results.json": "Partial",
        "chart-AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m.json": "Partial",  # a weekend
        "chart-CAPIO.ST-empty-quote.json": "Partial",
        "chart-notimestamp-quotes-length.fake.json": "Malformed",
    }


def symbol_of(answer: Answer) -> str:
    try:
        return json.loads(answer.body)["chart"]["result"][0]["meta"]["symbol"]
    except (ValueError, TypeError, KeyError, IndexError):
        return "X"


def rows_in(answer: Answer) -> int:
    return len(json.loads(answer.body)["chart"]["result"][0]["timestamp"])
