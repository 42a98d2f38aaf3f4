"""docs/gate.md says of checks, thresholds and states what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import forecasting.judging.gate
import storage.approvals
from flows.parameters import Promote, Rollback
from forecasting.judging.gate import GateThresholds
from tasks.promotion import NEVER
from tasks.settings import settings_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the first table after a heading by their first cell, which is a code."""
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in cells}


def test_checks__are_all_explained_under_their_names():
    told = dict(re.findall(r"^    (G\d\d) (\w+)", forecasting.judging.gate.__doc__, flags=re.MULTILINE))
    assert {code: cells[0] for code, cells in rows("The checks").items()} == told and len(told) == 10


def test_checks__name_the_thresholds_that_they_use():
    named = {name for cells in rows("The checks").values() for name in re.findall(r"`(\w+)`", cells[3])}
    assert named == set(GateThresholds.model_fields)


def test_thresholds__are_all_listed_with_their_defaults():
    assert rows("Thresholds") == {n: [f"{f.default:g}", f.description] for n, f in GateThresholds.model_fields.items()}


def test_states__are_those_of_the_table():
    schema = (ROOT / "storage" / "migrations" / "0004_trust.sql").read_text(encoding="utf-8")
    allowed = re.search(r"store\.approvals.*?CHECK \(state IN \((.*?)\)\)", schema, flags=re.DOTALL)[1]
    told = dict(re.findall(r"^    (\w+)  +(\S.*)$", storage.approvals.__doc__, flags=re.MULTILINE))
    assert set(rows("By hand")) == set(re.findall(r"'(\w+)'", allowed)) == set(told)


def test_what_no_word_can_do__is_said():
    assert NEVER == ("G01", "G09") and "failed G01\n  or failed G09 is put in service by no word" in PAGE


def test_settings_and_commands__work():
    settings = settings_of(tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[1]))
    assert settings.promotion.approval
    typed = set(re.findall(r"[ `]--([a-z][a-z-]+)", PAGE))
    assert typed == {"reason", "reject", "by", "even-if-refused", "forecaster"}
    fields = set(Promote.model_fields) | set(Rollback.model_fields)
    assert {name.replace("-", "_") for name in typed} <= fields
