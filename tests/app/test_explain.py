"""``nextclose explain``: every part is there, a program gets the same, and without contributions nothing heavy is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import execute
from tests.architecture.test_imports import HEAVY

ROOT = Path(__file__).resolve().parents[2]


def test_explain__shows_every_part_for_a_person(finished, capsys):
    assert execute(["explain", "aaa", "2021-03-31", "--horizon", "5", "--no-contributions", "--home", str(finished[0])]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "AAA from the close of 2021-03-31, 5 ahead: the close of 2021-04-08", "which serves since 2021-03-31",
        "What came true: not known yet", "The data known then: 314 sessions since 2020-01-02",
        "no contributions: not asked for",
        "The model: trained at 2021-03-31 on 3 symbols", "The gate of 2021-03-31", "G01", "Everybody's forecast",
    ):  # fmt: skip
        assert part in text, part


def test_explain__tells_a_program_the_same_with_contributions_that_add_up(finished, capsys):
    assert execute(["explain", "AAA", "2021-03-31", "--json", "--home", str(finished[0])]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["forecast"]["horizon"], told["forecast"]["serving"]) == (1, True)
    assert {row["forecaster"] for row in told["forecasts"]} >= {"lstm", "ewma", "persistence"}
    assert [one["feature"] for one in told["features"]] == ["range", "ret"]
    assert len(told["data"]["bars"]) == 5 and told["data"]["bars"][-1]["session"] == "2021-03-31"
    assert told["model"]["card"]["spec"]["units"] == [4] and told["model"]["checks"][0]["code"] == "G01"
    if told["contributions"] is None:
        assert "reads no features" in told["contributions_missing"]
    else:
        *parts, whole = told["contributions"]
        assert sum(part["median"] for part in parts) == pytest.approx(whole["median"], abs=1e-12)


def test_explain__says_what_to_type_where_there_is_nothing(finished, capsys):
    home = ["--home", str(finished[0])]
    assert execute(["explain", "AAA", "2021-03-30", *home]) == 2
    assert "the nearest sessions are 2021-03-31" in capsys.readouterr().err
    assert execute(["explain", "ZZZ", "2021-03-31", *home]) == 2
    assert "there are forecasts of AAA, BBB, CCC" in capsys.readouterr().err
    assert execute(["explain", "AAA", "2021-03-31", "--horizon", "7", *home]) == 2
    assert "there are 1, 5, 20" in capsys.readouterr().err


def test_explain__without_contributions_loads_nothing_heavy(finished):
    arguments = ["explain", "AAA", "2021-03-31", "--no-contributions", "--home", str(finished[0])]
    script = (
        f"import sys\nfrom app.cli import execute\ncode = execute({arguments!r})\n"
        f"print(code, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []"
