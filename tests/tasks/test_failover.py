"""An ordered list of sources a symbol: the next one stands in for the first and checks what it says."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from flows.prices import bring_in_prices
from forecasting.errors import Blocked, SourceDown, SourceError, UnknownSymbol
from forecasting.sessions import sessions_between
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Fetched, typed_frame
from sources.registry import _registered, register_source
from storage.home import Home
from tasks import ingest
from tasks.opening import Asked, open_run
from tasks.settings import settings_of

NOW = datetime(2021, 4, 9, 22, 30, tzinfo=UTC)  # 18:30 in New York: the session of 9 April is over and settled
DAYS = ("2021-04-05", "2021-04-06", "2021-04-07", "2021-04-08", "2021-04-09")


class Scripted:
    """A live source that answers from rows typed in by a test, and remembers what it was asked."""

    name = ""
    basis = "as_traded"

    def __init__(self) -> None:
        pass

    @classmethod
    def reset(cls) -> None:
        cls.bars, cls.actions, cls.failures, cls.asked, cls.currency, cls.basis = [], [], {}, [], {}, "as_traded"
        cls.tells_actions = False

    def symbols(self):
        return None

    def identity(self):
        return self.name

    def fetch(self, symbols, start=None, end=None):
        type(self).asked.append(tuple(symbols))
        if isinstance(self.failures, SourceError):
            raise self.failures
        rows = [(s, d, c, c + 1, c - 1, c, 100.0) for s, d, c in self.bars if s in symbols and s not in self.failures]
        bars = typed_frame(BAR_COLUMNS, rows)
        bars = bars[(bars["session"] >= str(start or "1900-01-01")) & (bars["session"] <= str(end))].reset_index(drop=True)
        failures = {s: e for s, e in self.failures.items() if s in symbols}
        actions = typed_frame(ACTION_COLUMNS, self.actions)
        return Fetched(bars, actions, self.basis, failures, currency=self.currency)


class First(Scripted):
    name = "first"


class Second(Scripted):
    name = "second"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    for cls in (First, Second):
        cls.reset()
        if cls.name not in _registered:
            register_source(cls.name, cls)
    monkeypatch.setattr(ingest.fetch_prices, "policy", dataclasses.replace(ingest.fetch_prices.policy, first_delay=0.01))
    yield
    for cls in (First, Second):
        _registered.pop(cls.name, None)


@contextmanager
def run_of(folder, symbols, now=NOW, **source):
    settings = settings_of({"source": {"name": "first", "then": ["second"], **source}})
    with open_run(Asked("ingest", symbols=symbols, every_time=True), Home(folder), settings, now) as run:
        yield run


def week(symbol, first=100.25, days=DAYS):
    return [(symbol, day, first + i) for i, day in enumerate(days)]


def asked_for(run, sql):
    with run.db.reading() as con:
        return con.execute(sql).fetchall()


def test_failover__a_symbol_that_the_first_does_not_know_comes_from_the_second_and_the_cell_says_so(tmp_path):
    First.bars, Second.bars = week("AAA"), [*week("AAA"), *week("BBB", 50.0)]
    First.failures = {"BBB": UnknownSymbol("first", "BBB", "404")}
    with run_of(tmp_path, ("AAA", "BBB")) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT symbol, source, count(*) FROM prices GROUP BY ALL ORDER BY ALL") == [
            ("AAA", "first", 5),
            ("BBB", "second", 5),
        ]
        assert run.refusals == {}
        assert any("BBB: prices from second, because first BBB: 404" in note for note in run.notes)


def test_trailing__what_was_wrong_for_one_evening_is_put_right_up_to_where_it_began(tmp_path):
    """A split is in the prices one evening before it is listed: of the twelve sessions of AAA six come halved on the 16th, and
    right again on the 19th, when the window of five sessions alone would not reach the first of them."""
    days = [str(day) for day in sessions_between("XNYS", "2021-04-05", "2021-04-20")]
    right = week("AAA", days=days)
    for upto, wrong in ((8, ()), (10, days[2:9]), (11, ()), (12, ())):
        First.bars = [(s, d, c / 2 if d in wrong else c) for s, d, c in right[:upto]]
        now = datetime.fromisoformat(f"{days[upto - 1]}T22:30:00+00:00")
        with run_of(tmp_path, ("AAA",), now=now, trailing_sessions=5, check=False) as run:
            bring_in_prices(run)
            restated = [note for note in run.notes if "restated" in note]
            if upto == 10:
                assert len(restated) == 1 and "6 of 6 stored bars came with other values" in restated[0]
            closes = dict(asked_for(run, "SELECT session::VARCHAR, close FROM prices WHERE symbol = 'AAA'"))
    assert closes == {day: close for _, day, close in right}


def test_failover__a_stand_in_that_cannot_be_read_stops_nobody(tmp_path):
    """The file that is to check and stand in is not there: AAA comes from the first, BBB is unknown to it, and that is told."""
    First.bars, First.failures = week("AAA"), {"BBB": UnknownSymbol("first", "BBB", "404")}
    there = {"then": ["files"], "options": {}}
    settings = settings_of({"source": {"name": "first", **there}, "sources": {"files": {"path": str(tmp_path / "gone.csv")}}})
    with open_run(Asked("ingest", symbols=("AAA", "BBB"), every_time=True), Home(tmp_path / "home"), settings, NOW) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT symbol, source, count(*) FROM prices GROUP BY ALL") == [("AAA", "first", 5)]
        assert [(r.symbol, r.reason) for r in run.refusals.values()] == [("BBB", "unknown_symbol")]
        assert run.notes[0].startswith("files cannot stand in or check: ") and "gone.csv" in run.notes[0]


def test_failover__a_first_of_ones_own_that_cannot_be_read_is_filled_up_and_not_corrected(tmp_path):
    """AAA comes from a file, of which the second says 0.2 more. On the day when the file is gone the second adds the new
    session, and nothing else; the file's word stays, and who stood in is told."""
    file = tmp_path / "aaa.csv"
    file.write_text("symbol,date,open,high,low,close,volume\n" + "".join(f"AAA,{d},10,11,9,10,100\n" for d in DAYS[:4]))
    Second.bars = [("AAA", day, 10.2) for day in DAYS]
    options = {"then": ["second"], "per_symbol": {"AAA": ["files", "second"]}, "check": False}
    form = {"path": str(file), "basis": "as_traded"}
    settings = settings_of({"source": {"name": "first", **options}, "sources": {"files": form}})
    for day in DAYS[3:]:
        now = datetime.fromisoformat(f"{day}T22:30:00+00:00")
        with open_run(Asked("ingest", symbols=("AAA",), every_time=True), Home(tmp_path / "home"), settings, now) as run:
            bring_in_prices(run)
            found = asked_for(run, "SELECT source, close, count(*) FROM prices GROUP BY ALL ORDER BY ALL")
        file.unlink(missing_ok=True)
    assert found == [("files", 10.0, 4), ("second", 10.2, 1)]
    assert "AAA: prices from second, because files cannot be read" in run.notes


