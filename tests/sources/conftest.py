"""For all tests of sources."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import registry


@pytest.fixture(autouse=True, scope="session")
def canary_dialect():
    """``canary://`` addresses reach a driver whose errors hold the password."""
    registry.register("canary", "tests.sources.canary", "CanaryDialect")
