"""A fresh home and database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.home import Home
from storage.lease import Lease, hold_lease


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def db(home: Home) -> Database:
    return Database(home, lock_wait=0.3)


@pytest.fixture
def lease(home: Home, db: Database) -> Iterator[Lease]:
    with hold_lease(home, db, "test") as held:
        yield held
