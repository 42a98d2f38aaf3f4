"""docs/requirements.md: every row of the list is there once, and every test and option that it names exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from app.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
COUNTS = {"A": 24, "B": 8, "C": 15, "D": 8, "E": 13}  # rows of the list, by its five systems
ROWS = re.findall(r"^\| ([A-E]\d+) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
NODES = sorted({node for _, _, shown in ROWS for node in re.findall(r"`(tests/[^`]+)`", shown)})
TYPED = sorted({line for _, _, shown in ROWS for line in re.findall(r"`(nextclose [^`]+)`", shown)})


@cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(part.name for part in tree.body if isinstance(part, ast.FunctionDef))


def test_page__has_every_row_of_the_list_once_and_in_order():
    assert [row[0] for row in ROWS] == [f"{letter}{n}" for letter, most in COUNTS.items() for n in range(1, most + 1)]


def test_page__says_of_each_row_what_it_does_in_a_few_words_and_shows_it_or_says_not_yet():
    for name, does, shown in ROWS:
        assert 5 <= len(does.split()) <= 12, (name, does)
        assert (shown == "-") == does.endswith("not yet"), name
        assert re.sub(r"`[^`]+`", "", shown).strip("; ") in ("", "-"), (name, shown)


def test_tests__that_are_named_exist():
    named = [node.split("::") for node in NODES]
    missing = [f"{file}::{name}" for file, name in named if not (ROOT / file).exists() or name not in functions_in(file)]
    assert missing == [] and len(NODES) > 60


@pytest.mark.parametrize("line", TYPED)
def test_commands__that_are_named_exist_with_their_options(line):
    _, command, *words = shlex.split(line)
    assert command in COMMANDS
    function = getattr(importlib.import_module(f"app.commands.{command}"), command)
    parameters = inspect.signature(function).parameters
    options = {f"--{name.replace('_', '-')}" for name in parameters} | {"--home", "--json"}
    assert {word for word in words if word.startswith("--")} <= options
    values = {name for name, p in parameters.items() if p.kind is p.POSITIONAL_ONLY}
    alone = [
        word for i, word in enumerate(words) if not word.startswith("--") and (i == 0 or not words[i - 1].startswith("--"))
    ]
    assert len(alone) <= len(values), line


def test_sources__in_commands_are_registered():
    from sources.registry import ALIASES, source_names

    asked = {name for line in TYPED for name in re.findall(r"--source (\w+)", line)}
    assert asked and asked <= {*source_names(), *ALIASES}
