"""Kill it anywhere, run it again: the same database. Readers see the day before or the day itself, whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def outcome(finished, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("kills")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCLOSE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", str(finished[0]), str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kill__every_point_was_reached(outcome):
    assert len(outcome["points"]) == 14
    assert [p["place"] for p in outcome["points"] if not p["killed"]] == []


def test_kill__every_rerun_ends_in_the_digest_of_the_undisturbed_run(outcome):
    wanted = outcome["undisturbed"]
    assert wanted["status"] == "completed"
    assert {p["place"]: p["again"].get("digest", p["again"]) for p in outcome["points"]} == {
        p["place"]: wanted["digest"] for p in outcome["points"]
    }
    assert {p["again"]["run_id"] for p in outcome["points"]} == {wanted["run_id"]}


def test_kill__readers_saw_the_day_before_or_the_day_itself_never_a_part(outcome):
    before, after = outcome["before"], outcome["undisturbed"]["digest"]
    assert before != after
    seen = {p["place"]: p["published"] for p in outcome["points"]}
    assert set(seen.values()) <= {before, after}
    assert seen["after:publish"] == after
    assert [place for place, digest in seen.items() if digest == after] == ["after:publish"]


def test_kill__nothing_is_damaged_and_nothing_is_left_lying_about(outcome):
    assert {p["place"]: p["findings"] for p in outcome["points"] if p["findings"]} == {}
    assert {p["place"]: p["leftovers"] for p in outcome["points"] if p["leftovers"]} == {}
