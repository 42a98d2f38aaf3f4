"""docs/macro.md: its table of rules is the code's, and its settings are settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from forecasting.macro import UNKNOWN, Rule, rule_of
from tasks.settings import settings_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "macro.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`[A-Z0-9`, ]+`) \| (.+) \|$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("series", "usable"), ROWS)
def test_rules__are_the_codes(series, usable):
    expected = {"the close of the same session": 0, "the close of the next session": 1}.get(usable)
    for name in re.findall(r"\w+", series):
        rule = rule_of(name)
        assert rule.sessions == expected and (expected is not None or rule.days == int(usable.split()[0])), name


def test_rules__are_all_there():
    assert len(ROWS) == 9 and len(re.findall(r"\w+", " ".join(series for series, _ in ROWS))) > 30
    days = [int(n) for n in re.search(r"quarterly dates \| ([\d, ]+) days later", PAGE)[1].split(", ")]
    assert [rule for _, rule in UNKNOWN][:4] == [Rule(days=n) for n in days]


def test_settings__of_the_page_work():
    settings = settings_of(tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[1]))
    assert settings.macro.sources == ("cboe", "fred") and "macro_change_UNRATE" in settings.lstm.features
