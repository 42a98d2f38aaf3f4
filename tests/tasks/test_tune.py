"""A search from its command to its table: killed and resumed, side by side, and blind to the test span."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from app.cli import execute
from flows.entry import settings_for
from flows.parameters import Ingest, Tune
from forecasting.search_space import space_of
from forecasting.tuning import Past
from storage.database import Database
from storage.home import Home
from storage.snapshot import open_snapshot
from tasks.clock import now_utc
from tasks.opening import Asked, open_run
from tasks.settings import read_settings
from tasks.trial_workers import Outcome
from tasks.tuning import Budget, Study, _Desk, search, study_of
from tests.tiny import tiny_home

ROOT = Path(__file__).resolve().parents[2]
TUNING = """
[tuning]
sampler = "tpe"
folds = 1
parallel = 1

[tuning.space]
learning_rate = { low = 0.0003, high = 0.3, log = true }

[tuning.space.variants.flat]
units = [4]
[tuning.space.variants.deep]
units = [3, 3]
[tuning.space.variants.wrong]
bidirectional = true
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """Three made-up symbols are stored; nothing is trained yet."""
    from flows.ingest import ingest

    home = tiny_home(tmp_path_factory.mktemp("tune") / "home")
    settings = home / "settings.toml"
    text = (
        settings.read_text(encoding="utf-8")
        .replace("lookback = 20", "lookback = 5")
        .replace("head_units = 4", "head_units = 0")
    )
    settings.write_text(text + TUNING, encoding="utf-8")
    ingest(Ingest(home=str(home)))
    return home


@pytest.fixture(scope="module")
def tuned(begun, tmp_path_factory) -> tuple[Path, dict]:
    """A search of four trials that nobody disturbed; the home and the report."""
    from flows.tune import tune

    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(begun, home)
    return home, tune(Tune(home=str(home), trials=4))


def rows_of(home: Path) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(
            "SELECT study, number, state, changes_json, spec_digest, loss, curve_json, reason, run_id FROM store.trials "
            "ORDER BY study, number"
        ).fetchall()


def test_search__stores_every_trial_with_its_curve(tuned):
    home, report = tuned
    rows = rows_of(home)
    assert [row[1] for row in rows] == [0, 1, 2, 3, 4] == sorted(trial["number"] for trial in report["trials"])
    settings = settings_for(Tune(home=str(home)))
    assert rows[0][3:5] == ("{}", settings.lstm.digest)
    complete = [row for row in rows if row[2] == "complete"]
    assert len(complete) >= 2 and all(0.5 < row[5] < 1.5 and json.loads(row[6])[0][0] == 1.0 for row in complete)
    assert report["best"]["loss"] == min(row[5] for row in complete)
    with open_snapshot(Home(home)) as con:
        assert con.execute("SELECT count(*), max(number) FROM trials").fetchone() == (5, 4)


def test_search__gives_up_an_impossible_combination_in_the_specifications_own_words(tuned):
    [wrong] = [row for row in rows_of(tuned[0]) if '"wrong"' in row[3]]  # the second that TPE draws
    assert (wrong[1], wrong[2], wrong[4], wrong[5]) == (2, "pruned", None, None)
    assert wrong[7] == "bidirectional reads later sessions: it needs labels_per_sequence = 1, one label at the window's end"


def test_search__killed_half_way_goes_on_to_the_same_table(begun, tuned, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(begun, home)
    script = f"from flows.tune import tune; from flows.parameters import Tune; tune(Tune(home={str(home)!r}, trials=4))"
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"NEXTCLOSE_FAULT": "after:trial#2", "PATH": ""}, capture_output=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half = rows_of(home)
    assert len(half) == 2
    from flows.tune import tune

    report = tune(Tune(home=str(home), trials=4))
    assert rows_of(home) == rows_of(tuned[0])
    assert report["best"]["number"] == tuned[1]["best"]["number"]
    with Database(Home(home)).reading() as con:
        tried = con.execute("SELECT count(*) FROM store.steps WHERE step LIKE 'trial/%'").fetchone()
    assert tried == (5,)


def test_search__in_two_processes_gives_the_same_bits(begun, tuned, tmp_path):
    """Of one thread each; with trials side by side the second is chosen without the first."""
    from flows.tune import tune

    home = tmp_path / "home"
    shutil.copytree(begun, home)
    settings = home / "settings.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("parallel = 1", "parallel = 2"), encoding="utf-8")
    report = tune(Tune(home=str(home), trials=1))
    two, one = rows_of(home), rows_of(tuned[0])
    assert report["study"] != tuned[1]["study"] and [row[1] for row in two] == [0, 1]
    assert two[0][2:8] == one[0][2:8]


