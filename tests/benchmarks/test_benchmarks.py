"""The benchmarks run: each in its small size, so that none of them rots. What they measure is asserted nowhere."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("features", "storage", "inference", "startup", "training", "many_models", "day", "drops", "web")


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark__answers_with_a_table_of_finite_numbers(script):
    report = answer_of(script, "--size", "small", "--json", "--repeats", "1")

    assert report["benchmark"] == script
    assert report["machine"]["cores"] >= 1
    assert len(report["rows"]) >= 5
    for row in report["rows"]:
        numbers = [row[key] for key in ("seconds", "ratio") if row[key] is not None]
        assert all(math.isfinite(number) and number > 0 for number in numbers), row
    # Whether a goal is met is said of the full size alone; a small one has nothing to do with it.
    assert report["bars"] and all(bar["met"] is None for bar in report["bars"])


def test_training__gradients_of_ours_are_those_of_the_plain_keras_model():
    report = answer_of("training", "--size", "small", "--json", "--repeats", "1")

    errors = {row["case"]: float(row["amount"]) for row in report["rows"] if row["section"].startswith("gradient")}
    assert errors.keys() == {"windows", "sequences"}
    assert max(errors.values()) < 1e-5


@cache
def answer_of(script: str, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_benchmark_is_tested_and_explained_in_the_readme():
    shared = {"__init__", "measuring", "opponents", "contenders", "peers", "made_store"}
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - shared
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")

    assert scripts == set(SCRIPTS)
    assert all(f"`{script}.py`" in readme for script in SCRIPTS)
