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


@pytest.mark.slow(30)
def test_day__disturbed_at_calls_of_many_kinds_converges(finished, tmp_path, figure):
    command = [
        sys.executable,
        "-m",
        "tests.faults.every_write",
        "--home",
        finished[0],
        "--folder",
        tmp_path,
        "--each-kind",
        "--at-most",
        "9",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(build(tmp_path)), capture_output=True, text=True, check=False, timeout=900
    )  # fmt: skip
    assert done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    figure(
        f"write calls of a day: {found['tried']} of {found['calls']} tried, {found['converged']} converged, "
        f"{found['lost']} commits lost, {found['torn']} torn reads"
    )
    assert found["problems"] == []
    assert (found["lost"], found["torn"]) == (0, 0)
    assert found["tried"] == found["converged"] >= 8 and found["met"] >= found["tried"] // 2
