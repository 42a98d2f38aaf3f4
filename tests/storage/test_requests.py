"""A provider's budget holds over all runs of a day: what was asked is remembered, kills included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.lease import hold_lease
from storage.reading import requests_by_source
from storage.requests import Asked, record_asked, spent
from storage.snapshot import open_newest

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


def log(db, lease, *asked: Asked) -> None:
    with db.writing(lease, None, None) as tx:
        for one in asked:
            record_asked(tx, one)


def test_spent__counts_a_rolling_day_and_each_source_alone(db, lease):
    hours = (30, 23, 2, 0)
    log(db, lease, *(Asked("alpha_vantage", NOON - timedelta(hours=h), 5, 1.0) for h in hours), Asked("stooq", NOON, 40, 2.0))
    with db.reading() as con:
        assert spent(con, "alpha_vantage", NOON) == 15  # not those of 30 hours ago
        assert spent(con, "stooq", NOON) == 40
        assert spent(con, "fred", NOON) == 0


def test_requests__the_log_is_no_content_and_no_step(db, lease):
    from storage.manifest import content_digest

    with db.reading() as con:
        before = content_digest(con)
    log(db, lease, Asked("stooq", NOON, 1, 0.1, 1, 0))
    with db.reading() as con:
        assert content_digest(con) == before


def test_requests__last_success_and_last_failure_are_told_even_if_nothing_was_published(home):
    db = Database(home)
    with hold_lease(home, db, "test") as lease:
        log(
            db, lease,
            Asked("yahoo", NOON - timedelta(hours=3), 10, 1.0, answered=10),
            Asked("yahoo", NOON, 4, 1.0, answered=0, failed=2, kind="rate_limited", detail="yahoo TSLA: answered 429"),
        )  # fmt: skip
    assert not home.snapshot.exists()
    with open_newest(home) as con:
        told = requests_by_source(con, NOON + timedelta(minutes=1))["yahoo"]
    assert told["requests_24h"] == 14 and told["last_failure"] == "yahoo TSLA: answered 429"
    assert told["last_success_at"] == NOON - timedelta(hours=3) and told["last_failure_at"] == NOON


def test_open_newest__without_any_home_there_is_nothing(tmp_path):
    from storage.home import Home

    with open_newest(Home(tmp_path / "none")) as con:
        assert con is None
    assert not (tmp_path / "none").exists()
