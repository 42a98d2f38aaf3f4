"""What fails for a while: asked again, caught up, and scored when it is known to be right."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import flows.issuing
from flows.backfill import backfill
from flows.daily import daily
from flows.ingest import ingest
from flows.parameters import Backfill, Daily, Ingest
from forecasting.errors import SourceDown, StorageError
from sources.registry import _registered
from storage.home import Home
from storage.reading import ask
from storage.runs import start_attempt
from storage.snapshot import open_snapshot
from tasks.ingest import fetch_prices
from tasks.learning import failed_before
from tasks.opening import Asked, open_run
from tasks.settings import read_settings
from tests.tiny import SYMBOLS, tiny_home


def rows(home, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return ask(con, sql).rows


def spans(home, report) -> list[str]:
    """The spans of sessions that a run forecast."""
    named = f"SELECT step[10:] FROM store.steps WHERE run_id = '{report['run_id']}' AND step LIKE 'forecast/%' ORDER BY step"
    return [span for (span,) in rows(home, named)]


class Moody:
    """A source that refuses one symbol until it is in a better mood; live, so that only asking tells."""

    name = "moody"
    refusing: set[str] = set()
    late: set[str] = set()  # their bar of the last session has not come yet
    missing: set[str] = set()  # bars that there are not, 'CCC 2021-04-01'
    halved: set[str] = set()  # whose closes of the span asked for are wrong
    constant: set[str] = set()  # whose closes never change
    asked: list[tuple[str, ...]] = []

    def symbols(self):
        return None

    def identity(self):
        return "moody"

    def fetch(self, symbols, start=None, end=None):
        from sources.synthetic import SyntheticSource

        Moody.asked.append(tuple(symbols))
        whole = SyntheticSource(symbols=list(SYMBOLS), sessions=320, start="2020-01-02", events=False)
        answer = whole.fetch([s for s in symbols if s not in self.refusing], start, end)
        down = {s: SourceDown("moody", s, "no answer", "try again") for s in symbols if s in self.refusing}
        bars = answer.bars
        missing = bars["symbol"].isin(self.late) & (bars["session"] == str(end))
        missing |= (bars["symbol"] + " " + bars["session"].dt.strftime("%Y-%m-%d")).isin(self.missing)
        prices = ["open", "high", "low", "close"]
        bars.loc[bars["symbol"].isin(self.halved), prices] /= 2
        bars.loc[bars["symbol"].isin(self.constant), prices] = 10.0
        return type(answer)(bars[~missing].reset_index(drop=True), answer.actions, failures={**answer.failures, **down})


def in_no_mood() -> None:
    for name in ("refusing", "late", "missing", "halved", "constant"):
        setattr(Moody, name, set())
    Moody.asked = []


@pytest.fixture(scope="module", autouse=True)
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_registered, "moody", Moody)  # gone again after the tests, unlike with register_source
        patch.setattr(fetch_prices, "policy", replace(fetch_prices.policy, first_delay=0.01))
        yield


@pytest.fixture
def moody(tmp_path) -> Path:
    """A home in which nothing was done."""
    in_no_mood()
    home = tiny_home(tmp_path / "home")
    text = (home / "settings.toml").read_text()
    text = text.replace('name = "synthetic"', 'name = "moody"').replace("chunk = 2", "chunk = 3")
    (home / "settings.toml").write_text("\n".join(line for line in text.splitlines() if not line.startswith("options")))
    return home


@pytest.fixture(scope="module")
def done_once(tmp_path_factory, registered) -> Path:
    home = moody.__wrapped__(tmp_path_factory.mktemp("done"))
    daily(Daily(home=str(home), origin="2021-03-31"))
    return home


@pytest.fixture
def begun(done_once, tmp_path) -> Path:
    """A home in which all of 31 March was done."""
    in_no_mood()
    return Path(shutil.copytree(done_once, tmp_path / "begun"))


def test_daily__a_symbol_that_failed_for_now_is_tried_again_by_the_next_run(moody):
    Moody.refusing = {"BBB"}
    first = daily(Daily(home=str(moody), origin="2021-03-31"))
    assert first["status"] == "degraded"
    assert [(r["symbol"], r["reason"]) for r in first["refused"]] == [("BBB", "down")]
    assert Moody.asked == [("AAA", "BBB", "CCC"), ("BBB",), ("BBB",)]  # whoever answered is not asked again

    Moody.refusing = set()
    second = daily(Daily(home=str(moody), origin="2021-03-31"))
    assert second["status"] == "completed" and second["run_id"] != first["run_id"]
    assert {f["symbol"] for f in second["forecasts"]} == set(SYMBOLS)
    third = daily(Daily(home=str(moody), origin="2021-03-31"))
    assert third["already_done"] and third["digest"] == second["digest"]


def test_daily__what_a_symbol_missed_while_it_failed_comes_with_the_first_evening_on_which_it_answers(begun):
    """BBB does not answer on 1 and 5 April, nor does CCC on the 5th and 6th: each gets what it missed as soon as its bars are
    there, the others keep what was issued, and an evening on which nothing new can be made does one session."""
    told = []
    for day, down in (("2021-04-01", "BBB"), ("2021-04-05", "BBB CCC"), ("2021-04-06", "CCC"), ("2021-04-07", "")):
        Moody.refusing = set(down.split())
        told.append(daily(Daily(home=str(begun), origin=day)))
    made = "SELECT symbol, day(origin) AS d, any_value(run_id) FROM store.forecasts WHERE origin > '2021-03-31' "
    by = {report["run_id"]: index for index, report in enumerate(told)}
    found = {(symbol, day): by[run] for symbol, day, run in rows(begun, made + "GROUP BY ALL ORDER BY ALL")}
    assert found == {
        ("AAA", 1): 0, ("AAA", 5): 1, ("AAA", 6): 2, ("AAA", 7): 3,
        ("BBB", 1): 2, ("BBB", 5): 2, ("BBB", 6): 2, ("BBB", 7): 3,
        ("CCC", 1): 0, ("CCC", 5): 3, ("CCC", 6): 3, ("CCC", 7): 3,
    }  # fmt: skip
    steps = "SELECT step FROM store.steps WHERE run_id = '{}' AND step LIKE 'forecast/%'"
    assert rows(begun, steps.format(told[1]["run_id"])) == [("forecast/2021-04-05..2021-04-05",)]


def test_daily__a_bar_that_is_late_is_waited_for_by_the_next_run(moody):
    Moody.late = {"CCC"}
    first = daily(Daily(home=str(moody), origin="2021-03-31"))
    assert [(r["symbol"], r["reason"]) for r in first["refused"]] == [("CCC", "stale_symbol")]
    held = "SELECT (SELECT count(*) FROM store.bars), (SELECT count(*) FROM store.forecasts)"
    before = rows(moody, held)
    assert daily(Daily(home=str(moody), origin="2021-03-31"))["refused"] == first["refused"]  # asked again, no news
    assert rows(moody, held) == before
    Moody.late = set()
    second = daily(Daily(home=str(moody), origin="2021-03-31"))
    assert second["status"] == "completed" and {f["symbol"] for f in second["forecasts"]} == set(SYMBOLS)


def test_daily__without_any_answer_ends_with_the_sources_error(moody):
    Moody.refusing = set(SYMBOLS)
    with pytest.raises(SourceDown, match=r"none of 3 symbols answered.*no answer; try again"):
        daily(Daily(home=str(moody), origin="2021-03-31"))
    assert not (moody / "snapshot.duckdb").exists()


def test_score__waits_for_prices_that_nothing_came_after_which_says_otherwise(begun):
    """On 1 April all that is asked again of AAA comes halved, before a split that is none; BBB does not answer at first, so the
    day is done twice. On the 5th AAA does not answer. On the 6th it is right again, and many of its bars changed once more;
    on the 7th nothing changes, and the forecast of 31 March is scored."""
    Moody.halved, Moody.refusing = {"AAA"}, {"BBB"}
    first = daily(Daily(home=str(begun), origin="2021-04-01"))
    Moody.refusing = set()
    again = daily(Daily(home=str(begun), origin="2021-04-01"))
    assert first["run_id"] != again["run_id"]
    Moody.halved, Moody.refusing = set(), {"AAA"}
    daily(Daily(home=str(begun), origin="2021-04-05"))
    Moody.refusing = set()
    daily(Daily(home=str(begun), origin="2021-04-06"))
    assert rows(begun, "SELECT DISTINCT symbol FROM store.scores ORDER BY symbol") == [("BBB",), ("CCC",)]
    daily(Daily(home=str(begun), origin="2021-04-07"))
    worst = "SELECT symbol, max(persistence_abs_error) < 0.2 FROM store.scores WHERE origin = '2021-03-31' GROUP BY symbol "
    assert rows(begun, worst + "ORDER BY symbol") == [(symbol, True) for symbol in SYMBOLS]


def test_daily__with_a_bar_that_is_always_late_and_says_nothing_does_not_begin_further_back_each_evening(moody):
    """CCC's closes are all the same, so that nothing can be forecast, and its bar comes a day late: two sessions an evening."""
    Moody.constant = {"CCC"}
    daily(Daily(home=str(moody), origin="2021-03-31"))
    Moody.late, found = {"CCC"}, []
    for day in ("2021-04-01", "2021-04-05", "2021-04-06", "2021-04-07"):
        found += spans(moody, daily(Daily(home=str(moody), origin=day)))
    assert found[0] == "2021-04-01..2021-04-01" and found[-1] == "2021-04-06..2021-04-07"


