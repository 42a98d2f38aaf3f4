"""Nothing of this machine's settings reaches a test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """What is set on this machine must not reach a test."""
    import os

    for name in list(os.environ):
        if name.startswith("NEXTCLOSE_") and name != "NEXTCLOSE_SHARED_DATA":
            monkeypatch.delenv(name)
