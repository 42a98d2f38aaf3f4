"""Runs that begin in the same second, a writer that slept through its lease, readers beside a writer, and damage: small here,
large by the commands that CONTRIBUTING.md names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def said(suite: str, *arguments: object) -> dict:
    """What a suite prints as JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCLOSE_")}
    command = [sys.executable, "-m", f"tests.faults.{suite}", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow(15)
def test_two_runs__in_the_same_second_one_writes_and_a_sleeper_does_not(finished, figure):
    found = said("racing", "--times", 2, "--home", finished[0])
    figure(f"races: one wrote in {found['one_wrote']} of {found['times']}, {found['double_writes']} double writes")
    assert found["one_wrote"] == found["times"] == 2
    assert (found["double_writes"], found["sleepers_that_wrote"], found["odd"]) == (0, 0, [])


def test_readers__beside_a_writer_see_whole_runs_and_no_error(figure):
    found = said("readers", "--readers", 6, "--publishes", 5, "--seconds", 4, "--pause", 0.1)
    figure(
        f"readers: {found['reads']} reads of {found['readers']} readers, {found['torn']} torn, {len(found['errors'])} errors"
    )
    assert (found["torn"], found["errors"]) == (0, [])
    assert found["reads"] >= found["readers"] == 6 and found["digests"] >= 6


@pytest.mark.slow(15)
def test_damage__of_every_kind_in_every_file_is_found(finished, figure):
    found = said("damaging", "--times", 2, "--home", finished[0])
    figure(f"damage: {sum(n for _, n in found.values())} found of {sum(n for n, _ in found.values())}")
    assert {name: counts for name, counts in found.items() if counts[0] != counts[1]} == {}
    assert len(found) >= 11 and all(damaged > 0 for damaged, _ in found.values())
