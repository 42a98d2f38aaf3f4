"""The counted tables against the views that they stand for, on a made ledger of three calendar years."""

from __future__ import annotations

import math

import pytest

from benchmarks.made_store import Shape, make_store
from storage.home import Home
from storage.reading import ask, scoreboard
from storage.snapshot import open_snapshot
from storage.tallies import TALLIES, tally

SHAPE = Shape(symbols=4, sessions=640, origins=520, forecasters=("lstm", "persistence", "ewma"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Home:
    return make_store(Home(tmp_path_factory.mktemp("tallies") / "home"), SHAPE)


@pytest.mark.parametrize("view", TALLIES)
def test_tally__says_what_the_view_says(made, view):
    one = TALLIES[view]
    key = ("model_id", "forecaster", "horizon", "mode", "interval") if view == "live_coverage" else one.key
    with open_snapshot(made) as con:
        assert con.execute("SELECT count(DISTINCT year(origin)) FROM store.scores").fetchone()[0] == 3
        found = tally(view, lambda sql, given: ask(con, sql, given))
        columns, rows = ask(con, f"FROM {view}")
    assert list(one.columns) == columns
    wanted = {tuple(row[columns.index(name)] for name in key): dict(zip(columns, row, strict=True)) for row in rows}
    assert {tuple(row[name] for name in key) for row in found} == set(wanted) and len(found) == len(wanted) > 8
    for row in found:
        other = wanted[tuple(row[name] for name in key)]
        for name, value in row.items():
            if isinstance(value, float):
                assert math.isclose(value, other[name], rel_tol=1e-9, abs_tol=1e-12), (name, row, other)
            else:
                assert value == other[name], (name, row, other)


def test_tally__of_an_empty_ledger_is_empty(tmp_path):
    home = make_store(Home(tmp_path / "home"), Shape(symbols=2, sessions=40, origins=1, forecasters=("lstm", "ewma")))
    with open_snapshot(home) as con:
        if ask(con, "SELECT count(*) FROM store.scores").rows == [(0,)]:
            assert tally("scoreboard", lambda sql, given: ask(con, sql, given)) == []


def test_scoreboard__of_the_command_is_the_view_in_its_order(made):
    with open_snapshot(made) as con:
        columns, rows = scoreboard(con, "live")
        wanted = ask(
            con, "SELECT forecaster, horizon, n FROM scoreboard ORDER BY horizon, forecaster <> 'served', pinball"
        ).rows
        assert [(r[0], r[1], r[3]) for r in rows] == wanted and columns[:3] == ["forecaster", "horizon", "mode"]
        assert scoreboard(con, "backfill").rows == []
