"""The day's ranks: issued beside the forecasts, from the same draws each time, scored when they settle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from app.cli import execute
from flows.daily import daily
from flows.parameters import Daily
from forecasting import joint
from forecasting.errors import StorageError
from storage.database import Database
from storage.home import Home
from tests.tiny import SETTINGS

SIX = '["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]'


@pytest.fixture(scope="module")
def ranked(tmp_path_factory) -> Path:
    """A home of six symbols in which one day was done."""
    home = tmp_path_factory.mktemp("ranked") / "home"
    home.mkdir()
    settings = SETTINGS.replace('["AAA", "BBB", "CCC"]', SIX).replace("chunk = 2", "chunk = 6")
    (home / "settings.toml").write_text(settings.replace("[lstm]", "[lstm]\nhorizons = [1, 5]"), encoding="utf-8")
    daily(Daily(home=str(home), origin="2021-03-31"))
    return home


def test_daily__six_symbols_are_ranked_and_settle(ranked, tmp_path) -> None:
    home = Path(shutil.copytree(ranked, tmp_path / "home"))
    with Database(Home(home)).reading() as con:
        issued = con.execute("SELECT * FROM rank_forecasts ORDER BY forecaster, symbol").df()
    daily(Daily(home=str(home), origin="2021-04-08"))  # catches up on the sessions between
    with Database(Home(home)).reading() as con:
        later = con.execute("SELECT * FROM rank_forecasts").df()
        board = con.execute("SELECT forecaster, n, rps, rps_bootstrap FROM rank_scoreboard").df()

    assert len(issued) == 12 and set(issued["horizon"]) == {5} and set(issued["symbols"]) == {6}
    assert (
        set(issued["forecaster"]) == {joint.RIVAL, *issued.loc[issued["serving"], "forecaster"]}
        and issued["serving"].sum() == 6
    )
    assert (issued[["p1", "p2", "p3", "p4", "p5"]].sum(axis=1) - 1).abs().max() < 1e-12
    assert issued["p_up"].between(0.2, 0.8).all() and not issued["settled"].any()
    # The fifth session after 31 March is 8 April: 2 April was Good Friday. Later origins have not settled by then.
    settled = later[later["settled"]]
    assert len(later) == 6 * 12 and {str(day)[:10] for day in settled["origin"]} == {"2021-03-31"}
    assert settled.groupby("forecaster")["fifth"].apply(sorted).tolist() == [[1, 1, 2, 3, 4, 5]] * 2
    assert set(board["n"]) == {6} and board["rps"].between(0.02, 0.4).all() and board["rps_bootstrap"].notna().all()


def test_daily__ranks_what_a_run_that_died_had_forecast(ranked, tmp_path, monkeypatch, capsys) -> None:
    """From what was known then, as backfill; a price of that day that was put right meanwhile changes nothing."""
    calm, home = (Path(shutil.copytree(ranked, tmp_path / name)) for name in ("calm", "home"))
    daily(Daily(home=str(calm), origin="2021-04-01"))

    def dies(run, sessions):
        raise RuntimeError("the power went")

    def unreadable(*args):
        raise StorageError("the past is gone")

    with monkeypatch.context() as patched:
        patched.setattr("flows.issuing.rank", dies)
        with pytest.raises(RuntimeError, match="the power went"):
            daily(Daily(home=str(home), origin="2021-04-01"))
    store = Database(Home(home))
    with store.lease("test") as lease, store.writing(lease, "test", "put right") as tx:
        tx.execute("UPDATE store.forecasts SET mode = 'live' WHERE origin = '2021-04-01'")  # as on the evening itself
        tx.execute(
            """INSERT INTO store.bars BY NAME
            SELECT * REPLACE (close * 1.01 AS close, now() AS known_at, revision + 1 AS revision)
            FROM store.bars WHERE symbol = 'BBB' AND session = '2021-03-30'"""
        )
    with monkeypatch.context() as patched:  # what another day left holds up nobody
        patched.setattr("tasks.ranking_days.market_known", unreadable)
        report = daily(Daily(home=str(home), origin="2021-04-05"))  # the next session: 2 April was Good Friday
    assert report["status"] == "completed" and "could not be made up for: the past is gone" in str(report["notes"])
    daily(Daily(home=str(home), origin="2021-04-06"))
    asked = """SELECT symbol, forecaster, p1, p5, p_up, mode, r.run_id = f.run_id AS same FROM store.rank_forecasts AS r
        LEFT JOIN (SELECT DISTINCT origin, run_id FROM store.forecasts) AS f USING (origin, run_id)
        WHERE origin = '2021-04-01' ORDER BY forecaster, symbol"""
    with Database(Home(calm)).reading() as con:
        undisturbed = con.execute(asked).fetchall()
    with store.reading() as con:
        later = con.execute(asked).fetchall()
        origins = con.execute("SELECT origin::VARCHAR FROM store.rank_forecasts GROUP BY 1 ORDER BY 1").fetchall()
    assert len(later) == 12 and {row[-2:] for row in later} == {("backfill", True)}
    assert [row[:5] for row in later] == [row[:5] for row in undisturbed]
    assert origins == [("2021-03-31",), ("2021-04-01",), ("2021-04-05",), ("2021-04-06",)]
    assert execute(["reproduce", "BBB", "2021-04-01", "5", "--json", "--home", str(home)]) == 0
    assert [one["same_bits"] for one in json.loads(capsys.readouterr().out)["ranks"]] == [True]


def test_daily__three_symbols_are_not_ranked(finished) -> None:
    home, _ = finished
    with Database(Home(home)).reading() as con:
        assert con.execute("SELECT count(*) FROM forecasts").fetchone()[0] > 0
        assert con.execute("SELECT count(*) FROM rank_forecasts").fetchone()[0] == 0


def test_reproduce__makes_ranks_again_to_the_bit(ranked, capsys) -> None:
    """With the forecasts of the longest horizon; the rival that makes nothing but ranks can be named."""
    asked = ["reproduce", "BBB", "2021-03-31"]
    assert execute([*asked, "--json", "--home", str(ranked)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["horizon"] for one in answer["forecasts"]] == [1, 5]
    [rank] = answer["ranks"]
    assert (rank["horizon"], rank["same_bits"], rank["largest_difference"]) == (5, True, 0.0)
    assert set(rank["stored"]) == {"p1", "p2", "p3", "p4", "p5", "p_up"} and rank["stored"] == rank["again"]
    assert execute([*asked, "5", joint.RIVAL, "--json", "--home", str(ranked)]) == 0
    rival = json.loads(capsys.readouterr().out)
    assert rival["forecasts"] == [] and [r["forecaster"] for r in rival["ranks"]] == [joint.RIVAL] and rival["ranks"] != [rank]
    assert execute([*asked, "1", "--json", "--home", str(ranked)]) == 0
    assert json.loads(capsys.readouterr().out)["ranks"] == []  # ranks were issued five sessions ahead only
    assert execute([*asked, "5", "nobody", "--home", str(ranked)]) == 2
    assert "joint_bootstrap" in capsys.readouterr().err


def test_reproduce__of_a_rank_that_was_changed_says_so(ranked, tmp_path, capsys) -> None:
    home = Path(shutil.copytree(ranked, tmp_path / "home"))
    (home / "snapshot.duckdb").chmod(0o644)
    with duckdb.connect(str(home / "snapshot.duckdb")) as con:
        con.execute("UPDATE store.rank_forecasts SET p1 = p1 + 0.01 WHERE symbol = 'BBB'")
    assert execute(["reproduce", "BBB", "2021-03-31", "5", "--home", str(home)]) == 12
    said = capsys.readouterr().out
    assert "its fifth among 6: not the same bits" in said and "unexplained" in said and "1.0e-02" in said
    assert said.count("the same bits, 10 numbers") == 1  # the forecast itself is as it was


def test_evaluation__keeps_what_the_paper_portfolio_did_as_risk_figures(ranked) -> None:
    """Its deepest fall among them; six symbols are enough for a fifth to buy and a fifth to sell."""
    with Database(Home(ranked)).reading() as con:
        found = con.execute(
            "SELECT metric, value FROM evaluations WHERE forecaster = 'lstm' AND metric LIKE 'portfolio%' ORDER BY metric"
        ).fetchall()
    figures = dict(found)
    assert set(figures) == {
        f"portfolio_{name}"
        for name in ("drawdown", "sharpe", "sharpe_error", "turnover", "volatility", "yearly_cost", "yearly_return")
    }
    assert 0 < figures["portfolio_drawdown"] < 1 and figures["portfolio_volatility"] > 0 > -figures["portfolio_yearly_cost"]
