"""The product is tried where the truth is known: at small size in full, and again after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tasks.controls
from app.cli import execute
from app.commands.controls import FOUND_WANTING
from flows.controls import controls
from flows.parameters import Controls
from forecasting.audit.controls import Case
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot


def rows(home: Path, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return ask(con, sql).rows


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> tuple[Path, dict]:
    """The controls at small size, in a home that holds no price."""
    home = tmp_path_factory.mktemp("controls") / "home"
    return home, controls(Controls(home=str(home), size="small"))


def tally_of(report: dict, control: str, strength: float | None = None) -> tuple[int, int]:
    return next((t["right"], t["cases"]) for t in report["tallies"] if (t["control"], t["strength"]) == (control, strength))


def test_controls__find_what_is_planted_and_nothing_in_random_walks(tried):
    home, report = tried
    assert report["met"], report["wrong"]
    right, of = tally_of(report, "random_walk")
    assert of == 6 and right >= 5 and len(report["promoted"]) <= 1
    right, of = tally_of(report, "ar1", 0.3)
    assert of == 3 and right >= 2
    assert rows(home, "SELECT count(*) FROM controls WHERE control = 'random_walk' AND answer = 'promoted'")[0][0] <= 1


def test_controls__refuse_every_broken_model_with_its_reason(tried):
    home, report = tried
    said = dict(rows(home, "SELECT split_part(case_name, ',', 1), code FROM controls WHERE control = 'broken'"))
    assert tally_of(report, "broken") == (9, 9)
    assert said["not a number"] == "G01" and set(said.values()) <= {"G01", "G03", "G05", "G06", "G07", "G08"}


def test_controls__name_every_planted_leak_and_no_honest_twin(tried, figure):
    _, report = tried
    caught, planted = tally_of(report, "leak")
    passed, honest = tally_of(report, "honest")
    figure(f"{caught} of {planted} planted leaks caught, {passed} of {honest} honest twins passed")
    assert (caught, planted) == (25, 25) and (passed, honest) == (13, 13)


def test_controls__of_the_same_day_are_done_once(tried):
    home, report = tried
    again = controls(Controls(home=str(home), size="small"))
    assert again["already_done"] and again["run_id"] == report["run_id"] and again["tallies"] == report["tallies"]


def test_controls__go_on_where_a_kill_left_them(tmp_path, monkeypatch):
    names = ("X9 random split", "X10 purge short by one session", "no purge")
    three = tuple(Case("leak", name) for name in names)
    monkeypatch.setattr(tasks.controls, "cases", lambda size: three)
    told: list[int] = []

    def killed(point: str) -> None:
        told.append(1)
        if len(told) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(tasks.controls, "fault_point", killed)
    request = Controls(home=str(tmp_path / "home"), processes=1)
    with pytest.raises(KeyboardInterrupt):
        controls(request)
    report = controls(request)
    assert len(told) == 3  # two before the kill, one after: nothing was tried twice
    assert tally_of(report, "leak") == (3, 3) and not report["already_done"]


def test_command__shows_the_table_and_is_found_wanting_by_its_code(tried, monkeypatch, capsys):
    home, report = tried
    assert execute(["controls", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    assert "random_walk" in shown and "for information" in shown
    assert execute(["controls", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tallies"] == report["tallies"]
    monkeypatch.setattr("flows.controls.controls_report", lambda run: report | {"met": False})
    assert execute(["controls", "--home", str(home), "--json"]) == FOUND_WANTING
