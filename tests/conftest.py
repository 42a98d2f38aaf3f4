"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no verdict from a slow machine.
settings.register_profile("nextclose", deadline=None, derandomize=True)
settings.load_profile("nextclose")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data that is not part of the project; a test that wants it skips where it is absent."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("NEXTCLOSE_SHARED_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared market data at {folder} (set NEXTCLOSE_SHARED_DATA)")
    return folder


@pytest.fixture(autouse=True)
def only_built_in_sources():
    """A source that a test registers is gone after it."""
    from sources.registry import _registered

    before = dict(_registered)
    yield
    _registered.clear()
    _registered.update(before)
