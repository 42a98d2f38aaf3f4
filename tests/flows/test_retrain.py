"""A training asked for by hand: done where it would make another model, and where not a line says why."""

from __future__ import annotations

from datetime import date

import pytest

from app.cli import execute
from flows.ingest import ingest
from flows.parameters import Ingest, Retrain
from flows.retrain import retrain
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.verify import verify
from tasks.clock import now_utc
from tasks.novelty import what_is_new
from tasks.opening import Asked, open_run
from tasks.planning import plan_days
from tasks.settings import settings_of
from tasks.settings_values import read_values
from tests.tiny import prices_file, tiny_bars

DAY = date(2021, 3, 31)


def rows(home, sql: str) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(sql).fetchall()


def new_with(home, **changes: dict) -> str | None:
    """What a run with other settings finds new; nothing is trained."""
    values = read_values(home / "settings.toml", {})
    for section, fields in changes.items():
        values[section] = values.get(section, {}) | fields
    asked = Asked("retrain", needs_source=False, force_retrain=True)
    with open_run(asked, Home(home), settings_of(values), now_utc()) as run:
        return what_is_new(run, DAY)


def test_retrain__where_nothing_is_new_trains_nothing_and_says_so(copied, finished, capsys):
    model = finished[1]["decision"]["model_id"]
    before = rows(copied, "SELECT count(*) FROM store.models")
    assert execute(["retrain", "--home", str(copied)]) == 0
    said = capsys.readouterr()
    assert f"nothing was trained: model {model[:16]} of 2021-03-31 is of the same data, specification" in said.err
    assert "`nextclose retrain --force`" in said.err and "in words" not in said.out and "serves since" in said.out
    first, again = (retrain(Retrain(home=str(copied))) for _ in range(2))
    assert first["trained"] is None and first["digest"] == again["digest"]
    assert rows(copied, "SELECT count(*) FROM store.models") == before
    assert rows(copied, "SELECT count(*) FROM store.runs WHERE flow = 'retrain'") == [(1,)]  # asked three times, kept once


def test_retrain__trains_another_specification_at_once_and_with_force_the_same_once_more(copied, finished):
    """What ``tune --adopt`` leaves: another [lstm] on a day that has its model."""
    settings = copied / "settings.toml"
    settings.write_text(settings.read_text().replace("units = [4]", "units = [3]"))
    other = retrain(Retrain(home=str(copied)))
    assert other["trained"] not in (None, finished[1]["decision"]["model_id"])
    assert other["decision"]["model_id"] == other["trained"] and other["notes"] == []
    assert retrain(Retrain(home=str(copied)))["trained"] is None
    forced = retrain(Retrain(home=str(copied), again=True))
    assert forced["trained"] == other["trained"]  # the same bits, judged once more
    decided = f"SELECT count(*), count(DISTINCT verdict) FROM store.decisions WHERE model_id = '{other['trained']}'"
    assert rows(copied, decided) == [(2, 1)]
    assert verify(Home(copied)) == []


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({}, None),
        ({"lstm": {"dropout": 0.1, "units": [3]}}, "the specification has another units, dropout"),
        ({"rivals": {"garch": True}}, "other rivals are wanted"),
        ({"evaluation": {"valid_sessions": 30}}, "the spans that are learnt from, chosen on and judged on lie otherwise"),
        ({"evaluation": {"embargo": 3}}, "the spans that are learnt from, chosen on and judged on lie otherwise"),
        ({"gate": {"alpha": 0.01}}, "the gate has other thresholds"),
        ({"retraining": {"after_sessions": 5}, "storage": {"memory_mb": 512}}, None),
    ],
    ids=["nothing", "spec", "rivals", "spans", "embargo", "gate", "neither"],
)
def test_what_is_new__names_the_first_thing_that_decides_the_bits(copied, changes, clause):
    assert new_with(copied, **changes) == clause


def test_what_is_new__notices_revised_prices_a_damaged_folder_and_a_model_that_was_never_judged(copied, tmp_path):
    bars = tiny_bars(("AAA",))
    bars = bars[bars["session"] <= "2021-03-31"]
    day = bars["session"] == "2021-03-29"
    bars.loc[day, ["close", "high"]] = bars.loc[day, ["close", "high"]] * 1.01
    path = prices_file(tmp_path / "revised.csv", bars)
    ingest(Ingest(home=str(copied), symbols=["AAA"], source="files", source_options={"path": str(path), "basis": "as_traded"}))
    assert new_with(copied) == "prices or macro values were added or revised"
    with hold_lease(Home(copied), Database(Home(copied)), "test") as lease:
        with Database(Home(copied)).writing(lease, "by hand", "all") as tx:
            tx.execute("DELETE FROM store.decisions")  # only a test may
    assert new_with(copied) == "its model was never judged"
    [folder] = (copied / "models").iterdir()
    (folder / "card.json").unlink()
    assert "holds ['weights.npz']" in new_with(copied)


def test_daily__told_to_retrain_on_a_day_that_has_its_model_plans_a_training_only_where_something_is_new(copied):
    values = read_values(copied / "settings.toml", {})
    asked = Asked("daily", needs_source=False, force_retrain=True, extra=("planned only",))
    for units, trains in (([4], False), ([3], True)):
        values["lstm"]["units"] = units
        with open_run(asked, Home(copied), settings_of(values), now_utc()) as run:
            assert [days.retrain for days in plan_days(run)] == [trains]


def test_retrain__if_due_says_how_old_the_model_may_become(copied, capsys):
    assert execute(["retrain", "--if-due", "--json", "--home", str(copied)]) == 0
    said = capsys.readouterr()
    assert '"trained": null' in said.out
    assert "the newest model is of 2021-03-31, and one is due when that is more than 60 sessions ago" in said.out


def test_retrain__forced_and_only_if_due_do_not_go_together(copied, capsys):
    assert execute(["retrain", "--if-due", "--force", "--home", str(copied)]) == 2
    line = capsys.readouterr().err
    assert "--force trains in any case" in line and line.count("\n") == 1
    with pytest.raises(ValueError, match="leave one of the two out"):
        Retrain(force=False, again=True)