def test_search__sees_nothing_of_the_test_span(tuned, tmp_path):
    """The last sixty sessions are replaced by noise a hundred times as wild: the same study, the same trials."""
    home = tmp_path / "home"
    shutil.copytree(tuned[0], home)
    settings = read_settings(home / "settings.toml", {})
    asked = Asked("tune", needs_source=False, extra=("noise",))
    with open_run(asked, Home(home), settings, now_utc()) as run:
        from dataclasses import replace

        from tasks.learning import spans_of
        from tasks.market import market_of

        panel, border = market_of(run), spans_of(run, run.origin).valid_end
        later = panel.session > np.datetime64(border, "D")
        assert later.sum() == 3 * 53 and border == date(2021, 1, 22)
        wild = np.where(later, np.exp(np.random.default_rng(1).normal(0, 1, panel.rows)), 1.0)
        prices = {name: getattr(panel, name) * wild for name in ("open", "high", "low", "close", "volume")}
        run.memo["market"] = replace(panel, **prices)
        study = study_of(run, run.origin, space_of(settings.tuning.space), "tpe")
        assert study.name == tuned[1]["study"]
        with run.db.writing(run.lease, run.run_id, "forget") as tx:
            tx.execute("DELETE FROM store.trials WHERE number > 2")  # only a test may
        search(run, study, Budget(4))
    assert [row[:8] for row in rows_of(home)] == [row[:8] for row in rows_of(tuned[0])]


# --- the order in which trials are dealt out -----------------------------------------------------------------------------


def dealt(parallel: int, order: list[int], trials: int = 12) -> list[tuple[int, dict]]:
    """What each trial tries when, of those under way, the one at ``order[i]`` ends i-th; the loss is the learning rate."""
    from forecasting.lstm import LstmSpec

    base = LstmSpec(learning_rate=0.1)
    space = space_of({"learning_rate": {"low": 0.001, "high": 0.9, "log": True}, "dropout": {"low": 0.0, "high": 0.6}})
    study = Study("s", base, space, "tpe", (), 1, parallel, True, "d")
    desk, waiting, tried, turn = _Desk(study, Budget(trials), {}, 0.0), {}, [], 0
    while desk.may_begin() or waiting:
        while len(waiting) < parallel and desk.may_begin():
            number, job = desk.begin()
            waiting[number] = job
            tried.append((number, desk._trying[number]))
        number = sorted(waiting)[order[turn % len(order)] % len(waiting)]
        turn += 1
        rate, now = waiting.pop(number).spec.learning_rate, now_utc()
        desk.end(number, Outcome("complete", rate, [[1.0, rate]], None, now, now))
    return tried


def test_desk__deals_the_same_whichever_trial_ends_first():
    assert dealt(3, [0]) == dealt(3, [2, 1, 0]) == dealt(3, [1, 1, 2, 0, 2])
    assert [number for number, _ in dealt(3, [2])] == list(range(13))


def test_desk__goes_on_after_what_is_stored():
    whole = dealt(1, [0])
    from forecasting.lstm import LstmSpec

    space = space_of({"learning_rate": {"low": 0.001, "high": 0.9, "log": True}, "dropout": {"low": 0.0, "high": 0.6}})
    study = Study("s", LstmSpec(learning_rate=0.1), space, "tpe", (), 1, 1, True, "d")
    past = {n: Past(c, "complete", c.get("learning_rate", 0.1), [[1.0, c.get("learning_rate", 0.1)]]) for n, c in whole[:9]}
    number, _ = (desk := _Desk(study, Budget(12), past, 0.0)).begin()
    assert (number, desk._trying[9]) == whole[9]


def test_budget__in_minutes_counts_what_was_spent_before():
    from forecasting.lstm import LstmSpec

    study = Study("s", LstmSpec(), space_of({"dropout": [0.1, 0.2]}), "grid", (), 1, 2, True, "d")
    done = {0: Past({}, "complete", 1.0)}
    assert _Desk(study, Budget(5, minutes=2), done, 200.0).may_begin()  # 100 seconds on each of two processes
    assert not _Desk(study, Budget(5, minutes=2), done, 300.0).may_begin()
    assert _Desk(study, Budget(5, minutes=2), {}, 0.0).may_begin()


# --- the command -------------------------------------------------------------------------------------------------------


def test_command__shows_a_stored_search_and_adopts_its_best(tuned, tmp_path, capsys):
    home = tmp_path / "home"
    shutil.copytree(tuned[0], home)
    study, best = tuned[1]["study"], tuned[1]["best"]
    assert execute(["tune", study[:6], "--json", "--home", str(home)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["best"]["changes"] == best["changes"] and len(shown["trials"]) == 5
    assert execute(["tune", study[:6], "--adopt", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert ("puts a model of it before the gate" in out) == (best["number"] != 0)
    assert read_settings(home / "settings.toml", {}).lstm.model_dump(mode="json") == best["spec"]


def test_command__says_what_is_wrong(begun, tuned, tmp_path, capsys):
    wrong = tmp_path / "space.toml"
    wrong.write_text("learning_rat = [0.1]\n")
    assert execute(["tune", "--space", str(wrong), "--home", str(begun)]) == 2
    assert "did you mean 'learning_rate'" in capsys.readouterr().err
    assert execute(["tune", "--space", str(tmp_path / "none.toml"), "--home", str(begun)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert execute(["tune", "zzz", "--home", str(tuned[0])]) == 2
    assert "0 searches begin with 'zzz'" in capsys.readouterr().err
