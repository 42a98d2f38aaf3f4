"""The day's ranks: issued beside the forecasts, from the same draws each time, scored when they settle."""

from __future__ import annotations

from flows.daily import daily
from flows.parameters import Daily
from forecasting import joint
from storage.database import Database
from storage.home import Home
from tests.tiny import SETTINGS

SIX = '["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]'


def test_daily__six_symbols_are_ranked_and_settle(tmp_path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = SETTINGS.replace('["AAA", "BBB", "CCC"]', SIX).replace("chunk = 2", "chunk = 6")
    (home / "settings.toml").write_text(settings.replace("[lstm]", "[lstm]\nhorizons = [1, 5]"), encoding="utf-8")

    daily(Daily(home=str(home), origin="2021-03-31"))
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


def test_daily__three_symbols_are_not_ranked(finished) -> None:
    home, _ = finished
    with Database(Home(home)).reading() as con:
        assert con.execute("SELECT count(*) FROM forecasts").fetchone()[0] > 0
        assert con.execute("SELECT count(*) FROM rank_forecasts").fetchone()[0] == 0
