"""What a run stores of its evaluation, cut by year, regime, sector and symbol."""

from __future__ import annotations

from shutil import rmtree

import pytest

from flows.parameters import Retrain
from flows.retrain import retrain
from storage.home import Home
from storage.snapshot import open_snapshot


@pytest.fixture(scope="module")
def rows(finished) -> dict[tuple, float]:
    with open_snapshot(Home(finished[0])) as con:
        found = con.execute("SELECT kind, slice, forecaster, horizon, metric, value, n_rows FROM evaluation_slices").fetchall()
        whole = con.execute(
            "SELECT value, n_rows FROM evaluations WHERE (forecaster, horizon, metric) = ('lstm', 5, 'pinball')"
        )
        return {row[:5]: row[5:] for row in found} | {"whole": whole.fetchone()}


def test_slices__of_each_kind_cover_the_judged_rows(rows):
    pinball, count = rows["whole"]
    for kind in ("year", "regime", "symbol"):
        parts = [v for k, v in rows.items() if k[0] == kind and k[2:] == ("lstm", 5, "pinball")]
        assert sum(n for _, n in parts) == count
        assert sum(v * n for v, n in parts) / count == pytest.approx(pinball)
    assert {k[1] for k in rows if k[0] == "symbol"} == {"AAA", "BBB", "CCC"}
    assert not any(k[0] == "sector" for k in rows)  # the settings name no file


def test_slices__hold_every_rival_by_year_and_the_reference_alone_by_symbol(rows):
    assert {k[2] for k in rows if k[0] == "year"} >= {"lstm", "persistence", "drift", "ewma", "ridge"}
    assert {k[2] for k in rows if k[0] == "symbol"} == {"lstm", "ewma"}


def test_retrain__cuts_by_sector_and_draws_and_neither_can_stop_it(copied, monkeypatch, tmp_path):
    (tmp_path / "sectors.csv").write_text("symbol,sector\nAAA,Energy\nBBB,Energy\n")
    monkeypatch.setenv("NEXTCLOSE_UNIVERSE__SECTORS", str(tmp_path / "sectors.csv"))
    monkeypatch.setenv("NEXTCLOSE_EVALUATION__PLOTS", "true")
    report = retrain(Retrain(home=str(copied), origin="2021-03-30"))
    with open_snapshot(Home(copied)) as con:
        found = con.execute(
            "SELECT slice, n_rows, n_sessions FROM evaluation_slices "
            "WHERE (kind, forecaster, horizon, metric) = ('sector', 'lstm', 1, 'pinball') ORDER BY 1"
        ).fetchall()
    assert [name for name, *_ in found] == ["Energy", "unknown"]
    assert found[0][1] == 2 * found[1][1] and found[0][2] == found[1][2]
    names = ("calibration.png", "evaluation.html", "forecasts.png", "loss.png", "skill.png")
    assert report["plots"] == [f"{copied}/plots/{report['run_id']}/2021-03-30/{name}" for name in names]

    (tmp_path / "sectors.csv").write_text("nothing")
    rmtree(copied / "plots")
    (copied / "plots").write_text("not a folder")
    report = retrain(Retrain(home=str(copied), origin="2021-03-29"))
    assert report["status"] == "completed" and report["plots"] == []
    assert [note.split(":")[0] for note in report["notes"]][-2:] == [
        "no results by sector", "no pictures of the evaluation of 2021-03-29",
    ]  # fmt: skip
