"""Work spread over threads, processes and clusters: the same bits as one after the other, in order, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import tasks.ahead
import tasks.controls
from forecasting.audit.controls import Case
from forecasting.judging.backtest import How, full_backtest
from forecasting.judging.gate import GateThresholds
from forecasting.lstm import LstmSpec
from forecasting.models import fit_model
from forecasting.splits import Spans
from storage.database import Database
from storage.home import Home
from tasks.settings_running import Running
from tasks.spreading import crew, spread
from tests.forecasting.markets import walks
from tests.tasks.runners import who, with_run
from tests.tiny import tiny_home

ROOT = Path(__file__).resolve().parents[2]
PANEL = walks(11, 6, 300)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[200], DAYS[260], DAYS[299])
SPEC = LstmSpec(
    features=("ret", "range"), stem_units=0, units=(4,), head_units=4, lookback=10, labels_per_sequence=20, members=2, epochs=1,
    min_updates=3, horizons=(1, 5), per_symbol=True,
)  # fmt: skip
TWO = {"workers": 2}
RUNNERS = ("threads", "processes", "dask", "ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask cluster of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as here:
        yield here.scheduler_address


@pytest.fixture
def running(request) -> Callable[[str], Running]:
    """Settings of a runner with two workers; Dask's are those of ``cluster``."""

    def of(name: str) -> Running:
        if name == "dask":
            return Running(task_runner="dask", address=request.getfixturevalue("cluster"))
        if name == "ray":
            pytest.importorskip("prefect_ray", reason="the extra ray is not installed")
        return Running(task_runner=name, workers=2)

    return of


def within(held: tuple[int, ...], number: int) -> bool:
    return number in held


@pytest.mark.parametrize("name", RUNNERS)
def test_spread__answers_in_order_and_raises_what_a_job_raises(running, name):
    jobs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    found = list(spread(running(name), network=False)(who, jobs))
    assert [number for number, _ in found] == jobs
    assert (os.getpid() in {process for _, process in found}) == (name == "threads")
    failing = spread(running(name), network=False)(who, [1, 2, -3, 4, 5, 6])
    with pytest.raises(ValueError, match="negative"):
        list(failing)
    assert list(spread(running(name), network=False)(within, [1, 2, 3, 4, 5, 6], (2, 4))) == [
        False, True, False, True, False, False,
    ]  # fmt: skip
    if name == "processes":
        until = time.monotonic() + 20  # the pool's own thread reaps them, and knows it a moment before we do
        while multiprocessing.active_children() and time.monotonic() < until:
            time.sleep(0.05)
        assert not multiprocessing.active_children()


def test_crew__replaces_a_process_after_its_number_of_jobs_and_goes_on():
    with crew(Running(task_runner="processes"), who, 2, jobs_a_process=3, network=False) as hands:
        found = [waiting.result(120) for waiting in [hands.submit(n) for n in range(14)]]
    assert [number for number, _ in found] == list(range(14))
    of_process = Counter(process for _, process in found)
    assert max(of_process.values()) == 3 and len(of_process) >= 5


