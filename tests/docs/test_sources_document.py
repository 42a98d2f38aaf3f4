"""docs/sources.md names every source, every option and every kind of failure."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

from forecasting.errors import SourceError
from sources.catalogue import CATALOGUE
from sources.registry import _BUILT_IN

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
FOR_TESTS = {"session_factory", "sleep", "self"}


def test_document__has_a_row_for_every_source_of_prices_with_its_key_and_alias():
    rows = dict(re.findall(r"^\| `(\w+)`(.*)$", TEXT, re.M))
    for about in CATALOGUE:
        if about.gives == "prices":
            assert all(f"`{name}`" in rows[about.name] for key in about.keys for name in key.split("|")), about.name
            assert all(f"`{alias}`" in rows[about.name] for alias in about.aliases), about.name


def test_document__names_every_option():
    synthetic = {"bundled", "synthetic"}  # for demos and tests; they explain themselves
    for name, (module, cls) in _BUILT_IN.items():
        if name not in synthetic:
            options = set(inspect.signature(getattr(import_module(module), cls)).parameters) - FOR_TESTS
            assert {o for o in options if f"`{o}`" not in TEXT} == set(), name


def test_document__explains_every_kind_of_failure():
    def kinds(cls: type[SourceError]) -> set[str]:
        return {cls.kind}.union(*(kinds(child) for child in cls.__subclasses__()))

    rows = {kind for row in re.findall(r"^\| (`[^|]+) \|", TEXT, re.M) for kind in re.findall(r"`(\w+)`", row)}
    assert kinds(SourceError) - {"down"} <= rows and "down" in rows