def test_failover__what_may_pass_is_tried_again_first_and_then_the_second_stands_in_for_all_chunks(tmp_path):
    First.failures = SourceDown("first", None, "no answer in time")
    Second.bars = [*week("AAA"), *week("BBB")]
    with run_of(tmp_path, ("AAA", "BBB"), chunk=1, check=False) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT DISTINCT symbol, source FROM prices ORDER BY 1") == [("AAA", "second"), ("BBB", "second")]
    assert First.asked == [("AAA",)] * 3  # a try and two retries; then it is known to be down, and BBB is not asked of it


def test_failover__a_stand_in_fills_gaps_and_corrects_nobody(tmp_path):
    First.bars = week("AAA")
    with run_of(tmp_path, ("AAA",), check=False) as run:
        bring_in_prices(run)
    First.failures = {"AAA": Blocked("first", "AAA", "refused")}
    Second.bars = [*week("AAA", 100.55), ("AAA", "2021-04-12", 106.25)]
    with run_of(tmp_path, ("AAA",), now=datetime(2021, 4, 12, 22, 30, tzinfo=UTC), check=False) as run:
        bring_in_prices(run)
        closes = asked_for(run, "SELECT session::VARCHAR, close, source, revision FROM prices ORDER BY 1")
        assert closes[-2:] == [("2021-04-09", 104.25, "first", 0), ("2021-04-12", 106.25, "second", 0)]
        assert asked_for(run, "SELECT received, stored, outside FROM quality WHERE source = 'second'") == [(6, 1, 5)]
        said = asked_for(run, "SELECT field, first_source, second_source, verdict FROM disagreements WHERE field = 'close'")
        assert said == [("close", "first", "second", "warn")] * 5  # 0.3 %: told, not acted on


def test_failover__adjusted_prices_never_stand_in_for_prices_as_traded(tmp_path):
    First.bars = [*week("AAA"), *week("CCC")]
    with run_of(tmp_path, ("AAA", "CCC"), check=False) as run:
        bring_in_prices(run)
    First.failures = {"AAA": Blocked("first", "AAA", "refused")}
    Second.bars, Second.basis = week("AAA", 50.0), "adjusted"
    with run_of(tmp_path, ("AAA", "CCC"), now=datetime(2021, 4, 10, 12, tzinfo=UTC), check=False) as run:
        bring_in_prices(run)
        assert run.refusals["AAA"].reason == "other_basis"
        assert asked_for(run, "SELECT DISTINCT source FROM prices WHERE symbol = 'AAA'") == [("first",)]


