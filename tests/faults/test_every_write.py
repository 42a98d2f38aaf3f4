"""Kill it at any write call, fill or break the disk there, run it again: the same database (a call of every third kind; all
of them by `python -m tests.faults.every_write`)."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.backup import back_up
from storage.home import Home
from tests.faults.disk import build, compiler, environment
from tests.faults.every_write import SAMPLE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")


@pytest.fixture(scope="module")
def sample(finished, tmp_path_factory) -> dict[str, dict]:
    """What came of each scene of the suite's sample."""
    folder = tmp_path_factory.mktemp("sample")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.every_write", "--sample", "--json", "--home", finished[0], "--folder", folder],
        cwd=ROOT, env=environment(build(folder)), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(SAMPLE), done.stderr[-3000:]
    return {choice.scene: summary for choice, summary in zip(SAMPLE, found, strict=True)}


@pytest.mark.slow(90)
def test_day__disturbed_at_calls_of_many_kinds_converges(sample, figure):
    found = sample["day"]
    figure(
        f"write calls of a day: {found['tried']} of {found['calls']} tried, {found['converged']} converged, "
        f"{found['lost']} commits lost, {found['torn']} torn reads"
    )
    assert found["problems"] == []
    assert (found["lost"], found["torn"]) == (0, 0)
    assert found["tried"] == found["converged"] >= 8 and found["met"] >= found["tried"] // 2


RESTORES = """
import sys
from pathlib import Path
from storage.backup import backups, restore
from storage.home import Home
from tests.faults.disk import fail
for number in range(1, 6):
    home = Home(Path(sys.argv[2]) / str(number))
    fail(home.path, sys.argv[3], number)
    try:
        restore(home, backups(Path(sys.argv[1]))[0])
        print("done")
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("fate", "says"), [("full", "disk full"), ("broken", "gave an error")])
def test_restore__whose_disk_fails_at_its_first_writes_says_so_in_a_line(finished, tmp_path, fate, says):
    """Also before it holds the lock: the first things that it writes are that it may, and who it is."""
    back_up(Home(finished[0]), tmp_path / "backups", datetime(2026, 11, 20, tzinfo=UTC))
    command = [sys.executable, "-c", RESTORES, tmp_path / "backups", tmp_path / "homes", fate]
    done = subprocess.run(command, cwd=ROOT, env=environment(build(tmp_path)), capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert len(told) == 5 and all(line.startswith(("StorageError", "HomeNotWritable", "done")) for line in told), told
    assert sum(says in line for line in told) >= 2


@pytest.mark.parametrize("scene", ["restore", "recover-both"])
def test_scene__killed_at_calls_of_many_kinds_converges(sample, figure, scene):
    """And then again, and the day straight away: nobody may have noticed that it died."""
    found = sample[scene]
    figure(f"write calls of {found['scene']}: {found['tried']} of {found['calls']} tried, {found['converged']} converged")
    assert found["problems"] == []
    assert found["tried"] == found["converged"] == found["met"] >= 4
