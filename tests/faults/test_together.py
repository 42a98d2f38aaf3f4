"""Runs and readers at the same time, and steps that fail after they have written."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from pathlib import Path

import pytest

from flows.daily import daily
from flows.ingest import ingest
from flows.parameters import Daily, Ingest
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tasks import auditing, gating, judging, learning, ledger, publishing, storing
from tasks import ingest as ingest_steps
from tasks.engine import Step
from tasks.policies import Policy


def _contend(home: str, gate, answers) -> None:
    """One of several runs that begin in the same instant; only prices, so that the child needs no TensorFlow."""
    from forecasting.errors import AlreadyRunning

    gate.wait()
    begin = time.monotonic()
    try:
        report = ingest(Ingest(home=home, end="2021-04-09"))
        answers.put(("wrote" if not report["already_done"] else "found it done", time.monotonic() - begin))
    except AlreadyRunning as error:
        answers.put((str(error), time.monotonic() - begin))


def test_two_runs_at_once__one_writes_and_the_other_says_so(copied):
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(4), context.Queue()
    runs = [context.Process(target=_contend, args=(str(copied), gate, answers)) for _ in range(4)]
    for run in runs:
        run.start()
    said = sorted(answers.get(timeout=60) for _ in runs)
    for run in runs:
        run.join(timeout=30)
    assert [text for text, _ in said].count("wrote") == 1
    others = [(text, seconds) for text, seconds in said if text != "wrote"]
    assert all(text.startswith("already running: ingest of 2021-04-09") or text == "found it done" for text, _ in others)
    assert all(seconds < 10 for text, seconds in others if text.startswith("already running"))
    with open_snapshot(Home(copied)) as con:
        assert ask(con, "SELECT max(n) FROM (SELECT count(*) AS n FROM store.bars GROUP BY symbol, session)").rows == [(1,)]
        assert ask(con, "SELECT count(*) FROM runs WHERE flow = 'ingest'").rows == [(1,)]


def test_reader__that_holds_the_snapshot_blocks_nobody_and_keeps_what_it_opened(copied):
    with open_snapshot(Home(copied)) as held:
        before = ask(held, "SELECT count(*), max(session)::VARCHAR FROM store.bars").rows
        ingest(Ingest(home=str(copied), end="2021-04-09"))
        assert ask(held, "SELECT count(*), max(session)::VARCHAR FROM store.bars").rows == before
    with open_snapshot(Home(copied)) as fresh:
        assert ask(fresh, "SELECT max(session)::VARCHAR FROM store.bars").rows == [("2021-04-09",)]


STEPS: tuple[Step, ...] = (
    ingest_steps.fetch_prices, storing.store_prices, learning.train, auditing.audit, judging.evaluate, gating.gate,
    ledger.store_features, ledger.forecast, ledger.score, publishing.complete, publishing.publish,
)  # fmt: skip


def test_steps_that_fail_after_writing__are_tried_again_to_the_same_digest(copied, tmp_path, monkeypatch):
    """Every step does all of its work and then raises, once; the retry finds it done."""
    import shutil

    calm = Path(shutil.copytree(copied, tmp_path / "calm"))
    wanted = daily(Daily(home=str(calm), origin="2021-04-01", retrain=True))["digest"]

    raised = []
    monkeypatch.setattr(Policy, "delay", lambda self, retry: 0.0)
    for one in STEPS:

        def fails_late(run, *args, _fn=one.fn, _step=one, **kwargs):
            receipt = _fn(run, *args, **kwargs)
            if _step.name not in raised:
                raised.append(_step.name)
                error = _step.policy.passing[0]
                raise error("late", None, "after the work") if "Source" in error.__name__ else error("after the work")
            return receipt

        monkeypatch.setattr(one, "fn", fails_late)
    report = daily(Daily(home=str(copied), origin="2021-04-01", retrain=True))
    assert sorted(raised) == sorted(one.name for one in STEPS)
    assert report["digest"] == wanted


@pytest.mark.parametrize("text", ["", "not a database", "DUCK"])
def test_damaged_database__is_refused_not_overwritten_and_comes_back_by_what_the_error_says(finished, copied, tmp_path, text):
    """The command of the sentence is typed, the day is run again: the digest of an undisturbed one."""
    from app.cli import execute
    from forecasting.errors import DatabaseCorrupt

    undisturbed = daily(Daily(home=str(shutil.copytree(finished[0], tmp_path / "calm")), origin="2021-04-01"))
    database = copied / "nextclose.duckdb"
    database.write_text(text)
    with pytest.raises(DatabaseCorrupt, match=r"nextclose\.duckdb.* run `nextclose recover`"):
        daily(Daily(home=str(copied), origin="2021-04-01"))
    assert database.read_text() == text
    assert execute(["recover", "--home", str(copied)]) == 0
    assert daily(Daily(home=str(copied), origin="2021-04-01"))["digest"] == undisturbed["digest"]
