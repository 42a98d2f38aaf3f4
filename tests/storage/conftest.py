"""A fresh home and database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest

from storage.bars import append_bars, append_symbols
from storage.database import Database
from storage.home import Home
from storage.lease import Lease, hold_lease
from storage.ledger import append_forecasts, score_settled
from storage.quarantine import append_quarantine
from storage.registry import append_serving
from storage.runs import Run, record_run, start_attempt
from storage.snapshot import publish
from tests.storage.by_hand import MONDAY, TUESDAY, bars, forecasts


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


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Home:
    """AAPL and IBM: bars of two sessions (IBM lacks the second), a forecast settled and one open, one bad row, one run."""
    home = Home(tmp_path_factory.mktemp("reading") / "home")
    db = Database(home)
    with hold_lease(home, db, "test") as lease:
        with db.writing(lease, "run1", None) as tx:
            start_attempt(tx, "run1", "daily", MONDAY)
        with db.writing(lease, "run1", "all") as tx:
            rows = bars(("AAPL", "2024-03-01", 100), ("AAPL", "2024-03-04", 101), ("IBM", "2024-03-01", 190))
            append_bars(tx, rows, "files", "as_traded", MONDAY)
            told = {"calendar": "XNYS", "currency": "USD", "basis": "as_traded", "source": "files"}
            append_symbols(tx, pd.DataFrame([{"symbol": s, **told} for s in ("AAPL", "IBM")]), MONDAY)
            for origin, target in (("2024-03-01", "2024-03-04"), ("2024-03-04", "2024-03-05")):
                append_forecasts(
                    tx, forecasts(*(("AAPL", origin, 1, target, name) for name in ("lstm", "ewma", "persistence")))
                )
            score_settled(tx, date(2024, 3, 4), "run1", MONDAY)
            bad = {"symbol": "IBM", "session": [None, None], "reason": "zero_close", "severity": "quarantine"}
            append_quarantine(tx, pd.DataFrame({**bad, "message": "close is 0", "row_json": '{"close": 0}'}), "files", MONDAY)
            append_serving(tx, date(2024, 3, 4), "m" * 64, "lstm", "beat every rival", None, MONDAY)
            run = Run(
                "run1",
                "daily",
                date(2024, 3, 4),
                "completed",
                None,
                "files",
                "AAPL,IBM",
                "s",
                "0.1",
                "d",
                "live",
                MONDAY,
                TUESDAY,
            )
            assert record_run(tx, run)
            assert not record_run(tx, run)
        publish(db, home, "run1", TUESDAY)
    return home
