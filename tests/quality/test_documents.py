"""docs/quality.md and the code say the same: rules with their severity, and thresholds with their defaults."""

from __future__ import annotations

import re
from pathlib import Path

from forecasting.quality.accounts import rules
from forecasting.quality.thresholds import QualityThresholds

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")


def rows(start: str, end: str) -> list[list[str]]:
    """The cells of the table rows between two headings whose first cell is a code."""
    part = PAGE.split(start, 1)[1].split(end, 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")]


def test_rules__are_all_explained_with_their_severity_and_no_other():
    listed = {cells[0].strip("`"): cells[1] for cells in rows("## The rules", "## What one source cannot show")}
    assert listed == {code: severity for code, (severity, _) in rules().items()}


def test_rules__name_only_settings_that_exist():
    known = set(QualityThresholds.model_fields)
    named = {
        name
        for cells in rows("## The rules", "## What one source cannot show")
        for name in re.findall(r"`(\w+)`", cells[3])
        if not cells[3].startswith("option")
    }
    assert named <= known


def test_thresholds__are_all_listed_with_their_defaults():
    listed = {cells[0].strip("`"): cells[1:] for cells in rows("## Thresholds", "\0")}
    assert listed == {n: [f"{f.default:g}", f.description] for n, f in QualityThresholds.model_fields.items()}


def test_reasons_of_sources__are_rules():
    """A source that sets a row aside gives a code that is explained."""
    codes = set()
    for path in (ROOT / "sources").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"rejects?\b.*append|_reject\(|broken.*\(|superseded", line):
                codes |= set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', line)) - {"row_json", "wall_clock"}
    assert {"wrong_width", "repeated_header", "not_a_number", "bad_symbol"} <= codes
    assert codes <= set(rules())
