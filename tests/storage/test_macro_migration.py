"""A database from before macro vintages: its values are seen at the same sessions as before, and then give way."""

from __future__ import annotations

import shutil
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

import storage.migrate
from forecasting.macro import as_known_at, fresh_vintages, with_publication
from forecasting.sessions import sessions_between
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.macro import append_macro, read_macro, read_vintages
from storage.migrate import known_migrations
from storage.snapshot import publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, TUESDAY

SESSIONS = sessions_between("XNYS", "2023-06-01", "2024-01-31")  # with half days, in summer and in winter


@pytest.fixture
def old(tmp_path, monkeypatch) -> Home:
    """A published home with the tables of the first release, VIX and yields in it, one of them corrected on Tuesday."""
    with monkeypatch.context() as patch:
        patch.setattr(storage.migrate, "view_statements", list)
        home = Home(tmp_path / "old")
        db = Database(home, migrations=known_migrations()[:1])
        days = [str(d) for d in SESSIONS]
        with hold_lease(home, db, "test") as lease:
            with db.writing(lease, "run1", "macro") as tx:
                for n, day in enumerate(days):
                    for series, value in (("DGS10", 4.0 + n / 100), ("VIX", 13.0 + n / 10)):
                        row = [series, day, value, "files", 0, MONDAY]
                        tx.execute("INSERT INTO store.macro VALUES (?, ?, ?, ?, ?, ?)", row)
                tx.execute("INSERT INTO store.macro VALUES ('VIX', ?, 99.0, 'files', 1, ?)", [days[-1], TUESDAY])
            publish(db, home, "run1", MONDAY)
    return home


def seen(frame: pd.DataFrame) -> list[tuple]:
    return [(s, str(d.date()), v) for s, d, v in zip(frame["series"], frame["session"], frame["value"], strict=True)]


def test_upgrade__every_value_stays_at_the_session_that_saw_it_and_revisions_stay_revisions(old):
    with duckdb.connect(str(old.database), read_only=True) as con:
        before = con.execute(
            "SELECT series, session::VARCHAR, arg_max(value, revision) FROM store.macro GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    shutil.copytree(old.path, old.path.with_name("copy"))
    with Database(old).reading() as con:
        assert seen(read_macro(con)) == before
        assert seen(read_macro(con, final_after_minutes=0)) == before
        assert seen(read_macro(con, as_of=MONDAY))[-1] == ("VIX", "2024-01-31", 13.0 + (len(SESSIONS) - 1) / 10)
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'macro'").fetchone() == (0,)
        assert con.execute("SELECT DISTINCT dated_by, run_id FROM store.macro_values").fetchall() == [("session", None)]
    assert len(list(old.backups.iterdir())) == 1


def test_upgrade__verify_says_that_it_is_not_published_yet_and_a_publish_makes_it_whole(old):
    assert verify(old) == []
    db = Database(old)
    assert [(f.kind, f.what) for f in verify(old)] == [("unpublished", "macro")]
    assert "run `nextclose run` to publish it again" in str(verify(old)[0])
    with hold_lease(old, db, "test"):
        publish(db, old, "run2", TUESDAY)
    assert verify(old) == []


def test_upgrade__the_next_load_brings_the_days_with_their_dates_and_features_see_the_same(old):
    """VIX is about its session, a yield about the one before: the old rows cannot tell, the new ones do."""
    about = pd.to_datetime(SESSIONS.astype(str)).as_unit("us")
    yields = pd.DataFrame({"series": "DGS10", "about": about[:-1], "value": 4.0 + np.arange(1, len(about)) / 100})
    vix = pd.DataFrame({"series": "VIX", "about": about, "value": 13.0 + np.arange(len(about)) / 10})
    told = with_publication(pd.concat([yields, vix], ignore_index=True).assign(published_at=pd.NaT))
    db = Database(old)
    with hold_lease(old, db, "test") as lease, db.writing(lease, "run2", "macro") as tx:
        held = read_vintages(tx.con)
        fresh = fresh_vintages(told, held[held["dated_by"] != "session"], np.datetime64("2024-02-02"))
        assert append_macro(tx, fresh, "files", TUESDAY).stored == len(told)
    with db.reading() as con:
        found = seen(read_macro(con, until=date(2024, 1, 31)))
        assert found[1:] == seen(as_known_at(told, ["XNYS"], date(2023, 6, 1), date(2024, 1, 31)))
        assert found[0] == ("DGS10", "2023-06-01", 4.0)  # only the old rows know it
        assert len(read_macro(con, as_of=MONDAY)) == 2 * len(SESSIONS)  # as known then: the old rows
