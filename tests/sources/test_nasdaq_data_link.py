"""Nasdaq Data Link through the real client against a stand-in: its forms, its errors, and a database that has ended."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import date

import pytest

from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    NoBars,
    NoSession,
    RateLimited,
    SettingError,
    SourceDown,
    Stale,
    UnknownSymbol,
)
from sources.nasdaq_data_link import NasdaqDataLinkSource
from tests.sources.replies import days, listed, recorded
from tests.sources.stand_in import Answer, Query, StandIn

KEY = "canaryKey-9"
DATASET = "/api/v3/datasets/WIKI/TSLA.json"
TABLE = "/api/v3/datatables/WIKI/PRICES.json"
START, END = date(2014, 6, 1), date(2014, 6, 30)
NAMES = ["Date", "Open", "High", "Low", "Close", "Volume", "Ex-Dividend", "Split Ratio", "Adj. Open", "Adj. High", "Adj. Low"]
NAMES += ["Adj. Close", "Adj. Volume"]
# Apple's seven-for-one split of June 2014, shortened
ROWS = [
    ["2014-06-06", 649.9, 651.3, 644.5, 645.6, 12_497_800.0, 0.0, 1.0, 92.84, 93.04, 92.07, 92.23, 87_484_600.0],
    ["2014-06-09", 92.7, 93.9, 91.7, 93.7, 75_415_000.0, 0.0, 7.0, 92.7, 93.9, 91.7, 93.7, 75_415_000.0],
    ["2014-06-10", 94.7, 95.1, 93.6, 94.3, 62_777_000.0, 0.47, 1.0, 94.7, 95.1, 93.6, 94.3, 62_777_000.0],
]


@pytest.fixture
def server(monkeypatch) -> Iterator[StandIn]:
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", KEY)
    with StandIn() as stand_in:
        yield stand_in


def source(server: StandIn, **options) -> NasdaqDataLinkSource:
    options = {"seconds_between": 0.0, "waits": (0.0, 0.0, 0.0), "timeout_seconds": 2.0} | options
    return NasdaqDataLinkSource(base_url=server.url, **options)


def dataset(rows: list, code: str = "TSLA", names: list = NAMES, newest: str = "2018-03-27") -> Answer:
    said = {"dataset_code": code, "database_code": "WIKI", "newest_available_date": newest, "column_names": names, "data": rows}
    return Answer({"dataset": said})


def datatable(rows: list, cursor: str | None = None) -> Answer:
    names = ["ticker"] + [n.lower().replace(". ", "_").replace(" ", "_") for n in NAMES]
    columns = [{"name": name, "type": "double"} for name in names]
    return Answer({"datatable": {"data": rows, "columns": columns}, "meta": {"next_cursor_id": cursor}})


def refused(code: str, message: str, status: int) -> Answer:
    return Answer({"quandl_error": {"code": code, "message": message}}, status=status)


def check_apple(got) -> None:
    assert days(got.bars) == ["2014-06-06", "2014-06-09", "2014-06-10"] and got.basis == "as_traded" and not got.failures
    assert got.bars["close"].tolist() == [645.6, 93.7, 94.3] and got.bars["volume"].tolist()[0] == 12_497_800.0
    assert listed(got.actions) == [("2014-06-09", "split", 7.0), ("2014-06-10", "dividend", 0.47)]
    assert got.bars["adj_ratio"].round(5).tolist() == [0.14286, 1.0, 1.0] and got.currency == {"TSLA": "USD"}


def test_data_link__dataset_with_its_actions(server):
    server.say(DATASET, dataset(ROWS))
    check_apple(source(server).fetch(["TSLA"], START, END))
    asked = {"order": ["asc"], "start_date": ["2014-06-01"], "end_date": ["2014-06-30"], "api_key": [KEY]}
    assert server.requests == [(DATASET, asked)]


def test_data_link__datatable_page_by_page(server):
    rows = [["TSLA", *row] for row in reversed(ROWS)]
    server.say(TABLE, datatable(rows[:2], "next-2"), datatable(rows[2:]))
    house = source(server, form="datatable")
    check_apple(house.fetch(["TSLA"], START, END))
    first, second = (query for _, query in server.requests)
    assert first["ticker"] == ["TSLA"] and first["date.gte"] == ["2014-06-01"] and "qopts.cursor_id" not in first
    assert second["qopts.cursor_id"] == ["next-2"] and house.meter.requests == 2


@pytest.mark.parametrize("form", ["dataset", "datatable"])
def test_data_link__csv_export_of_both_forms(server, form):
    first = "" if form == "dataset" else "TSLA,"
    lines = [",".join(NAMES) if form == "dataset" else "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio"]
    lines[0] += "" if form == "dataset" else ",adj_open,adj_high,adj_low,adj_close,adj_volume"
    lines += [first + ",".join(map(str, row)) for row in ROWS]
    server.say(DATASET.replace("json", "csv"), Answer("\n".join(lines), kind="text/csv"))
    server.say(TABLE.replace("json", "csv"), Answer("\n".join(lines), kind="text/csv"))
    check_apple(source(server, form=form, as_csv=True).fetch(["TSLA"], START, END))


def test_data_link__symbols_in_its_spelling(server):
    server.say("/api/v3/datasets/WIKI/BRK_B.json", dataset(ROWS, "BRK_B"))
    server.say("/api/v3/datasets/WIKI/FB.json", dataset(ROWS, "FB"))
    got = source(server, spelling={"META": "FB"}).fetch(["BRK-B", "META", "^GSPC"], START, END)
    assert set(got.bars["symbol"]) == {"BRK-B", "META"} and isinstance(got.failures["^GSPC"], UnknownSymbol)
    assert len(server.requests) == 2


# --- WIKI ended -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"), [(date(2018, 3, 28), None), (date(2017, 1, 1), date(2018, 3, 28)), (None, date(2026, 1, 5))]
)
@pytest.mark.parametrize("form", ["dataset", "datatable"])
def test_data_link__a_span_past_the_end_of_wiki_is_stale_and_not_asked(server, start, end, form):
    got = source(server, form=form).fetch(["TSLA", "AAPL"], start, end)
    assert {s: type(e) for s, e in got.failures.items()} == {"TSLA": Stale, "AAPL": Stale} and not server.requests
    assert "the WIKI prices ended 2018-03-27; the span asked for goes to" in str(got.failures["TSLA"])
    assert "ask for no session after 2018-03-27" in str(got.failures["TSLA"]) and not got.failures["TSLA"].retry


def test_data_link__all_there_is_comes_with_a_note(server):
    server.say(DATASET, dataset(ROWS))
    got = source(server).fetch(["TSLA"])
    assert len(got.bars) == 3 and got.notes == ("the WIKI prices ended 2018-03-27",)


def test_data_link__another_database_is_not_frozen_but_a_dataset_may_be(server):
    server.say("/api/v3/datasets/EOD/TSLA.json", dataset([], newest="2019-06-28"), dataset(ROWS, newest="2024-01-05"))
    house = source(server, database="EOD")
    error = house.fetch(["TSLA"], date(2023, 1, 1), date(2024, 1, 1)).failures["TSLA"]
    assert isinstance(error, Stale) and "its prices ended 2019-06-28" in str(error)
    assert house.fetch(["TSLA"], START, END).failures == {}


# --- bad answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (refused("QEAx01", "We could not recognize your API key.", 400), Blocked, "QEAx01: We could not recognize"),
        (refused("QEPx05", "You have attempted to view a premium database in anonymous mode", 403), Blocked, "QEPx05"),
        (refused("QECx02", "You have submitted an incorrect Quandl code.", 404), UnknownSymbol, "QECx02"),
        (
            refused("QELx01", "You have exceeded the anonymous user limit of 50 calls per day.", 429),
            BudgetSpent,
            "50 calls per day",
        ),
        (refused("QELx04", "You have exceeded the API speed limit of 300 calls per 10 seconds.", 429), RateLimited, "QELx04"),
        (refused("QESx03", "Your parameters are wrong.", 422), Malformed, "QESx03"),
        (refused("QEXx01", "Something went wrong.", 500), SourceDown, "QEXx01"),
        (Answer("code,message\nQEAx01,We could not recognize your API key.\n", status=400), Blocked, "QEAx01"),
        (refused("QEZx99", "Something new.", 403), Blocked, "refused with status 403"),
        (Answer({"quandl_error": 7}, status=503), SourceDown, "answered with status 503"),
        (Answer("nothing", status=404), UnknownSymbol, "answered 404"),
        (Answer("busy", status=429), RateLimited, "answered 429"),
        (Answer("<html>checking your browser", status=200), Blocked, "a web page instead of data"),
        (Answer({"dataset": {"data": []}}), Malformed, "without a list of 'column_names'"),
        (Answer({"data": []}), Malformed, "without 'dataset'"),
        (Answer('{"dataset": '), Malformed, "not JSON"),
        (dataset(ROWS, "MSFT"), Malformed, "asked for TSLA, it answered about 'MSFT'"),
        (dataset(ROWS, names=["Date", "Close", *["x"] * 11]), Malformed, "no table of prices"),
        (dataset([]), NoBars, "without a single bar"),
    ],
)
def test_data_link__bad_answers_are_told_apart(server, answer, kind, says):
    server.say(DATASET, answer)
    got = source(server).fetch(["TSLA"], START, END)
    assert type(got.failures["TSLA"]) is kind and says in str(got.failures["TSLA"]) and got.bars.empty


def test_data_link__a_speed_limit_is_waited_for(server):
    server.say(DATASET, refused("QELx04", "speed limit of 300 calls per 10 seconds", 429), dataset(ROWS))
    check_apple(source(server).fetch(["TSLA"], START, END))


def test_data_link__no_row_in_a_few_days_is_no_session(server):
    server.say(DATASET, dataset([]))
    got = source(server).fetch(["TSLA"], date(2014, 6, 28), date(2014, 6, 29))
    assert isinstance(got.failures["TSLA"], NoSession)


def test_data_link__rows_that_cannot_be_read_are_rejects(server):
    short = ["2014-06-11", 1.0]
    wrong = ["2014-06-12", "n. a.", *ROWS[0][2:]]
    server.say(DATASET, dataset([*ROWS, short, wrong]))
    got = source(server).fetch(["TSLA"], START, END)
    assert len(got.bars) == 3 and len(got.rejects) == 2 and set(got.rejects["symbol"]) == {"TSLA"}
    assert "not_a_number" in set(got.rejects["reason"])


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        (lambda query: datatable([], "again"), "lead back to a page before"),
        (lambda query: datatable([], query.get("qopts.cursor_id", ["x"])[0] + "x"), "more than 50 pages"),
    ],
)
def test_data_link__pages_without_an_end_are_left(server, pages, says):
    server.say(TABLE, pages)
    house = source(server, form="datatable")
    error = house.fetch(["TSLA"], START, END).failures["TSLA"]
    assert isinstance(error, Malformed) and says in str(error) and house.meter.requests <= 50


def test_data_link__pages_that_change_their_columns(server):
    def page(query: Query) -> Answer:
        return Answer({"datatable": {"data": [], "columns": [{"name": str(len(query))}]}, "meta": {"next_cursor_id": "2"}})

    server.say(TABLE, page)
    error = source(server, form="datatable").fetch(["TSLA"], START, END).failures["TSLA"]
    assert isinstance(error, Malformed) and "different columns" in str(error)


def test_data_link__without_a_key_fifty_a_day(server, monkeypatch):
    monkeypatch.delenv("NASDAQ_DATA_LINK_API_KEY")
    server.say(DATASET, dataset(ROWS))
    house = source(server)
    house.fetch(["TSLA"], START, END)
    assert house.meter.left == 49 and "api_key" not in server.requests[0][1]
    monkeypatch.setenv("QUANDL_API_KEY", KEY)
    house = source(server)
    house.fetch(["TSLA"], START, END)
    assert house.meter.left is None and server.requests[1][1]["api_key"] == [KEY]


@pytest.mark.parametrize("option", [{"form": "table"}, {"database": "WIKI/../x"}, {"table": "a b"}])
def test_data_link__options_that_are_none_are_refused(option):
    with pytest.raises(SettingError, match="nasdaq_data_link."):
        NasdaqDataLinkSource(**option)


def test_data_link__s19_the_key_is_in_no_error(server):
    server.say(DATASET, refused("QEAx01", f"We could not recognize your API key: {KEY}", 400))
    house = source(server)
    error = house.fetch(["TSLA"], START, END).failures["TSLA"]
    assert KEY not in "".join(traceback.format_exception(error)) + repr(house) + house.identity() and "***" in str(error)


# --- recorded answers -----------------------------------------------------------------------------------------------


def test_data_link__recorded_dataset(server, shared_data):
    server.say(DATASET, recorded(shared_data / "recorded/nasdaq_data_link/dataset_WIKI_TSLA_rows1.json"))
    got = source(server).fetch(["TSLA"], date(2018, 3, 1), date(2018, 3, 27))
    assert days(got.bars) == ["2018-03-27"] and got.bars["close"].tolist() == [279.18] and got.actions.empty


def test_data_link__recorded_datatable_with_and_without_rows(server, shared_data):
    folder = shared_data / "recorded/nasdaq_data_link"
    server.say(
        TABLE, recorded(folder / "datatable_ticker-AAPL_date-2017-11-22.json"), recorded(folder / "datatable_no_data.json")
    )
    house, day = source(server, form="datatable"), date(2017, 11, 22)
    assert house.fetch(["AAPL"], day, day).bars["close"].tolist() == [174.96]
    assert isinstance(house.fetch(["AAPL"], day, day).failures["AAPL"], NoSession)


def test_data_link__recorded_refusal_of_a_premium_database(server, shared_data):
    answer = recorded(shared_data / "recorded/nasdaq_data_link/errors/QEPx05.json")
    answer.status = 403
    server.say(DATASET, answer)
    error = source(server).fetch(["TSLA"], START, END).failures["TSLA"]
    assert type(error) is Blocked and "QEPx05: You have attempted to view a premium database" in str(error)


def test_data_link__recorded_csv_of_apple_with_its_split(server, shared_data):
    lines = (shared_data / "recorded/nasdaq_data_link/WIKI_PRICES_2014_sample.csv").read_text().splitlines()
    apple = [lines[0], *(line for line in lines if line.startswith("AAPL,"))]
    server.say(TABLE.replace("json", "csv"), Answer("\n".join(apple), kind="text/csv"))
    got = source(server, form="datatable", as_csv=True).fetch(["AAPL"], date(2014, 1, 1), date(2014, 12, 31))
    assert len(got.bars) + len(got.rejects) == len(apple) - 1 and ("2014-06-09", "split", 7.0) in listed(got.actions)
    assert [kind for _, kind, _ in listed(got.actions)].count("dividend") == 4
