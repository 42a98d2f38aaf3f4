"""Who serves, by a person's word: a yes that is waited for, an override that is kept, and the way back.

A network of four units beats nobody, so the gate's verdict is made up here; all that follows from it is real.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import forecasting.judging.gate
from app.cli import execute
from flows.daily import daily
from flows.ingest import ingest
from flows.parameters import Daily, Ingest, Promote, Retrain, Rollback
from flows.promote import promote
from flows.retrain import retrain
from flows.rollback import rollback
from forecasting.errors import InputError, StorageError, UntrustedModel
from forecasting.judging.gate import Check, Decision, decide
from storage.approvals import model_called, served_before
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.reading import ask
from storage.registry import append_decision, append_serving, current_serving
from storage.snapshot import open_snapshot
from storage.verify import verify
from tasks import gating, publishing
from tasks.settings import settings_of

WEDNESDAY, NEXT_DAY = "2021-03-31", "2021-04-01"


def rows(home, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return ask(con, sql).rows


def serving(home) -> tuple[str, str]:
    return rows(home, "SELECT model_id, forecaster FROM store.serving ORDER BY origin DESC, position DESC LIMIT 1")[0]


def opens(*args, **kwargs):
    """A gate that opens for whoever comes, and says so in its own words."""
    decision = decide(*args, **kwargs)
    checks = tuple(replace(check, verdict="pass") for check in decision.checks)
    said = {"verdict": "promoted", "sentence": "lstm is promoted: a test says so.", "why": "a test says so"}
    return replace(decision, checks=checks, serves="lstm", **said)


def challenged(home: Path, approval: bool) -> str:
    """One session later, with a new model before the gate; returns its id."""
    if approval:
        (home / "settings.toml").write_text((home / "settings.toml").read_text() + "\n[promotion]\napproval = true\n")
    ingest(Ingest(home=str(home), end=NEXT_DAY))
    return retrain(Retrain(home=str(home), origin=NEXT_DAY))["decision"]["model_id"]


@pytest.fixture(scope="module")
def second(finished, tmp_path_factory) -> tuple[Path, str]:
    """Two models: the one of 31 March, whose best rival serves, and one of 1 April for which the gate stayed closed."""
    home = Path(shutil.copytree(finished[0], tmp_path_factory.mktemp("second") / "home"))
    return home, challenged(home, approval=False)


@pytest.fixture
def home(second, tmp_path) -> Path:
    return Path(shutil.copytree(second[0], tmp_path / "two models"))


@pytest.fixture(scope="module")
def passed(finished, tmp_path_factory) -> tuple[Path, str]:
    """Two models: whoever served on 31 March goes on, and the network of 1 April passed the gate and waits for a yes."""
    home = Path(shutil.copytree(finished[0], tmp_path_factory.mktemp("passed") / "home"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(forecasting.judging.gate, "decide", opens)
        return home, challenged(home, approval=True)


@pytest.fixture
def waiting(passed, tmp_path) -> Path:
    return Path(shutil.copytree(passed[0], tmp_path / "waiting"))


# --- a yes that is waited for


def test_approval__a_model_that_passed_waits_while_whoever_serves_goes_on(waiting, passed, finished):
    model = passed[1]
    assert serving(waiting) == serving(finished[0])
    assert rows(waiting, "SELECT state, forecaster, waits FROM approvals") == [("pending", "lstm", True)]
    one = f"SELECT verdict, approval, serving FROM models WHERE model_id = '{model}'"
    assert rows(waiting, one) == [("promoted", "pending", False)]
    report = promote(Promote(home=str(waiting), model=model[:8], reason="looked at\nevery year", by="the desk"))
    assert (report["flow"], report["status"], report["decision"]["approval"]) == ("promote", "completed", "approved")
    assert (report["serving"]["model_id"], report["serving"]["forecaster"]) == (model, "lstm")
    assert "approved by hand: looked at every year" in report["serving"]["reason"]
    said = rows(waiting, "SELECT state, by_whom, reason, waits FROM approvals ORDER BY position")
    assert said[1:] == [("approved", "the desk", "looked at every year", False)] and said[0][3] is False
    assert rows(waiting, one) == [("promoted", "approved", True)]
    assert rows(waiting, "SELECT flow, status FROM runs WHERE flow = 'promote'") == [("promote", "completed")]
    assert verify(Home(waiting)) == []


def test_approval__a_no_leaves_everything_as_it_was(waiting, passed):
    model, before = passed[1], serving(waiting)
    report = promote(Promote(home=str(waiting), model=model, reject=True, reason="too little data"))
    assert report["decision"]["approval"] == "rejected" and serving(waiting) == before
    states = "SELECT state FROM approvals ORDER BY position"
    assert rows(waiting, states) == [("pending",), ("rejected",)]
    promote(Promote(home=str(waiting), model=model, reject=True, reason="said it twice"))
    assert rows(waiting, states) == [("pending",), ("rejected",)]
    promote(Promote(home=str(waiting), model=model, reason="thought again"))
    assert serving(waiting) == (model, "lstm") and rows(waiting, states)[-1] == ("approved",)


def test_approval__of_the_first_model_ever_lets_its_best_rival_serve_meanwhile(waiting, passed):
    """As the gate's step does it where nobody serves yet."""
    model, now, db = passed[1], datetime.now(UTC), Database(Home(waiting))
    decision = Decision("promoted", "lstm is promoted.", (), "lstm", "it passed", "t", "har")
    settings = settings_of({"promotion": {"approval": True}})
    with hold_lease(Home(waiting), db, "test") as lease, db.writing(lease, "by hand", "all") as tx:
        tx.execute("DELETE FROM store.serving")
        run = SimpleNamespace(settings=settings, now=now, note=print)
        assert gating._put_in_service(run, tx, date(2021, 4, 1), model, decision, "d") == "har"
        assert current_serving(tx.con).reason == "it has the lowest loss of the rivals, and lstm waits for a yes"