def test_failover__a_stand_in_that_was_the_first_to_speak_of_a_symbol_goes_on_where_prices_do_not_go_together(tmp_path):
    """The first is down on the 8th, and the second's adjusted prices are all that is known of AAA. From the 9th on the first
    answers as traded: AAA goes on with the second, and says so; BBB, of which nothing is known, comes from the first."""
    thursday, friday = (datetime(2021, 4, day, 22, 30, tzinfo=UTC) for day in (8, 9))
    First.failures = SourceDown("first", None, "no answer in time")
    Second.bars, Second.basis = week("AAA", 50.0), "adjusted"
    with run_of(tmp_path, ("AAA",), now=thursday, check=False) as run:
        bring_in_prices(run)
    First.failures, First.bars = {}, [*week("AAA"), *week("BBB", 20.25)]
    First.actions = [("AAA", "2021-04-07", "dividend", 0.5)]
    with run_of(tmp_path, ("AAA", "BBB"), now=friday, check=False) as run:
        bring_in_prices(run)
        assert asked_for(
            run, "SELECT symbol, source, max(close), count(*), any_value(basis) FROM prices GROUP BY ALL ORDER BY 1"
        ) == [
            ("AAA", "second", 54.0, 5, "adjusted"),
            ("BBB", "first", 24.25, 5, "as_traded"),
        ]
        assert run.refusals == {} and asked_for(run, "FROM actions") == []
        accounts = "SELECT symbol, source, received, stored, unchanged, quarantined FROM quality ORDER BY ALL"
        assert asked_for(run, accounts) == [
            ("AAA", "first", 5, 0, 0, 0),
            ("AAA", "second", 4, 4, 0, 0),
            ("AAA", "second", 5, 1, 4, 0),
            ("BBB", "first", 5, 5, 0, 0),
        ]
        lost = "SELECT sum(received - stored - unchanged - revised - merged - outside - quarantined) FROM quality"
        assert asked_for(run, lost) == [(0,)]
    assert run.notes == [
        "AAA: prices from second, because first AAA: stored as adjusted prices from second, first gives them as traded"
    ]


def test_failover__in_another_currency_it_goes_on_too_and_the_other_checks_nothing(tmp_path):
    """As above with pounds and pence, and the first asked for its opinion: it would say that each bar is wrong by a factor."""
    First.failures = SourceDown("first", None, "no answer in time")
    Second.bars, Second.currency = week("VOD.L", 1.5, DAYS[1:]), {"VOD.L": "GBP"}
    with run_of(tmp_path, ("VOD.L",), now=datetime(2021, 4, 8, 22, 30, tzinfo=UTC)) as run:
        bring_in_prices(run)
    First.failures, First.bars, First.currency = {}, week("VOD.L", 150.0, DAYS[1:]), {"VOD.L": "GBp"}
    with run_of(tmp_path, ("VOD.L",)) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT source, currency FROM store.symbols") == [("second", "GBP")]
        assert asked_for(run, "SELECT source, max(session)::VARCHAR FROM prices GROUP BY ALL") == [("second", "2021-04-09")]
        assert run.refusals == {} and asked_for(run, "FROM quarantine") == []
    assert "VOD.L not checked by first: gives GBp, the prices are in GBP" in run.notes


def test_failover__a_symbol_that_only_the_other_still_tells_of_is_left_out_with_what_to_type(tmp_path):
    First.failures = SourceDown("first", None, "no answer in time")
    Second.bars, Second.basis = [*week("AAA"), *week("BBB")], "adjusted"
    with run_of(tmp_path, ("AAA", "BBB"), now=datetime(2021, 4, 8, 22, 30, tzinfo=UTC), check=False) as run:
        bring_in_prices(run)
    First.failures, First.bars = {}, [*week("AAA"), *week("BBB")]
    Second.failures = {"AAA": UnknownSymbol("second", "AAA", "404")}
    with run_of(tmp_path, ("AAA", "BBB"), check=False) as run:
        bring_in_prices(run)
        [refusal] = run.refusals.values()
    assert (refusal.symbol, refusal.reason) == ("AAA", "other_basis")
    assert refusal.message.endswith("first gives them as traded; keep them apart with a --home DIR of its own")


def test_failover__pence_never_follow_pounds(tmp_path):
    First.bars, First.currency = [*week("VOD.L"), *week("AAA")], {"VOD.L": "GBp", "AAA": "USD"}
    with run_of(tmp_path, ("VOD.L", "AAA"), check=False) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT symbol, currency, unit FROM store.symbols ORDER BY 1") == [
            ("AAA", "USD", 1.0),
            ("VOD.L", "GBp", 0.01),
        ]
    First.currency = {"VOD.L": "GBP", "AAA": "USD"}
    First.bars = [*week("VOD.L", 1.0), *week("AAA")]
    with run_of(tmp_path, ("VOD.L", "AAA"), now=datetime(2021, 4, 10, 12, tzinfo=UTC), check=False) as run:
        bring_in_prices(run)
        assert run.refusals["VOD.L"].reason == "other_currency"
        assert "stored in GBp from first, first gives GBP" in run.refusals["VOD.L"].message
        assert len(asked_for(run, "FROM prices WHERE symbol = 'VOD.L'")) == 4  # Easter Monday: London was closed


