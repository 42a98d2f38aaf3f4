"""What fails for a while: asked again, caught up, and scored when it is known to be right."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flows.daily
from flows.backfill import backfill
from flows.daily import daily
from flows.ingest import ingest
from flows.parameters import Backfill, Daily, Ingest
from forecasting.errors import SourceDown, StorageError
from sources.registry import _registered
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
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


@pytest.fixture
def moody(tmp_path, monkeypatch):
    monkeypatch.setitem(_registered, "moody", Moody)  # gone again after the test, unlike with register_source
    for name in ("refusing", "late", "missing", "halved", "constant"):
        setattr(Moody, name, set())
    Moody.asked = []
    import dataclasses

    from tasks import ingest

    monkeypatch.setattr(ingest.fetch_prices, "policy", dataclasses.replace(ingest.fetch_prices.policy, first_delay=0.01))
    home = tiny_home(tmp_path / "home")
    text = (
        (home / "settings.toml").read_text().replace('name = "synthetic"', 'name = "moody"').replace("chunk = 2", "chunk = 3")
    )
    (home / "settings.toml").write_text("\n".join(line for line in text.splitlines() if not line.startswith("options")))
    return home


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


def test_daily__what_a_symbol_missed_while_it_failed_comes_with_the_first_evening_on_which_it_answers(moody):
    """BBB does not answer on 1 and 5 April, nor does CCC on the 5th and 6th: each gets what it missed as soon as its bars are
    there, the others keep what was issued, and an evening on which nothing new can be made does one session."""
    daily(Daily(home=str(moody), origin="2021-03-31"))
    told = []
    for day, down in (("2021-04-01", "BBB"), ("2021-04-05", "BBB CCC"), ("2021-04-06", "CCC"), ("2021-04-07", "")):
        Moody.refusing = set(down.split())
        told.append(daily(Daily(home=str(moody), origin=day)))
    made = "SELECT symbol, day(origin) AS d, any_value(run_id) FROM store.forecasts WHERE origin > '2021-03-31' "
    by = {report["run_id"]: index for index, report in enumerate(told)}
    found = {(symbol, day): by[run] for symbol, day, run in rows(moody, made + "GROUP BY ALL ORDER BY ALL")}
    assert found == {
        ("AAA", 1): 0, ("AAA", 5): 1, ("AAA", 6): 2, ("AAA", 7): 3,
        ("BBB", 1): 2, ("BBB", 5): 2, ("BBB", 6): 2, ("BBB", 7): 3,
        ("CCC", 1): 0, ("CCC", 5): 3, ("CCC", 6): 3, ("CCC", 7): 3,
    }  # fmt: skip
    steps = "SELECT step FROM store.steps WHERE run_id = '{}' AND step LIKE 'forecast/%'"
    assert rows(moody, steps.format(told[1]["run_id"])) == [("forecast/2021-04-05..2021-04-05",)]


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


def test_score__waits_where_the_prices_of_the_evening_are_wrong_however_often_the_day_is_run(moody):
    """On 1 April all that is asked again of AAA comes halved, before a split that is none; BBB does not answer at first. On
    the 5th the prices are right again, and many changed once more; on the 6th nothing changes, and the 31st is scored."""
    daily(Daily(home=str(moody), origin="2021-03-31"))
    Moody.halved, Moody.refusing = {"AAA"}, {"BBB"}
    first = daily(Daily(home=str(moody), origin="2021-04-01"))
    Moody.refusing = set()
    again = daily(Daily(home=str(moody), origin="2021-04-01"))
    scored = "SELECT DISTINCT symbol FROM store.scores ORDER BY symbol"
    assert first["run_id"] != again["run_id"] and rows(moody, scored) == [("BBB",), ("CCC",)]
    Moody.halved = set()
    for day in ("2021-04-05", "2021-04-06"):
        daily(Daily(home=str(moody), origin=day))
    worst = "SELECT symbol, max(persistence_abs_error) < 0.2 FROM store.scores WHERE origin = '2021-03-31' GROUP BY symbol "
    assert rows(moody, worst + "ORDER BY symbol") == [(symbol, True) for symbol in SYMBOLS]


def test_score__waits_where_nothing_came_since_the_evening_of_wrong_prices(moody):
    """AAA comes halved on 1 April and does not answer on the 5th: its forecast of 31 March is not scored on what is stored."""
    daily(Daily(home=str(moody), origin="2021-03-31"))
    Moody.halved = {"AAA"}
    daily(Daily(home=str(moody), origin="2021-04-01"))
    Moody.halved, Moody.refusing = set(), {"AAA"}
    daily(Daily(home=str(moody), origin="2021-04-05"))
    assert rows(moody, "SELECT DISTINCT symbol FROM store.scores ORDER BY symbol") == [("BBB",), ("CCC",)]


def test_daily__with_a_bar_that_is_always_late_and_says_nothing_does_not_begin_further_back_each_evening(moody):
    """CCC's closes are all the same, so that nothing can be forecast, and its bar comes a day late: two sessions an evening."""
    Moody.constant = {"CCC"}
    daily(Daily(home=str(moody), origin="2021-03-31"))
    Moody.late, found = {"CCC"}, []
    for day in ("2021-04-01", "2021-04-05", "2021-04-06", "2021-04-07"):
        found += spans(moody, daily(Daily(home=str(moody), origin=day)))
    assert found[0] == "2021-04-01..2021-04-01" and found[-1] == "2021-04-06..2021-04-07"


