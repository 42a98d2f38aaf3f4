"""Steps that follow one another keep the database open; somebody who has it meanwhile does not end the run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from forecasting.errors import DatabaseLocked
from storage.home import Home
from tasks.clock import now_utc
from tasks.opening import Asked, open_run
from tasks.settings import settings_of

HOLDS = "import sys, duckdb; con = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def run(copied):
    asked = Asked("retrain", needs_source=False, every_time=True)
    with open_run(asked, Home(copied), settings_of({}), now_utc()) as run:
        yield run


def opened_elsewhere(run) -> bool:
    """Whether a second program could open the file now."""
    program = "import sys, duckdb; duckdb.connect(sys.argv[1], read_only=True)"
    return subprocess.run([sys.executable, "-c", program, run.home.database], capture_output=True, check=False).returncode == 0


def test_burst__keeps_the_file_open_where_the_database_is_small(run, monkeypatch):
    with run.burst(working=True):
        assert not opened_elsewhere(run)
    monkeypatch.setattr("tasks.run._SMALL", run.db.size() - 1)
    with run.burst(working=True):
        assert opened_elsewhere(run)


def test_burst__where_somebody_else_has_the_file_leaves_the_waiting_to_the_steps(run):
    run.db.lock_wait = 0.2
    command = [sys.executable, "-c", HOLDS, run.home.database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DatabaseLocked), run.db.kept_open():
            pass
        with run.burst():
            other.stdin.close()
            other.wait(10)
            assert run.done("forecast/2021-03-31..2021-03-31") is False  # read by this run; another one did it