def test_quorum__agreement_is_silent_and_a_grave_difference_sets_the_bar_aside(tmp_path):
    First.bars, Second.bars = [*week("AAA"), *week("BBB")], [*week("AAA"), *week("BBB")]
    Second.bars[7] = ("BBB", "2021-04-07", 112.25)  # the first says 102.25: one of them is wrong by a tenth
    with run_of(tmp_path, ("AAA", "BBB")) as run:
        bring_in_prices(run)
        sessions = asked_for(run, "SELECT session::VARCHAR FROM prices WHERE symbol = 'BBB' ORDER BY 1")
        assert sessions == [("2021-04-05",), ("2021-04-06",), ("2021-04-08",), ("2021-04-09",)]
        assert asked_for(run, "SELECT count(*) FROM prices WHERE symbol = 'AAA'") == [(5,)]
        aside = asked_for(run, "SELECT symbol, session::VARCHAR, reason FROM quarantine")
        assert aside == [("BBB", "2021-04-07", "sources_disagree")]
        found = asked_for(
            run, "SELECT field, first_value, second_value, verdict FROM disagreements WHERE symbol = 'BBB' AND field = 'close'"
        )
        assert found == [("close", 102.25, 112.25, "quarantine")]
        counts = "SELECT symbol, received, stored, quarantined FROM quality ORDER BY symbol"
        assert asked_for(run, counts) == [("AAA", 5, 5, 0), ("BBB", 5, 4, 1)]


def test_quorum__a_checking_source_that_is_down_stops_nothing_and_is_told(tmp_path):
    First.bars, Second.failures = week("AAA"), SourceDown("second", None, "no answer in time")
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT count(*) FROM prices") == [(5,)] and run.refusals == {}
    assert "AAA not checked by second: no answer in time" in run.notes


def test_order__a_symbol_can_have_one_of_its_own(tmp_path):
    First.bars, Second.bars = [*week("AAA"), *week("BBB")], [*week("AAA"), *week("BBB")]
    with run_of(tmp_path, ("AAA", "BBB"), per_symbol={"BBB": ["second"]}) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT DISTINCT symbol, source FROM prices ORDER BY 1") == [("AAA", "first"), ("BBB", "second")]


def test_order__a_source_asked_for_by_name_is_asked_alone(tmp_path):
    First.bars, Second.bars = week("AAA"), week("AAA", 50.0)
    settings = settings_of({"source": {"name": "first", "then": ["second"]}})
    with open_run(Asked("ingest", symbols=("AAA",), source="second"), Home(tmp_path), settings, NOW) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT DISTINCT source, min(close) FROM prices GROUP BY 1") == [("second", 50.0)]
    assert First.asked == []


def test_quorum__a_dividend_that_the_second_does_not_know_is_set_aside_and_the_bars_stay(tmp_path):
    First.bars, Second.bars = week("AAA"), week("AAA")
    First.actions, Second.tells_actions = [("AAA", "2021-04-07", "dividend", 0.5)], True
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        assert asked_for(run, "FROM actions") == [] and asked_for(run, "SELECT count(*) FROM prices") == [(5,)]
        said = asked_for(run, "SELECT session::VARCHAR, reason, message FROM quarantine")
        assert said == [("2021-04-07", "actions_disagree", "a dividend of 0.5 in first, none in second")]


def test_quorum__a_second_that_tells_no_actions_refutes_none(tmp_path):
    First.bars, Second.bars = week("AAA"), week("AAA")
    First.actions = [("AAA", "2021-04-07", "dividend", 0.5)]
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        assert asked_for(run, "SELECT kind, value FROM actions") == [("dividend", 0.5)]


def test_quorum__a_session_that_all_lack_is_one_finding_a_symbol(tmp_path):
    """8 April is missing everywhere: the calendar is in doubt by the symbols together and by the two sources together."""
    days = [day for day in DAYS if day != "2021-04-08"]
    symbols = ("AAA", "BBB", "CCC", "DDD")
    First.bars = Second.bars = [row for symbol in symbols for row in week(symbol, days=days)]
    with run_of(tmp_path, symbols) as run:
        bring_in_prices(run)
        found = asked_for(run, "SELECT symbol, first_session::VARCHAR FROM quality_findings WHERE rule = 'calendar_disagrees'")
        assert sorted(found) == [(symbol, "2021-04-08") for symbol in symbols]