# --- what no word can do, and what one can


def test_promote__a_model_that_the_gate_refused_needs_an_override_and_it_is_kept(home, second, capsys):
    model, typed = second[1], ["--home", str(home), "--reason", "I like it"]
    with pytest.raises(InputError, match=r"the gate did not open for model .*: .*G0.*; add --even-if-refused"):
        promote(Promote(home=str(home), model=model[:8], reason="I like it"))
    assert execute(["promote", model[:8], *typed, "--even-if-refused"]) == 0
    assert f"lstm of model {model[:16]} serves since 2021-04-01: put in service by hand" in capsys.readouterr().out
    assert serving(home) == (model, "lstm")
    [(state, verdict, reason)] = rows(home, "SELECT state, verdict, reason FROM approvals")
    assert (state, reason) == ("overridden", "I like it") and verdict in ("refused", "cannot_tell")
    assert execute(["models", "--home", str(home)]) == 0 and f"{verdict}, overridden" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["promote", "7b67dd13", "--reason", " \t "], "--reason: say it in a few words"),
        (["promote", "x", "--reason", "y"], "--model: "),
        (["rollback"], "--reason"),
    ],
)
def test_command_line__says_what_is_wrong_in_one_line(typed, said, tmp_path, capsys):
    assert execute([*typed, "--home", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_promote__a_rival_serves_on_a_persons_word(home, second):
    promote(Promote(home=str(home), model=second[1][:6], forecaster="drift", reason="a quiet week"))
    assert serving(home) == (second[1], "drift")
    assert rows(home, "SELECT state, forecaster FROM approvals") == [("chosen", "drift")]
    with pytest.raises(InputError, match="holds no forecaster 'dirft'; it holds lstm, persistence"):
        promote(Promote(home=str(home), model=second[1][:6], forecaster="dirft", reason="a slip"))


def test_promote__twice_is_once(home, second):
    request = Promote(home=str(home), model=second[1], forecaster="ridge", reason="once")
    first, again = promote(request), promote(request)
    assert first["serving"] == again["serving"] and rows(home, "SELECT count(*) FROM approvals") == [(1,)]


def test_promote__wants_one_model_that_was_judged_and_is_whole(home, second):
    with pytest.raises(InputError, match=r"0 models begin with '0000'; `nextclose models` lists them"):
        promote(Promote(home=str(home), model="0000", reason="a guess"))
    with pytest.raises(InputError, match="does not wait for a yes"):
        promote(Promote(home=str(home), model=second[1], reject=True, reason="no"))
    card = home / "models" / second[1] / "card.json"
    card.write_text(card.read_text().replace("ret", "tre", 1))
    with pytest.raises(UntrustedModel, match="changed or exchanged"):
        promote(Promote(home=str(home), model=second[1], forecaster="ewma", reason="a rival of a broken folder"))
    assert rows(home, "SELECT count(*) FROM approvals") == [(0,)]


@pytest.mark.parametrize(("code", "name"), [("G01", "finite"), ("G09", "leak")])
def test_promote__no_word_sets_aside_numbers_that_are_none_or_a_leak(home, second, code, name):
    failed, now = Check(code, name, "fail", f"{code} ..."), datetime.now(UTC)
    db = Database(Home(home))
    with hold_lease(Home(home), db, "test") as lease, db.writing(lease, "another run", "gate") as tx:
        append_decision(tx, second[1], date(2021, 4, 1), "lstm", "refused", f"{code} ...", [failed], "t", now)
    for forecaster in ("lstm", "ewma"):
        request = Promote(home=str(home), model=second[1], forecaster=forecaster, reason="x", even_if_refused=True)
        with pytest.raises(InputError, match=f"failed {code}, which no word sets aside"):
            promote(request)


# --- the way back


def test_rollback__old_forecasts_reproduce_bit_for_bit(home, second, finished, tmp_path):
    """N19: with the first model's rival in service again, the next day is forecast as if the second had never come."""
    first = serving(home)
    promote(Promote(home=str(home), model=second[1], reason="for a day", even_if_refused=True))
    served = daily(Daily(home=str(home), origin=NEXT_DAY))["forecasts"]
    assert {(f["model_id"], f["forecaster"]) for f in served} == {(second[1], "lstm")}

    report = rollback(Rollback(home=str(home), reason="its intervals are too narrow"))
    assert (report["serving"]["model_id"], report["serving"]["forecaster"]) == first
    assert f"rolled back from lstm of model {second[1][:16]}: its intervals" in report["serving"]["reason"]
    assert rows(home, "SELECT state FROM approvals ORDER BY position") == [("overridden",), ("rolled_back",)]

    other = Path(shutil.copytree(second[0], tmp_path / "never promoted"))
    content = "* EXCLUDE (run_id, mode, issued_at, as_of)"
    sql = f"SELECT {content} FROM store.forecasts WHERE origin = DATE '2021-04-05' ORDER BY ALL"
    for folder in (home, other):
        daily(Daily(home=str(folder), origin="2021-04-05"))
    assert len(rows(home, sql)) > 0 and rows(home, sql) == rows(other, sql)


def test_rollback__goes_one_step_further_back_each_time(home, second):
    names = [serving(home)]
    for forecaster in ("drift", "ridge"):
        promote(Promote(home=str(home), model=second[1], forecaster=forecaster, reason="a try"))
    for _ in names * 2:
        rollback(Rollback(home=str(home), reason="back"))
    assert serving(home) == names[0]
    before = rows(home, "SELECT count(*) FROM store.serving")
    try:
        rollback(Rollback(home=str(home), reason="back"))  # to the model of 31 March, where that was another
    except InputError as error:
        assert "nobody served before" in str(error) and rows(home, "SELECT count(*) FROM store.serving") == before


def test_rollback__that_was_not_published_is_only_published_when_it_is_typed_again(home, second, monkeypatch):
    """The disk is full at the publish, after the word was stored; the error says to run again."""
    import flows.rollback

    first = serving(home)
    for forecaster in ("drift", "ridge"):
        promote(Promote(home=str(home), model=second[1], forecaster=forecaster, reason="a try"))

    def full(run) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="disk full"):
        patch.setattr(flows.rollback, "publish", full)
        rollback(Rollback(home=str(home), reason="back"))
    for wanted in ((second[1], "drift"), first):
        report = rollback(Rollback(home=str(home), reason="back"))
        assert (report["serving"]["model_id"], report["serving"]["forecaster"]) == wanted == serving(home)


def test_served_before__reads_the_past_as_a_pile(home):
    """ewma, then lstm, then drift; back to lstm, back to ewma; then nobody is below."""
    db = Database(Home(home))
    found = []
    with hold_lease(Home(home), db, "test") as lease, db.writing(lease, "by hand", "all") as tx:
        tx.execute("DELETE FROM store.serving")
        for name in ("ewma", "lstm", "drift", "lstm", "ewma"):
            append_serving(tx, date(2021, 4, 1), "m" * 64, name, "a test", None, datetime.now(UTC))
            found.append(getattr(served_before(tx.con), "forecaster", None))
    assert found == [None, "ewma", "lstm", "ewma", None]


def test_append_serving__of_two_past_origins_loses_neither(home):
    """Models of past origins, trained to replay them, come after the one that serves now."""
    db = Database(Home(home))
    with hold_lease(Home(home), db, "test") as lease, db.writing(lease, "by hand", "all") as tx:
        for day in (4, 5):
            append_serving(tx, date(2021, 1, day), f"{day}" * 64, "ewma", "a test", None, datetime.now(UTC))
        told = [current_serving(tx.con, until=date(2021, 1, day)).model_id[0] for day in (4, 5)]
        assert told == ["4", "5"] and current_serving(tx.con).origin == date(2021, 4, 1)


# --- killed on the way


def test_promote__killed_after_its_word_was_stored_ends_the_same(home, second, tmp_path, monkeypatch):
    calm = Path(shutil.copytree(home, tmp_path / "calm"))
    request = {"model": second[1], "forecaster": "drift", "reason": "a quiet week"}
    wanted = promote(Promote(home=str(calm), **request))

    def dies(run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publishing.complete, "fn", dies)
        with pytest.raises(KeyboardInterrupt):
            promote(Promote(home=str(home), **request))
    assert rows(home, "SELECT count(*) FROM approvals") == [(0,)]  # nothing is published yet
    again = promote(Promote(home=str(home), **request))
    assert again["run_id"] == wanted["run_id"] and again["digest"] == wanted["digest"]


def test_retrain__that_dies_between_model_and_gate_leaves_the_old_one_in_service(copied, monkeypatch):
    """N18: the folder is there, no decision is, and who serves has not changed; the next attempt decides, and
    without approval a model that passes serves at once."""
    before = serving(copied)

    def dies(run, origin):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(gating.gate, "fn", dies)
        with pytest.raises(KeyboardInterrupt):
            challenged(copied, approval=False)
    with Database(Home(copied)).reading() as con:
        assert len(con.execute("SELECT * FROM store.models").fetchall()) == 2 == len(list((copied / "models").iterdir()))
        assert (current_serving(con).model_id, current_serving(con).forecaster) == before
        model = con.execute("SELECT model_id FROM store.models ORDER BY origin DESC").fetchone()[0]
    with pytest.raises(InputError, match="was never judged, so nobody may serve from it"):
        promote(Promote(home=str(copied), model=model, reason="why wait", even_if_refused=True))
    monkeypatch.setattr(forecasting.judging.gate, "decide", opens)
    assert retrain(Retrain(home=str(copied), origin=NEXT_DAY))["decision"]["model_id"] == model
    assert serving(copied) == (model, "lstm") and rows(copied, "SELECT count(*) FROM approvals") == [(0,)]


# --- broken models through the real gate


def test_gate__never_promotes_weights_that_are_no_numbers(copied, monkeypatch):
    """N7: training ends normally with NaN weights; the gate names them, the rival serves, and no word changes that."""
    import forecasting.models

    real = forecasting.models.fit_model

    def poisoned(*args, **kwargs):
        fitted = real(*args, **kwargs)
        name = max(name for name in fitted.arrays if name.startswith("lstm/"))
        fitted.arrays[name] = np.full_like(fitted.arrays[name], np.nan)
        return fitted

    monkeypatch.setattr(forecasting.models, "fit_model", poisoned)
    model = challenged(copied, approval=False)
    checks = dict(rows(copied, f"SELECT code, check_verdict FROM gate_decisions WHERE model_id = '{model}'"))
    assert checks["G01"] == "fail" and checks["G10"] == "pass"
    assert serving(copied)[0] == model and serving(copied)[1] != "lstm"
    with pytest.raises(InputError, match="failed G01"):
        promote(Promote(home=str(copied), model=model, reason="surely not", even_if_refused=True))


def test_gate__the_card_notes_the_thresholds_before_the_verdict(second):
    """K13."""
    home, model = second
    with Database(Home(home)).reading() as con:
        assert model_called(con, model[:5]) == model
        digest = con.execute("SELECT thresholds_digest FROM store.decisions WHERE model_id = ?", [model]).fetchone()[0]
        card = con.execute("SELECT card_json FROM store.models WHERE model_id = ?", [model]).fetchone()[0]
    noted = json.loads(card)
    assert noted["thresholds_digest"] == digest == forecasting.judging.gate.GateThresholds().digest
    assert noted["inputs"] == [["ret", 1], ["range", 1]] and noted["arrays"]["scaler/width"].startswith("float32 [1, 2] ")