def test_daily__after_a_symbol_did_not_trade_for_some_sessions_does_one(moody):
    """CCC has no bars on 1 and 5 April, as a thinly traded one: there is nothing to catch up on the 6th."""
    Moody.missing = {"CCC 2021-04-01", "CCC 2021-04-05"}
    days = ("2021-03-31", "2021-04-01", "2021-04-05", "2021-04-06")
    told = [daily(Daily(home=str(moody), origin=day)) for day in days]
    assert [spans(moody, report) for report in told[1:]] == [[f"{day}..{day}"] for day in days[1:]]
    assert len(told[-1]["forecasts"]) == len(told[0]["forecasts"])


def test_backfill__with_a_symbol_that_no_longer_trades_does_nothing_twice(moody):
    """CCC has no bars after 31 March and counts as gone after three sessions; BBB's bar of the 7th comes a day late."""
    with (moody / "settings.toml").open("r+") as file:
        text = file.read().replace("[universe]\n", "[universe]\ninactive_after = 5\n")
        file.seek(0)
        file.write(text)
    days = [f"2021-04-0{day}" for day in (1, 5, 6, 7, 8)]
    Moody.missing = {f"CCC {day}" for day in days} | {"BBB 2021-04-07"}
    daily(Daily(home=str(moody), origin="2021-03-31"))
    ingest(Ingest(home=str(moody), end="2021-04-08"))
    ends = [backfill(Backfill(home=str(moody), start="2021-04-01", end=day)) for day in days[2:]]
    assert [spans(moody, report) for report in ends] == [
        ["2021-04-01..2021-04-06"], ["2021-04-07..2021-04-07"], ["2021-04-07..2021-04-08"]
    ]  # fmt: skip


def test_training__that_an_attempt_gave_up_on_is_not_tried_by_the_next_of_the_same_run(moody, monkeypatch):
    """Three runs of 1 April died in training; the fourth goes on without it and meets a full disk; so does the fifth go on."""
    daily(Daily(home=str(moody), origin="2021-03-31"))
    request = Daily(home=str(moody), origin="2021-04-01", retrain=True)
    with monkeypatch.context() as patch:
        patch.setattr("storage.runs.died_in_a_row", lambda con, flow: 3)
        patch.setattr(flows.daily, "forecast", full)
        with pytest.raises(StorageError):
            daily(request)
    report = daily(request)
    assert report["not_trained"].startswith("no model could be trained at 2021-04-01: the last 3 runs died on the way")
    assert report["status"] == "degraded" and len(rows(moody, "SELECT * FROM models")) == 1
    assert rows(moody, "SELECT origin::VARCHAR, reason FROM failed_trainings") == [("2021-04-01", report["not_trained"])]
    again = daily(request)
    assert again["already_done"] and again["not_trained"] == report["not_trained"]


def full(*given) -> None:
    raise StorageError("disk full")


def test_training__is_tried_where_nobody_serves_however_often_runs_died(tmp_path):
    """A new home, of which the terminal is closed three times before the first prices are there."""
    home = tiny_home(tmp_path / "home")
    dies = (
        "import os, sys; import flows.daily; from flows.parameters import Daily; "
        "flows.daily.bring_in_prices = lambda run: os._exit(9); "
        "flows.daily.daily(Daily(home=sys.argv[1], origin='2021-03-31'))"
    )
    ends = [subprocess.run([sys.executable, "-c", dies, str(home)], check=False).returncode for _ in range(3)]
    report = daily(Daily(home=str(home), origin="2021-03-31"))
    assert ends == [9, 9, 9] and report["status"] == "completed" and report["not_trained"] is None
