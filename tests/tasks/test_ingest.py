"""Prices in, step by step: what is asked of a source, what is stored, and what happens when it stops answering."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from flows.prices import bring_in_prices
from forecasting.errors import Partial, RateLimited, SourceDown, UnknownSymbol
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, REJECT_COLUMNS, Fetched, typed_frame
from sources.registry import _registered, register_source
from storage.bars import read_actions, read_bars
from storage.home import Home
from storage.landing import load_landing
from tasks import ingest
from tasks.opening import Asked, open_run
from tasks.settings import settings_of

NOW = datetime(2021, 4, 9, 22, 30, tzinfo=UTC)  # 18:30 in New York: the session of 9 April is over and settled


class Script:
    """A live source that answers from frames typed in by the test, and remembers what it was asked."""

    name = "script"
    bars: list[tuple] = []
    actions: list[tuple] = []
    failures: dict[str, Exception] = {}
    asked: list[tuple] = []
    basis = "as_traded"

    def symbols(self):
        return None

    def identity(self):
        return "script"

    def fetch(self, symbols, start=None, end=None):
        Script.asked.append((tuple(symbols), start, end))
        bars = typed_frame(BAR_COLUMNS, [(s, d, c, c + 1, c - 1, c, 100.0) for s, d, c in self.bars if s in symbols])
        actions = typed_frame(ACTION_COLUMNS, [a for a in self.actions if a[0] in symbols])
        inside = (bars["session"] >= str(start or "1900-01-01")) & (bars["session"] <= str(end))
        failures = {s: e for s, e in self.failures.items() if s in symbols}
        answered = bars[inside & ~bars["symbol"].isin(failures)].reset_index(drop=True)
        return Fetched(answered, actions, self.basis, failures)


@pytest.fixture
def script(monkeypatch):
    if "script" not in _registered:
        register_source("script", Script)
    Script.bars, Script.actions, Script.failures, Script.asked, Script.basis = [], [], {}, [], "as_traded"
    quick = dataclasses.replace(ingest.fetch_prices.policy, first_delay=0.01)
    monkeypatch.setattr(ingest.fetch_prices, "policy", quick)
    return Script


@contextmanager
def run_of(folder, symbols, now=NOW, chunk=50):
    settings = settings_of({"source": {"name": "script", "chunk": chunk}})
    with open_run(Asked("ingest", symbols=symbols, every_time=True), Home(folder), settings, now) as run:
        yield run


def week(symbol, first=100.0):
    days = ("2021-04-05", "2021-04-06", "2021-04-07", "2021-04-08", "2021-04-09")
    return [(symbol, day, first + i) for i, day in enumerate(days)]


def stored(run, symbol=None):
    with run.db.reading() as con:
        bars = read_bars(con, symbols=None if symbol is None else [symbol])
    return [(s, str(d.date()), c) for s, d, c in zip(bars["symbol"], bars["session"], bars["close"], strict=True)]


def test_ingest__stores_what_came_and_keeps_it_as_it_came(tmp_path, script):
    script.bars = week("AAA")
    with run_of(tmp_path, ("AAA",)) as run:
        assert run.origin == date(2021, 4, 9)
        bring_in_prices(run)
        assert stored(run) == week("AAA")
        [landed] = ingest.arrivals(run, ("AAA",)).landed
        assert len(load_landing(run.home, landed.bars)) == 5
    assert script.asked == [(("AAA",), None, date(2021, 4, 9))]


def test_ingest__asks_again_only_for_the_trailing_sessions_and_for_new_symbols_from_the_start(tmp_path, script):
    script.bars = week("AAA")
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
    script.bars += [*week("BBB"), ("AAA", "2021-04-12", 105.0), ("BBB", "2021-04-12", 105.0)]
    script.asked.clear()
    with run_of(tmp_path, ("AAA", "BBB"), now=datetime(2021, 4, 12, 22, 30, tzinfo=UTC)) as run:
        bring_in_prices(run)
        assert len(stored(run)) == 12
    # ten sessions before 9 April, over Good Friday
    assert script.asked == [(("AAA",), date(2021, 3, 25), date(2021, 4, 12)), (("BBB",), None, date(2021, 4, 12))]


def test_ingest__adjusted_prices_are_asked_for_from_the_start_so_that_a_new_end_fits_the_old_beginning(tmp_path, script):
    """After a dividend such a source sends all of its past lowered; ten sessions of it would make a jump that never was."""
    script.bars, script.basis = week("AAA"), "adjusted"
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
    script.bars = [(s, d, round(c * 0.99, 4)) for s, d, c in week("AAA")] + [("AAA", "2021-04-12", 104.0)]
    script.asked.clear()
    with run_of(tmp_path, ("AAA",), now=datetime(2021, 4, 12, 22, 30, tzinfo=UTC)) as run:
        bring_in_prices(run)
        assert [close for _, _, close in stored(run)] == [99.0, 99.99, 100.98, 101.97, 102.96, 104.0]
    assert script.asked == [(("AAA",), None, date(2021, 4, 12))]


def test_ingest__a_changed_bar_is_a_revision_and_the_first_can_still_be_read(tmp_path, script):
    script.bars = week("AAA")
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
    script.bars[2] = ("AAA", "2021-04-07", 102.5)
    later = datetime(2021, 4, 10, 12, tzinfo=UTC)
    with run_of(tmp_path, ("AAA",), now=later) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            now = read_bars(con)["close"].tolist()
            then = read_bars(con, as_of=NOW)["close"].tolist()
    assert now == [100.0, 101.0, 102.5, 103.0, 104.0]
    assert then == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_ingest__an_action_that_is_not_told_any_more_is_retracted(tmp_path, script):
    script.bars, script.actions = week("AAA"), [("AAA", "2021-04-06", "dividend", 0.1), ("AAA", "2021-04-08", "dividend", 0.5)]
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            assert len(read_actions(con)) == 2
    script.actions = [("AAA", "2021-04-08", "dividend", 0.5)]  # the other was a mistake of the source
    with run_of(tmp_path, ("AAA",), now=datetime(2021, 4, 10, 12, tzinfo=UTC)) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            assert read_actions(con)["value"].tolist() == [0.5]
            assert read_actions(con, as_of=NOW)["value"].tolist() == [0.1, 0.5]


def test_ingest__an_action_that_is_in_doubt_today_stays_as_it_is_stored(tmp_path, script):
    """A dividend without a bar before it is kept, as nothing can be told; with the bar of the day before it looks absurd."""
    script.bars, script.actions = week("AAA")[2:], [("AAA", "2021-04-07", "dividend", 40.0)]
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            assert read_actions(con)["value"].tolist() == [40.0]
    script.bars = [*week("AAA"), ("AAA", "2021-04-12", 105.0)]
    with run_of(tmp_path, ("AAA",), now=datetime(2021, 4, 12, 22, 30, tzinfo=UTC)) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            assert read_actions(con)["value"].tolist() == [40.0]
            [reason] = con.execute("SELECT reason FROM quarantine WHERE symbol = 'AAA'").fetchone()
    assert reason.startswith("dividend_")


def test_ingest__the_bar_of_a_session_that_still_runs_is_not_stored(tmp_path, script):
    script.bars = week("AAA")
    during = datetime(2021, 4, 9, 17, 0, tzinfo=UTC)  # 13:00 in New York
    with run_of(tmp_path, ("AAA",), now=during) as run:
        assert run.origin == date(2021, 4, 8)
        bring_in_prices(run)
        assert stored(run)[-1] == ("AAA", "2021-04-08", 103.0)


def test_ingest__the_same_answer_again_stores_nothing_and_is_the_same_run(tmp_path, script):
    script.bars = week("AAA")
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        first = run.run_id
        from tasks.publishing import complete

        complete(run)
    with run_of(tmp_path, ("AAA",)) as run:
        assert run.run_id != first  # not known yet: the source may have news
        bring_in_prices(run)
        assert run.run_id == first and run.already is not None


def test_ingest__one_unknown_symbol_is_listed_and_stops_nobody(tmp_path, script):
    script.bars, script.failures = week("AAA"), {"ZZZZ": UnknownSymbol("script", "ZZZZ", "404", "check the spelling")}
    with run_of(tmp_path, ("AAA", "ZZZZ")) as run:
        bring_in_prices(run)
        assert stored(run) == week("AAA")
        assert [(r.symbol, r.reason, r.passing) for r in run.refusals.values()] == [("ZZZZ", "unknown_symbol", False)]
    assert len(script.asked) == 1  # asking again would not make it known


def test_ingest__rate_limit_of_a_whole_chunk_spares_the_source_the_other_chunks(tmp_path, script):
    script.failures = {s: RateLimited("script", s, "429", "wait an hour") for s in ("AAA", "BBB", "CCC", "DDD")}
    with run_of(tmp_path, ("AAA", "BBB", "CCC", "DDD"), chunk=1) as run, pytest.raises(RateLimited) as caught:
        bring_in_prices(run)
    assert [symbols for symbols, _, _ in script.asked] == [("AAA",)] * 3  # a try and two retries, then nobody else is asked for
    assert "none of 4 symbols answered" in str(caught.value) and "wait an hour" in str(caught.value)


def test_ingest__a_chunk_that_fails_leaves_the_others_stored(tmp_path, script):
    script.bars, script.failures = [*week("AAA"), *week("CCC")], {"BBB": SourceDown("script", "BBB", "no answer")}
    with run_of(tmp_path, ("AAA", "BBB", "CCC"), chunk=2) as run:
        bring_in_prices(run)
        assert {s for s, _, _ in stored(run)} == {"AAA", "CCC"}
        assert [(r.symbol, r.passing) for r in run.refusals.values()] == [("BBB", True)]


def test_ingest__a_symbol_that_took_two_answers_has_one_account_of_all_its_rows(tmp_path, script, monkeypatch):
    """The first answer is one row without a price; the second, a moment later, is the week."""
    null_row = ("AAA", "2021-04-09", -1, "null_bar", "no price", "{}")

    def fetch(self, symbols, start=None, end=None):
        Script.asked.append((tuple(symbols), start, end))
        rejects = typed_frame(REJECT_COLUMNS, [null_row])
        if len(Script.asked) == 1:
            failures = {"AAA": Partial("script", "AAA", "no bar")}
            return Fetched(typed_frame(BAR_COLUMNS), typed_frame(ACTION_COLUMNS), failures=failures, rejects=rejects)
        bars = typed_frame(BAR_COLUMNS, [(s, d, c, c + 1, c - 1, c, 100.0) for s, d, c in week("AAA")])
        return Fetched(bars, typed_frame(ACTION_COLUMNS), rejects=rejects.iloc[:0])

    monkeypatch.setattr(Script, "fetch", fetch)
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        with run.db.reading() as con:
            account = con.execute("SELECT received, stored, quarantined FROM quality").fetchall()
            found = con.execute("SELECT rule, rows FROM quality_findings").fetchall()
    assert account == [(6, 5, 1)] and found == [("null_bar", 1)]


def test_ingest__bad_rows_are_counted_never_lost(tmp_path, script):
    script.bars = [*week("AAA"), ("AAA", "2021-04-02", 99.0), ("AAA", "2021-04-01", -5.0)]  # Good Friday; a negative price
    with run_of(tmp_path, ("AAA",)) as run:
        bring_in_prices(run)
        assert len(stored(run)) == 5
        with run.db.reading() as con:
            aside = con.execute("SELECT session::VARCHAR, reason FROM store.quarantine ORDER BY 1").fetchall()
    assert aside == [("2021-04-01", "non_positive_price"), ("2021-04-02", "not_a_session")]


def test_macro__is_stored_at_the_session_at_whose_close_it_was_public(tmp_path, script):
    (tmp_path / "vix_daily.csv").write_text("DATE,OPEN,HIGH,LOW,CLOSE\n2021-04-08,17,18,16,16.95\n2021-04-09,17,17,16,16.69\n")
    script.bars = week("AAA")
    settings = settings_of({"source": {"name": "script"}, "macro": {"path": str(tmp_path / "vix_daily.csv")}})
    with open_run(Asked("ingest", symbols=("AAA",)), Home(tmp_path / "home"), settings, NOW) as run:
        bring_in_prices(run)
        from tasks.market import macro_of

        known = macro_of(run)
    assert list(zip(known["series"], known["session"].dt.strftime("%Y-%m-%d"), known["value"], strict=True)) == [
        ("VIX", "2021-04-08", 16.95),
        ("VIX", "2021-04-09", 16.69),
    ]
    assert isinstance(known, pd.DataFrame)