def test_daily__after_a_symbol_did_not_trade_for_some_sessions_does_one(begun):
    """CCC has no bars on 1 and 5 April, as a thinly traded one: there is nothing to catch up on the 6th."""
    Moody.missing = {"CCC 2021-04-01", "CCC 2021-04-05"}
    days = ("2021-04-01", "2021-04-05", "2021-04-06")
    told = [daily(Daily(home=str(begun), origin=day)) for day in days]
    assert [spans(begun, report) for report in told] == [[f"{day}..{day}"] for day in days]
    assert {forecast["symbol"] for forecast in told[-1]["forecasts"]} == set(SYMBOLS)


def test_backfill__with_a_symbol_that_no_longer_trades_does_nothing_twice(begun):
    """CCC has no bars after 31 March and counts as gone after three sessions; BBB's bar of the 7th comes a day late."""
    with (begun / "settings.toml").open("r+") as file:
        text = file.read().replace("[universe]\n", "[universe]\ninactive_after = 5\n")
        file.seek(0)
        file.write(text)
    days = [f"2021-04-0{day}" for day in (1, 5, 6, 7, 8)]
    Moody.missing = {f"CCC {day}" for day in days} | {"BBB 2021-04-07"}
    ingest(Ingest(home=str(begun), end="2021-04-08"))
    ends = [backfill(Backfill(home=str(begun), start="2021-04-01", end=day)) for day in days[2:]]
    assert [spans(begun, report) for report in ends] == [
        ["2021-04-01..2021-04-06"], ["2021-04-07..2021-04-07"], ["2021-04-07..2021-04-08"]
    ]  # fmt: skip


