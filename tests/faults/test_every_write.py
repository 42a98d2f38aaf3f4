"""Kill it at any write call, fill or break the disk there, run it again: the same database (a call of every third kind; all
of them by `python -m tests.faults.every_write`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disk import build, compiler, environment

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")


def tried(home: Path, folder: Path, most: int, *more: str) -> dict:
    """What the suite answers of at most so many points, one of a kind."""
    sample = ["--home", home, "--folder", folder, "--each-kind", "--at-most", str(most), "--json", *more]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.every_write", *sample],
        cwd=ROOT, env=environment(build(folder)), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow(30)
def test_day__disturbed_at_calls_of_many_kinds_converges(finished, tmp_path, figure):
    found = tried(finished[0], tmp_path, 9)
    figure(
        f"write calls of a day: {found['tried']} of {found['calls']} tried, {found['converged']} converged, "
        f"{found['lost']} commits lost, {found['torn']} torn reads"
    )
    assert found["problems"] == []
    assert (found["lost"], found["torn"]) == (0, 0)
    assert found["tried"] == found["converged"] >= 8 and found["met"] >= found["tried"] // 2


def test_restore__whose_disk_is_full_before_it_holds_the_lock_says_so_in_a_line(finished, tmp_path):
    """The first thing that a restore writes is who holds the lock."""
    found = tried(finished[0], tmp_path, 1, "--scene", "restore", "--fate", "full", "--call", "3")
    assert found["problems"] == [] and found["tried"] == found["converged"] == found["met"] == 1
    assert found["told"] == ["disk full while writing ; free some space and run again, nothing was lost"]


@pytest.mark.slow(25)
@pytest.mark.parametrize("scene", ["restore", "recover-both"])
def test_scene__killed_at_calls_of_many_kinds_converges(finished, tmp_path, figure, scene):
    """And then again, and the day straight away: nobody may have noticed that it died."""
    found = tried(finished[0], tmp_path, 5, "--scene", scene, "--fate", "kill")
    figure(f"write calls of {found['scene']}: {found['tried']} of {found['calls']} tried, {found['converged']} converged")
    assert found["problems"] == []
    assert found["tried"] == found["converged"] == found["met"] >= 4
