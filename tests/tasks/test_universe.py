"""Who still trades: silent symbols leave the universe, stay in its past, and come back if they do."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from flows.prices import bring_in_prices
from forecasting.errors import NoBars, SourceDown, UnknownSymbol
from forecasting.sessions import sessions_between
from sources.registry import _registered, register_source
from storage.home import Home
from storage.quarantine import refused_by
from storage.universe import gone, read_universe
from tasks.opening import Asked, open_run
from tasks.settings import settings_of
from tests.tasks.test_failover import First

DAYS = [str(day) for day in sessions_between("XNYS", "2021-01-04", "2021-04-09")]  # 67 sessions


@pytest.fixture(autouse=True)
def first():
    First.reset()
    if "first" not in _registered:
        register_source("first", First)
    yield
    _registered.pop("first", None)


def evening(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T22:30:00").replace(tzinfo=UTC)


def ingest(folder, day, symbols=("AAA", "BBB")):
    settings = settings_of({"source": {"name": "first"}})
    asked = Asked("ingest", symbols=symbols, every_time=True)
    with open_run(asked, Home(folder), settings, evening(day)) as run:
        bring_in_prices(run)
        return run


def series(symbol, days):
    return [(symbol, day, 100.0 + i) for i, day in enumerate(days)]


def test_universe__a_symbol_silent_for_20_sessions_no_longer_trades_and_stays_in_the_past(tmp_path):
    First.bars = [*series("AAA", DAYS[:60]), *series("BBB", DAYS[:41])]
    run = ingest(tmp_path, DAYS[59])
    with run.db.reading() as con:
        assert gone(con) == {}  # 19 sessions of silence: nobody is written off yet
    First.bars = [*series("AAA", DAYS[:61]), *series("BBB", DAYS[:41])]
    run = ingest(tmp_path, DAYS[60])
    with run.db.reading() as con:
        assert gone(con) == {"BBB": date.fromisoformat(DAYS[40])}
        assert read_universe(con, date.fromisoformat(DAYS[40]))["symbol"].tolist() == ["AAA", "BBB"]
        assert read_universe(con, date.fromisoformat(DAYS[41]))["symbol"].tolist() == ["AAA"]
        # what was known the evening before: BBB still traded
        assert read_universe(con, as_of=evening(DAYS[59]))["valid_to"].isna().all()
        assert con.execute("SELECT symbol, valid_to FROM universe WHERE valid_to IS NOT NULL").fetchall() == [
            ("BBB", date.fromisoformat(DAYS[40]))
        ]
        then = con.execute("SELECT count(valid_to) FROM universe_as_of(?)", [evening(DAYS[59])]).fetchone()
    assert then == (0,)
    assert run.refusals["BBB"].message == f"BBB has not traded since {DAYS[40]}; it is kept, not forecast"
    assert run.refusals["BBB"].reason == "inactive" and not run.refusals["BBB"].passing


def test_universe__one_that_comes_back_is_open_again(tmp_path):
    First.bars = [*series("AAA", DAYS[:62]), *series("BBB", DAYS[:40])]
    run = ingest(tmp_path, DAYS[61])
    First.bars = [*series("AAA", DAYS[:63]), *series("BBB", DAYS[:40]), ("BBB", DAYS[62], 90.0)]
    run = ingest(tmp_path, DAYS[62])
    with run.db.reading() as con:
        assert gone(con) == {} and len(gone_then := read_universe(con, as_of=evening(DAYS[61]))) == 2
    assert gone_then["valid_to"].notna().tolist() == [False, True]


def test_universe__a_404_of_one_day_delists_nobody(tmp_path):
    First.bars = [*series("AAA", DAYS[:50]), *series("BBB", DAYS[:50])]
    ingest(tmp_path, DAYS[49])
    First.bars, First.failures = series("AAA", DAYS[:51]), {"BBB": UnknownSymbol("first", "BBB", "404")}
    run = ingest(tmp_path, DAYS[50])
    with run.db.reading() as con:
        assert gone(con) == {}
    assert run.refusals["BBB"].reason == "unknown_symbol"


@pytest.mark.parametrize("error", [UnknownSymbol, NoBars])
def test_universe__a_delisted_symbol_that_no_source_answers_for_is_no_failure(tmp_path, error):
    First.bars = [*series("AAA", DAYS[:61]), *series("BBB", DAYS[:41])]
    ingest(tmp_path, DAYS[60])
    First.bars, First.failures = series("AAA", DAYS[:62]), {"BBB": error("first", "BBB", "404")}
    run = ingest(tmp_path, DAYS[61])
    assert [(r.reason, r.message) for r in run.refusals.values()] == [
        ("inactive", f"BBB has not traded since {DAYS[40]}; it is kept, not forecast")
    ]
    with run.db.reading() as con:
        assert refused_by(con, run.run_id) == [("BBB", "inactive", run.refusals["BBB"].message)]


def test_universe__a_source_that_is_down_after_a_long_pause_delists_nobody(tmp_path):
    """Nothing ran for 21 sessions; then BBB's source does not answer. That says nothing of BBB, and is asked again."""
    First.bars = [*series("AAA", DAYS[:30]), *series("BBB", DAYS[:30])]
    ingest(tmp_path, DAYS[29])
    First.bars, First.failures = series("AAA", DAYS[:51]), {"BBB": SourceDown("first", "BBB", "no answer in time")}
    run = ingest(tmp_path, DAYS[50])
    assert [(r.reason, r.passing) for r in run.refusals.values()] == [("down", True)]


def test_universe__a_renamed_symbol_is_suggested_never_merged(tmp_path):
    First.bars = [*series("AAA", DAYS[:50]), *series("OLD", DAYS[:50])]
    ingest(tmp_path, DAYS[49], ("AAA", "OLD"))
    First.failures = {"OLD": UnknownSymbol("first", "OLD", "404")}
    First.bars = [(s, d, c) for s, d, c in [*series("NEW", DAYS[:51])]]
    First.bars += [("AAA", d, 7.0 + i % 3) for i, d in enumerate(DAYS[:51])]
    run = ingest(tmp_path, DAYS[50], ("NEW", "OLD"))
    said = [note for note in run.notes if "same closes" in note]
    assert said == ["OLD is not known any more, and NEW has the same closes: if it was renamed, put NEW in its place"]
    with run.db.reading() as con:
        assert con.execute("SELECT count(*) FROM prices WHERE symbol = 'OLD'").fetchone() == (50,)


def test_universe__a_run_that_goes_on_after_a_kill_leaves_out_the_same_symbols(tmp_path):
    First.bars = [*series("AAA", DAYS[:61]), *series("BBB", DAYS[:41])]
    settings = settings_of({"source": {"name": "first"}})
    asked = Asked("ingest", symbols=("AAA", "BBB"), every_time=True)
    with open_run(asked, Home(tmp_path), settings, evening(DAYS[60])) as run:
        bring_in_prices(run)
        first = dict(run.refusals)
    with open_run(asked, Home(tmp_path), settings, evening(DAYS[60])) as again:  # the run was never completed: the same one
        assert again.run_id == run.run_id and again.refusals == {}
        bring_in_prices(again)
        assert again.refusals == first and list(first) == ["BBB"]
