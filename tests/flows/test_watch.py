"""A serving model that no longer deserves it: the rival takes over, and the next run trains."""

from __future__ import annotations

import duckdb
import pytest

from flows.daily import daily
from flows.parameters import Daily
from storage.home import Home
from storage.snapshot import open_snapshot
from storage.verify import verify
from tests.tiny import tiny_home

DRIFT = "\n[drift]\nmin_sessions = 10\nbackfill = true\n"


def rows(home, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return con.execute(sql).fetchall()


def test_watch__of_a_young_model_tells_what_it_can_and_does_nothing(finished):
    found = rows(finished[0], "SELECT kind, what, horizon, verdict, action FROM drift ORDER BY ALL")
    assert [row for row in found if row[0] == "population"] == [
        ("population", name, 0, "steady", "none") for name in ("features", "range", "ret")
    ]
    assert {row[3] for row in found if row[0] != "population"} == {"cannot_tell"}  # nothing was issued live
    assert {row[4] for row in found} == {"none"}


@pytest.fixture(scope="module")
def fallen(tmp_path_factory):
    """A home that forecast from 2021-03-01 to 03-25, in which then somebody made another rival's losses half as large."""
    home = tiny_home(tmp_path_factory.mktemp("watch") / "home")
    (home / "settings.toml").write_text((home / "settings.toml").read_text() + DRIFT)
    daily(Daily(home=str(home), origin="2021-03-01"))
    daily(Daily(home=str(home), origin="2021-03-25"))
    served = rows(home, "SELECT DISTINCT forecaster FROM forecasts")[0][0]
    better = "drift" if served == "persistence" else "persistence"
    with duckdb.connect(str(home / "nextclose.duckdb")) as con:
        # one session ahead: half the loss of whoever serves, every day
        con.execute(
            """UPDATE store.scores SET pinball = 0.5 * (
                SELECT s.pinball FROM store.scores AS s WHERE s.forecaster = $served AND s.symbol = scores.symbol
                AND s.origin = scores.origin AND s.horizon = scores.horizon)
            WHERE forecaster = $better""",
            {"served": served, "better": better},
        )
    return home, served, better, daily(Daily(home=str(home), origin="2021-03-26"))


def test_watch__falls_back_to_the_rival_that_is_better_beyond_luck_and_says_so(fallen):
    home, served, better, report = fallen
    acted = rows(home, "SELECT origin::VARCHAR, kind, what, horizon, action FROM drift WHERE action <> 'none'")
    assert acted == [("2021-03-26", "skill", f"vs {better}", 1, "fall_back")]
    assert report["serving"]["forecaster"] == better
    assert report["serving"]["reason"].startswith(f"{served} stepped back for {better}: {served} 1 ahead: skill -")
    assert any("the rival serves from now on" in note for note in report["notes"])
    by = rows(home, "SELECT DISTINCT origin::VARCHAR, forecaster FROM forecasts WHERE origin >= '2021-03-25' ORDER BY ALL")
    assert by == [("2021-03-25", served), ("2021-03-26", served)]  # that day's were issued before


def test_watch__the_next_run_forecasts_with_the_rival_and_trains_once(fallen):
    home, _, better, report = fallen
    models = rows(home, "SELECT count(*) FROM store.models")[0][0]
    again = daily(Daily(home=str(home), origin="2021-03-26"))
    assert again["already_done"] and again["digest"] == report["digest"]
    daily(Daily(home=str(home), origin="2021-03-29"))
    assert rows(home, "SELECT max(origin)::VARCHAR, count(*) FROM store.models") == [("2021-03-29", models + 1)]
    daily(Daily(home=str(home), origin="2021-03-30"))
    assert rows(home, "SELECT count(*) FROM store.models") == [(models + 1,)]  # the call was answered
    assert rows(home, "SELECT count(*) FROM drift WHERE origin = '2021-03-30' AND action <> 'none'") == [(0,)]
    assert {finding.kind for finding in verify(Home(home))} <= {"database"}  # only what this test changed by hand
