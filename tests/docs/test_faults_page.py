"""docs/faults.md: every test and suite that it names exists, and every case is shown by one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from tests.docs.test_requirements import functions_in

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE) if row[0] != "case"]


def test_cases__are_each_shown_by_a_test_that_exists():
    assert len(ROWS) > 45
    for case, promise, shown in ROWS:
        nodes = re.findall(r"`(tests/[^`:]+)::([^`]+)`", shown)
        assert nodes, case
        missing = [f"{file}::{name}" for file, name in nodes if name not in functions_in(file)]
        assert missing == [] and promise, case


def test_suites__that_are_named_exist_and_are_in_contributing():
    suites = sorted(set(re.findall(r"`(?:python -m )?(tests\.faults\.\w+|deployments\.audit)`", PAGE)))
    assert len(suites) == 6 and all(importlib.util.find_spec(suite) for suite in suites)
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [s for s in suites if s.startswith("tests.") and f"| `{s.rpartition('.')[2]}` |" not in told] == []
