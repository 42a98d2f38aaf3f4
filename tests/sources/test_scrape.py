"""Price tables on web pages: two layouts read right, a third refused by name, robots and pace respected."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forecasting.errors import Blocked, Malformed, NoSession, RateLimited, SettingError, SourceDown, SymbolError, UnknownSymbol
from sources.html_tables import html_tables
from sources.scrape import ScrapeSource
from tests.sources.stand_in import Answer, StandIn, redirect
from tests.sources.test_http_csv import HOSTILE

PAGES = Path(__file__).resolve().parents[1] / "data" / "pages"
EVENTS = (PAGES / "history_with_events.html").read_text(encoding="utf-8")
QUOTES = (PAGES / "historical_quotes.html").read_text(encoding="utf-8")
URL = "https://quotes.example/quote/{symbol}/history"
HISTORY = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]


def page(text: str, **more) -> Answer:
    return Answer(text, kind="text/html; charset=utf-8", **more)


@pytest.fixture
def server():
    with StandIn() as running:
        yield running


def scraper(server: StandIn, **options) -> ScrapeSource:
    waited: list[float] = []
    source = ScrapeSource(URL, base_url=server.url, seconds_between=0.0, waits=[0.0], sleep=waited.append, **options)
    source.waited = waited
    return source


def days(frame: pd.DataFrame) -> list[str]:
    return [str(d.date()) for d in frame["session"]]


# --- the two layouts ------------------------------------------------------------------------------------------------


def test_scrape__a_history_that_tells_actions_in_rows(server):
    server.say("/quote/AAPL/history", page(EVENTS))
    got = scraper(server, layout=HISTORY).fetch(["AAPL"])
    bars = got.bars.set_index(pd.Index(days(got.bars)))
    assert list(bars.index) == [
        "2020-08-06", "2020-08-07", "2020-08-10", "2020-08-26", "2020-08-27", "2020-08-28", "2020-08-31", "2020-09-01",
    ]  # fmt: skip
    assert bars.loc["2020-08-28", "close"] == 499.24 and bars.loc["2020-08-31", "close"] == 129.04  # as traded, 4:1 undone
    assert bars.loc["2020-08-28", "volume"] == 46_907_500 and bars.loc["2020-08-26"].isna().sum() == 6
    assert list(zip(days(got.actions), got.actions["kind"], got.actions["value"], strict=True)) == [
        ("2020-08-07", "dividend", 0.82),
        ("2020-08-31", "split", 4.0),
    ]
    assert got.basis == "as_traded" and got.rejects.empty and not got.failures
    assert bars.loc["2020-08-07", "adj_ratio"] == pytest.approx(110.92 / 111.11)


def test_scrape__quotes_with_dollar_signs_and_a_row_of_the_running_day(server):
    server.say("/quote/AAPL/history", page(QUOTES))
    got = scraper(server, currency="USD").fetch(["AAPL"])
    assert days(got.bars) == ["2023-08-29", "2023-08-30", "2023-08-31"]
    assert got.bars["close"].tolist() == [1184.12, 187.65, 187.87] and got.bars["volume"][2] == 60_794_470
    assert got.rejects[["row", "reason"]].to_numpy().tolist() == [[7, "wrong_width"], [2, "not_final"], [6, "not_a_number"]]
    assert len(got.bars) + len(got.rejects) == 6  # rows below the header
    assert got.basis == "adjusted" and got.currency == {"AAPL": "USD"}
    told = 'layout = ["Date", "Close/Last", "Volume", "Open", "High", "Low"]'
    assert any(told in note for note in got.notes)


def test_scrape__an_action_without_a_bar_is_a_reject(server):
    server.say(
        "/quote/AAPL/history", page(EVENTS.replace("<td>Aug 31, 2020</td><td>127.58", "<td>Aug 30, 2020</td><td>127.58"))
    )
    got = scraper(server).fetch(["AAPL"])
    assert got.rejects["reason"].tolist() == ["action_without_bar"] and "Aug 31, 2020" in got.rejects["message"].item()


# --- another layout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<th>Open</th>", "", "missing Open, new nothing"),
        ("<th>Volume</th>", "<th>Turnover</th>", "missing Volume, new Turnover"),
        ("<th>Low</th>", "<th>Low</th><th>VWAP</th>", "missing nothing, new VWAP"),
        ("<th>Date</th><th>Open</th>", "<th>Session</th><th>First</th>", "missing Date, Open, new Session, First"),
    ],
)
def test_scrape__another_layout_is_refused_naming_the_difference(server, old, new, says):
    assert old in EVENTS
    server.say("/quote/AAPL/history", page(EVENTS.replace(old, new, 1) if "Date" not in old else EVENTS.replace(old, new)))
    got = scraper(server, layout=HISTORY).fetch(["AAPL"])
    assert got.bars.empty and isinstance(got.failures["AAPL"], Malformed)
    assert says in str(got.failures["AAPL"]) and "if it is right, layout = [" in str(got.failures["AAPL"])


def test_scrape__without_layout_the_first_page_says_what_is_right(server):
    server.say("/quote/AAPL/history", page(EVENTS))
    server.say("/quote/MSFT/history", page(QUOTES))
    got = scraper(server).fetch(["AAPL", "MSFT"])
    assert set(got.bars["symbol"]) == {"AAPL"} and "missing Close, Adj Close, new Close/Last" in str(got.failures["MSFT"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<p>Please enable JavaScript</p>", r"no table with a date and a close \(tables: none\)"),
        ("<table><tr><th>Name</th><th>Kurs</th></tr><tr><td>a</td><td>1</td></tr></table>", r"\(tables: Name, Kurs\)"),
        ("<table><tr><th>Date</th><th>Close</th></tr><tr><td>Sep 1, 2020</td><td>1</td></tr></table>", "set close_only"),
        (EVENTS.replace("202", "two0"), "holds no dates"),
        (EVENTS.replace("<td>1", "<td>x1").replace("<td>-", "<td>x"), "no row of its table could be read"),
    ],
)
def test_scrape__a_page_that_is_read_wrong_gives_nothing(server, text, says):
    server.say("/quote/AAPL/history", page(text))
    got = scraper(server).fetch(["AAPL"])
    assert got.bars.empty and isinstance(got.failures["AAPL"], Malformed)
    with pytest.raises(Malformed, match=says):
        raise got.failures["AAPL"]


def test_scrape__an_empty_table_is_no_session(server):
    head, _, rest = EVENTS.partition("<tbody>")
    server.say("/quote/AAPL/history", page(head + "<tbody></tbody></table>"))
    assert isinstance(scraper(server).fetch(["AAPL"]).failures["AAPL"], NoSession)


# --- manners --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("robots", "kind"),
    [
        (Answer("User-agent: *\nDisallow: /quote/\n", kind="text/plain"), Blocked),
        (Answer("User-agent: nextclose\nDisallow: /\n\nUser-agent: *\nAllow: /\n", kind="text/plain"), Blocked),
        (Answer("no", status=403, kind="text/plain"), Blocked),
        (Answer("no", status=503, kind="text/plain"), SourceDown),
        (Answer("User-agent: other\nDisallow: /\n", kind="text/plain"), None),
        (Answer("none", status=404, kind="text/plain"), None),
        (Answer("<html>our home page, for every address</html>", kind="text/html"), None),
    ],
)
def test_scrape__robots_txt_is_obeyed(server, robots, kind):
    server.say("/robots.txt", robots)
    server.say("/quote/AAPL/history", page(EVENTS))
    got = scraper(server).fetch(["AAPL"])
    assert server.asked("/quote/AAPL/history") == (kind is None)
    assert (type(got.failures["AAPL"]) is kind) if kind else len(got.bars) == 8


def test_scrape__robots_are_asked_once_and_their_pace_is_kept(server):
    server.say("/robots.txt", Answer("User-agent: *\nCrawl-delay: 7\n", kind="text/plain"))
    for symbol in ("AAPL", "MSFT"):
        server.say(f"/quote/{symbol}/history", page(EVENTS))
    source = scraper(server)
    assert len(source.fetch(["AAPL", "MSFT"]).bars) == 16
    assert server.asked("/robots.txt") == 1 and source.meter.requests == 3
    assert source.waited.count(7.0) == 2


def test_scrape__is_polite_by_default():
    assert ScrapeSource(URL).cost.seconds_between == 2.0
    with pytest.raises(SettingError, match="scrape.seconds_between is 0.1; expected 1.0 or more"):
        ScrapeSource(URL, seconds_between=0.1)
    with pytest.raises(SettingError, match="an address with {symbol} in it"):
        ScrapeSource("https://quotes.example/all")


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (page("gone", status=404), UnknownSymbol),
        (page("no", status=403), Blocked),
        (page("slow", status=429), RateLimited),
        (page("down", status=502), SourceDown),
        (redirect("http://169.254.169.254/latest"), Blocked),
        (redirect("https://consent.example/?next=x"), Blocked),
    ],
)
def test_scrape__classes_of_failures(server, answer, kind):
    server.say("/quote/AAPL/history", answer)
    got = scraper(server).fetch(["AAPL"])
    assert type(got.failures["AAPL"]) is kind and got.bars.empty


@pytest.mark.parametrize("symbol", HOSTILE)
def test_scrape__a_hostile_symbol_is_never_asked_for(server, symbol):
    with pytest.raises(SymbolError):
        scraper(server).fetch([symbol])
    assert server.requests == []


def test_scrape__scripts_hidden_in_cells_are_no_text(server):
    text = EVENTS.replace("<td>129.04</td>", "<td><script>alert(1)</script>129.04<style>x{}</style></td>")
    server.say("/quote/AAPL/history", page(text))
    assert scraper(server).fetch(["AAPL"]).bars["close"].iloc[-2] == 129.04


def test_html_tables__nested_unclosed_and_endless():
    text = "<table><tr><th>Date<th>Close<tr><td>1<td><table><tr><th>a<th>b<tr><td>x<td>y</table>2<tr><td>3<td>4"
    outer, inner = html_tables(text)
    assert (outer.header, outer.rows) == (["Date", "Close"], [["1", "2"], ["3", "4"]])
    assert (inner.header, inner.rows) == (["a", "b"], [["x", "y"]])
    assert len(html_tables("<table><tr><th>Date<th>Close" + "<tr><td>1<td>2" * 20_000)[0].rows) == 20_000


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<", "<a a='", "<?", "<!x", "<table>", "<script>", "<td", "</", "<a '\">", "&#"]
)
def test_html_tables__a_page_made_to_take_for_ever_does_not(piece):
    """html.parser takes minutes for the first two; here each is done before the test's own time is noticed."""
    assert html_tables(piece * (400_000 // len(piece))) == []
