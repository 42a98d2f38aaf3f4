"""A run of the miniature installation, made once for all tests that only look at it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.daily import daily
from flows.parameters import Daily
from tests.tiny import tiny_home


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, dict]:
    """A home in which one day was done, and the report of it. Not to be written to: take ``copied`` for that."""
    home = tiny_home(tmp_path_factory.mktemp("daily") / "home")
    return home, daily(Daily(home=str(home), origin="2021-03-31"))


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the home in which the day of 2021-03-31 was done."""
    return Path(shutil.copytree(finished[0], tmp_path / "home"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """What is set on this machine must not reach a test."""
    import os

    for name in list(os.environ):
        if name.startswith("NEXTCLOSE_") and name != "NEXTCLOSE_SHARED_DATA":
            monkeypatch.delenv(name)
