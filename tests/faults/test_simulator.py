"""Fifty short lives of a home under random faults keep every promise; and a product with a planted defect does not pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.planted import PLANTED

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 50

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def outcome() -> dict:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCLOSE_")}
    command = [
        sys.executable,
        "-m",
        "tests.faults.simulator",
        "--seeds",
        str(SEEDS),
        "--worlds",
        "spring",
        "--check-itself",
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow(30)
def test_lives__under_faults_of_clock_provider_disk_and_process_keep_every_invariant(outcome, figure):
    figure(f"simulated lives: {outcome['seeds'] - outcome['failed']} of {outcome['seeds']} kept every invariant")
    assert outcome["problems"] == []
    assert outcome["seeds"] == SEEDS
    assert len(outcome["events"]) >= 8  # every kind of trouble came up


def test_planted_defects__are_found(outcome, figure):
    figure(f"planted defects: {sum(seed is not None for seed in outcome['planted'].values())} of {len(PLANTED)} found")
    assert outcome["planted"].keys() == PLANTED.keys()
    assert [name for name, seed in outcome["planted"].items() if seed is None] == []