def killed(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_crew__a_process_that_is_killed_is_an_error_of_its_job_alone():
    with crew(Running(task_runner="processes"), killed, 2, network=False) as hands:
        waiting = [hands.submit(n) for n in range(6)]
        with pytest.raises(BrokenProcessPool):
            waiting[2].result(120)
        assert [waiting[n].result(120) for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]


def test_spread__few_jobs_stay_in_this_process(monkeypatch):
    monkeypatch.setattr("tasks.spreading.cores", lambda: 16)
    assert list(spread(Running())(who, range(5))) == [(n, os.getpid()) for n in range(5)]
    assert list(spread(Running())(who, [])) == []
    assert list(spread(Running(), cores_a_job=16)(who, range(50))) == [(n, os.getpid()) for n in range(50)]


def fitted(**given):
    return fit_model(SPEC, PANEL, None, SPANS, rivals=("ewma",), **given)


@pytest.fixture(scope="module")
def alone():
    """Networks of one symbol each, learnt here one after the other."""
    return fitted()


@pytest.mark.parametrize("name", RUNNERS)
def test_networks__of_one_symbol_each_are_the_same_bits_wherever_they_are_learnt(running, alone, name):
    told: list[tuple] = []
    spread_out = fitted(spread=spread(running(name)), progress=lambda *now: told.append(now))
    assert sum(key.startswith("lstm/S03/1/") for key in spread_out.arrays) == 7
    assert list(spread_out.arrays) == list(alone.arrays)
    for key, array in spread_out.arrays.items():
        assert (array == alone.arrays[key]).all(), key
    assert spread_out.card == alone.card
    assert told == [("training", n, 6) for n in range(1, 7)]


def walked_forward(spread_folds=None) -> tuple:
    """Three folds of 25 sessions: weights and answers as bytes, and the report without what it cost."""
    spec, how = SPEC.model_copy(update={"per_symbol": False, "members": 1}), How(retrain_every=25, rivals=("ewma", "ridge"))
    spans = Spans(DAYS[180], DAYS[224], DAYS[299], embargo=5)
    done = full_backtest(PANEL, None, spec, spans, GateThresholds(), how, spread_folds=spread_folds)
    arrays = [(key, fold.arrays[key].tobytes()) for fold in done.fitted for key in fold.arrays]
    report = {key: value for key, value in done.report.items() if key not in ("stages", "seconds", "peak_mb")}
    return arrays, done.judgement.evaluation.table.to_csv(), repr(report["gate"]), done.decision.sentence


@pytest.fixture(scope="module")
def three_folds() -> tuple:
    return walked_forward()


@pytest.mark.parametrize("name", ["threads", "dask", "ray"])
def test_folds__of_a_backtest_are_the_same_bits_wherever_they_are_done(running, three_folds, name):
    assert walked_forward(spread(running(name), cores_a_job=2)) == three_folds


@pytest.fixture(scope="module")
def one_after_the_other(tmp_path_factory) -> dict:
    """An ingest of three symbols in chunks of one, each cleaned when it is its turn."""
    from flows.ingest import ingest
    from flows.parameters import Ingest

    home = tiny_home(tmp_path_factory.mktemp("alone") / "home")
    text = (home / "settings.toml").read_text(encoding="utf-8").replace("chunk = 2", "chunk = 1")
    (home / "settings.toml").write_text(text, encoding="utf-8")
    return {"home": home, "report": ingest(Ingest(home=str(home)))}


@pytest.mark.parametrize("name", ["threads", "dask", "ray"])
def test_chunks__of_an_ingest_leave_the_same_content_wherever_they_are_cleaned(
    running, one_after_the_other, tmp_path, monkeypatch, name
):
    from flows.ingest import ingest
    from flows.parameters import Ingest
    from tasks.delivery import delivered

    monkeypatch.setattr(tasks.ahead, "WORTH_PROCESSES", 0)
    monkeypatch.setattr("tasks.spreading._WORTH_A_PROCESS", 1)
    elsewhere: list[bool] = []
    monkeypatch.setattr(
        "tasks.delivery.delivered",
        lambda run, landed: elsewhere.append(("delivery", landed) in run.memo) or delivered(run, landed),
    )
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(one_after_the_other["home"] / "settings.toml", home)
    report = ingest(Ingest(home=with_run(home, running(name))))
    assert elsewhere == [True, True, True]
    assert report["digest"] == one_after_the_other["report"]["digest"]
    assert report["run_id"] == one_after_the_other["report"]["run_id"]


STUDY = """
[tuning]
sampler = "tpe"
folds = 1
parallel = 2
[tuning.space]
learning_rate = { low = 0.0003, high = 0.3, log = true }
"""


def trials_in(home: Path) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(
            "SELECT study, number, state, changes_json, spec_digest, loss, curve_json, run_id FROM store.trials ORDER BY number"
        ).fetchall()


def searched(stored: Path, home: Path, how: Running) -> list[tuple]:
    from flows.parameters import Tune
    from flows.tune import tune

    shutil.copytree(stored, home)
    tune(Tune(home=with_run(home, how, STUDY), trials=3))
    return trials_in(home)


@pytest.mark.slow(20)
def test_trials__of_a_search_are_the_same_wherever_they_are_tried(running, one_after_the_other, tmp_path):
    """Two at a time: in threads of this process and by two workers of a Dask cluster."""
    stored = one_after_the_other["home"]
    rows = searched(stored, tmp_path / "threads", running("threads"))
    assert [row[1] for row in rows] == [0, 1, 2, 3] and all(row[2] == "complete" for row in rows)
    assert searched(stored, tmp_path / "dask", running("dask")) == rows


def test_controls__answer_the_same_wherever_they_are_tried(running, tmp_path, monkeypatch):
    from flows.controls import controls
    from flows.parameters import Controls

    names = ("X9 random split", "X10 purge short by one session", "no purge")
    monkeypatch.setattr(tasks.controls, "cases", lambda size: tuple(Case("leak", name) for name in names))
    found = {}
    for name in ("threads", "dask"):
        home = tmp_path / name
        home.mkdir()
        report = controls(Controls(home=with_run(home, running(name)), processes=2))
        found[name] = {key: report[key] for key in ("run_id", "tallies", "wrong", "met")}
    assert found["threads"] == found["dask"] and found["dask"]["tallies"][0]["right"] == 3


def test_own_features__and_own_forecasters_are_known_to_the_workers(running):
    """A process of its own knows nothing of the files that a person named."""
    from forecasting.features.user import load_user_features
    from forecasting.rivals.own import load_own_rivals

    load_user_features('def body(bars):\n    "Close over open."\n    return bars.close / bars.open - 1\n', "mine.py")
    load_own_rivals(
        {"still.py": "def fit(known, labels):\n    return {}\ndef quantiles(parts, known, rows):\n    return None\n"}
    )
    try:
        for name in ("processes", "dask"):
            assert set(spread(running(name), network=False)(known_here, [1, 2, 3, 4, 5, 6])) == {(True, True)}
    finally:
        load_user_features(None, "")
        load_own_rivals({})


def known_here(job: int) -> tuple[bool, bool]:
    from forecasting.features.registry import describe
    from forecasting.rivals.own import own_rival

    return "body" in set(describe()["name"]), own_rival("still") is not None
