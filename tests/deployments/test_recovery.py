"""What becomes of runs whose process died, and that no process outlives the one it works for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from deployments.password import password_for
from deployments.recovery import MOST_BEGINNINGS, decide
from forecasting.errors import SettingError
from tasks.prefect_again import tags_of_next, times_before
from tests.deployments.conftest import ROOT

DAILY, PROMOTE = uuid4(), uuid4()


def run(
    deployment: UUID, kind: StateType, beginnings: int = 1, hour: int = 0, asks: dict | None = None, scheduled: bool = True
) -> FlowRun:
    state = State(type=kind)
    return FlowRun(
        id=uuid4(), flow_id=uuid4(), deployment_id=deployment, state=state, run_count=beginnings, parameters=asks or {},
        auto_scheduled=scheduled,
        expected_start_time=datetime(2026, 11, 20, hour, tzinfo=UTC),
    )  # fmt: skip


def test_run__that_was_under_way_is_begun_again_and_a_persons_word_is_not():
    daily, word = run(DAILY, StateType.RUNNING), run(PROMOTE, StateType.RUNNING)
    steps = {step.run: step.do for step in decide([daily, word], {DAILY})}
    assert steps == {daily.id: "begin again", word.id: "give up"}


def test_run__that_dies_each_time_is_given_up():
    assert [step.do for step in decide([run(DAILY, StateType.RUNNING, MOST_BEGINNINGS - 1)], {DAILY})] == ["begin again"]
    assert [step.do for step in decide([run(DAILY, StateType.RUNNING, MOST_BEGINNINGS)], {DAILY})] == ["give up"]


def test_run__that_was_being_cancelled_is_cancelled():
    assert [step.do for step in decide([run(DAILY, StateType.CANCELLING)], {DAILY})] == ["skip"]


def test_runs__that_were_due_while_nobody_served_become_one_a_deployment():
    """A laptop that slept from Monday to Friday: the newest run catches up, the others would only find nothing to do."""
    late = [run(DAILY, StateType.SCHEDULED, 0, hour) for hour in (3, 1, 2)]
    other = run(PROMOTE, StateType.SCHEDULED, 0, 1)
    steps = decide([*late, other], {DAILY})
    assert {step.run for step in steps if step.do == "skip"} == {late[1].id, late[2].id}
    assert len(steps) == 2


def test_runs__that_were_due_and_ask_for_something_else_come_one_after_another():
    """TSLA alone was asked for at one, the day of all symbols was due at two and three: the day comes first, once."""
    tsla = run(DAILY, StateType.SCHEDULED, 0, 1, {"request": {"symbols": ["TSLA"]}}, scheduled=False)
    days = [run(DAILY, StateType.SCHEDULED, 0, hour) for hour in (2, 3)]
    steps = decide([tsla, *days], {DAILY})
    assert [(step.run, step.do, step.minutes) for step in steps] == [(days[0].id, "skip", 0), (tsla.id, "postpone", 60)]


def test_words__of_a_person_are_all_heard_each_once():
    """Not 'the newest catches up': one rejects a model, the next promotes another, and once more; a second press of the same is
    the same word."""
    models = [(1, "ab"), (2, "cd"), (3, "ef"), (4, "ab")]
    words = [run(PROMOTE, StateType.SCHEDULED, 0, hour, {"model_id": model}, scheduled=False) for hour, model in models]
    steps = {step.run: (step.do, step.minutes) for step in decide(words, {DAILY})}
    assert steps == {words[0].id: ("skip", 0), words[2].id: ("postpone", 60), words[3].id: ("postpone", 120)}


def test_run__that_was_due_waits_for_one_of_its_deployment_that_is_begun_again():
    died, due = run(DAILY, StateType.RUNNING, asks={"request": {"symbols": ["TSLA"]}}), run(DAILY, StateType.SCHEDULED, 0, 1)
    assert [(step.run, step.do) for step in decide([due, died], {DAILY})] == [(died.id, "begin again"), (due.id, "postpone")]


def test_run__that_met_another_one_is_tried_again_and_counted():
    assert (times_before(["nextclose", "auto-scheduled"]), times_before(["again-7", "x"])) == (0, 7)
    assert tags_of_next(["nextclose", "auto-scheduled", "again-9"]) == ["nextclose", "again-10"]


def test_process__whose_runner_was_killed_ends_by_itself():
    """A runner starts a process that watches it, and is killed with -9, which gives it no chance to say anything."""
    child = (
        "import os, time\nfrom deployments import lifeline\n"
        "assert lifeline.end_with_parent(os.environ)\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys, time\nos.environ['NEXTCLOSE_RUNNER'] = str(os.getpid())\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    )
    runner = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    started = int(runner.stdout.readline())
    runner.kill()
    runner.wait()
    assert _gone(started)


def test_process__ends_when_the_supervisors_end_of_the_pipe_closes():
    script = "from deployments import lifeline\nimport time\nlifeline.end_with_stdin()\nprint('up', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.stdin.close()
    assert process.wait(30) == -signal.SIGTERM


def test_process__that_no_runner_started_is_left_alone(monkeypatch):
    from deployments import lifeline

    assert lifeline.end_with_parent({}) is False
    assert lifeline.end_with_parent({"NEXTCLOSE_RUNNER": "1"}, parent=lambda: 2) is False


def test_password__is_made_once_and_kept(tmp_path):
    first, again = password_for(tmp_path, {}), password_for(tmp_path, {})
    assert first.made_now and not again.made_now and first.login == again.login
    assert (tmp_path / "server-password").read_text() == first.login + "\n"
    assert password_for(tmp_path, {"NEXTCLOSE_PASSWORD": "another-long-one"}).login == "nextclose:another-long-one"


def test_password__in_a_file_that_others_can_read_is_refused(tmp_path):
    password_for(tmp_path, {})
    (tmp_path / "server-password").chmod(0o640)
    with pytest.raises(SettingError, match="mode 0640"):
        password_for(tmp_path, {})


@pytest.mark.parametrize("text", ["short", "with a space in it", "with:colon:in:it", "ümläute-and-more", ""])
def test_password__that_would_not_work_is_refused(tmp_path, text):
    with pytest.raises(SettingError, match="12 or more printable"):
        password_for(tmp_path, {"NEXTCLOSE_PASSWORD": text})


def _gone(pid: int, seconds: float = 30) -> bool:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