def test_training__that_an_attempt_gave_up_on_is_not_tried_by_the_next_of_the_same_run(begun, monkeypatch):
    """Three runs of 1 April died in training; the fourth goes on without it and meets a full disk; so does the fifth go on."""
    request = Daily(home=str(begun), origin="2021-04-01", retrain=True)
    with monkeypatch.context() as patch:
        patch.setattr("storage.runs.died_in_a_row", lambda con, flow: 3)
        patch.setattr(flows.issuing, "forecast", full)
        with pytest.raises(StorageError):
            daily(request)
    report = daily(request)
    assert report["not_trained"].startswith("no model could be trained at 2021-04-01: the last 3 runs died on the way")
    assert report["status"] == "degraded" and len(rows(begun, "SELECT * FROM models")) == 1
    assert rows(begun, "SELECT origin::VARCHAR, reason FROM failed_trainings") == [("2021-04-01", report["not_trained"])]
    again = daily(request)
    assert again["already_done"] and again["not_trained"] == report["not_trained"]


def full(*given) -> None:
    raise StorageError("disk full")


def test_training__is_tried_where_nobody_serves_however_often_runs_died(moody, begun):
    """Three runs died, of which one knows no more than that: in a new home that says nothing of training, where somebody
    serves the day is done without it."""
    found = []
    for home in (moody, begun):
        settings = read_settings(home / "settings.toml", {})
        asked = Asked("daily", symbols=SYMBOLS, origin=date(2021, 4, 1), every_time=True)
        with open_run(asked, Home(home), settings, datetime.now(UTC)) as run:
            for _ in range(3):
                with run.db.writing(run.lease, run.run_id, None) as tx:
                    start_attempt(tx, run.run_id, "daily", run.now)
            found.append(failed_before(run, run.origin))
    assert found[0] is None and "the last 3 runs died on the way" in found[1]
