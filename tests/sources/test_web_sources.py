"""What holds for every source that asks the web symbol by symbol: nothing but symbols leaves, and only for where it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from forecasting.errors import NextcloseError, SettingError, SymbolError
from sources.alpha_vantage import AlphaVantageSource
from sources.meter import Meter
from sources.nasdaq_data_link import NasdaqDataLinkSource
from sources.stooq import StooqSource
from sources.yahoo import YahooSource
from tests.sources.stand_in import Answer, StandIn

ALL: dict[str, Callable[..., Any]] = {
    "alpha_vantage": AlphaVantageSource,
    "nasdaq_data_link": NasdaqDataLinkSource,
    "stooq": StooqSource,
    "yahoo": YahooSource,
}
START, END = date(2014, 6, 1), date(2014, 6, 30)
HOSTILE = ["AAPL?range=max", "AAPL#x", "../../../v1/other", "..%2f..", "%2e%2e", "a/b", "a\\b", "A\x00B", "A" * 4000, "C\r\nON"]
HOSTILE += ["", ".", "..", "A B", "'; DROP TABLE forecasts;--", "=1+1", "@SUM(A1)", "AAPL;x", "AAPL,MSFT", "\u202eLPAA", "a@b"]


@pytest.fixture
def server(monkeypatch) -> Iterator[StandIn]:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "KEY0")
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", "KEY0")
    with StandIn() as stand_in:
        yield stand_in


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("symbol", HOSTILE, ids=range(len(HOSTILE)))
def test_web_sources__s10_what_is_no_symbol_is_never_asked_for(server, name, symbol):
    with pytest.raises(SymbolError):
        ALL[name](base_url=server.url).fetch(["AAPL", symbol], START, END)
    assert not server.requests


@pytest.mark.parametrize("name", ALL)
def test_web_sources__s10_odd_symbols_stay_in_their_place(server, name):
    """M&M.NS adds no parameter, ^GSPC and EURUSD=X change no address."""
    odd = ["^GSPC", "M&M.NS", "EURUSD=X", "BRK-B", "BRK.B", "NA", "TRUE", "1E5", "0700.HK"]
    source = ALL[name](base_url=server.url, waits=(), seconds_between=0.0)
    got = source.fetch(odd, START, END)
    assert got.failures.keys() == set(odd)  # the stand-in knows nobody
    known = {"function", "symbol", "outputsize", "datatype", "apikey", "order", "start_date", "end_date", "api_key"}
    known |= {"s", "i", "d1", "d2", "range", "interval", "period1", "period2", "includePrePost", "events"}
    for path, query in server.requests:
        assert query.keys() <= known and all(len(values) == 1 for values in query.values())
        assert path.startswith(
            ("/query", "/api/v3/datasets/WIKI/", "/q/d/l/", "/v8/finance/chart/", "/v1/test/", "/consent", "/")
        )
        assert ".." not in path and path.count("/") <= 5


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "base_url",
    [
        "http://169.254.169.254",
        "http://10.0.0.5",
        "http://prices.example",
        "ftp://127.0.0.9",
        "file:///etc",
        "http://[fd00::1]",
    ],
)
def test_web_sources__s11_a_stand_in_is_on_this_machine(server, name, base_url):
    with pytest.raises(SettingError, match="base_url"):
        ALL[name](base_url=base_url).fetch(["AAPL"], START, END)


@pytest.mark.parametrize("name", ["alpha_vantage", "nasdaq_data_link", "stooq"])
@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:1/", "https://169.254.169.254/latest", "https://evil.test/", "file:///etc/passwd"]
)
def test_web_sources__s11_no_redirect_to_other_hosts(server, name, to):
    server.answer_to = lambda path, query: Answer("", status=302, headers={"Location": to})
    error = ALL[name](base_url=server.url, waits=()).fetch(["AAPL"], START, END).failures["AAPL"]
    assert error.kind == "blocked" and len(server.requests) == 1


@pytest.mark.parametrize("name", ALL)
def test_web_sources__cost_meter_and_lineage(server, name):
    source = ALL[name](base_url=server.url)
    assert source.name == name and source.symbols() is None and source.identity().startswith(name)
    assert type(source).cost.requests_per_symbol >= 1 and source.meter.cost == source.cost and "KEY0" not in source.identity()
    source.meter = Meter(source.cost, spent=10**9)  # as a run puts it there, with what earlier runs have spent
    if source.cost.per_day is not None:
        failures = source.fetch(["AAPL"], START, END).failures
        assert failures["AAPL"].kind == "budget_spent" and not server.requests


@pytest.mark.parametrize("name", ALL)
def test_web_sources__one_unreachable_source_is_a_failure_for_each_symbol(monkeypatch, name):
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "KEY0")
    try:
        got = ALL[name](base_url="http://127.0.0.1:9", waits=(), seconds_between=0.0).fetch(
            ["AAPL", "MSFT", "TSLA", "IBM"], START, END
        )
    except NextcloseError as error:
        pytest.fail(f"raised {error!r}")
    assert {e.kind for e in got.failures.values()} == {"down"} and len(got.failures) == 4
