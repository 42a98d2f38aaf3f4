"""Forward only, with a backup and a checkpoint; the content digest outlives an upgrade."""

from __future__ import annotations

import pytest

from forecasting.errors import SchemaTooNew, StorageError
from storage.bars import append_bars
from storage.database import Database
from storage.lease import hold_lease
from storage.manifest import content_digest
from storage.migrate import Migration, known_migrations
from tests.storage.by_hand import MONDAY, bars

NEXT = Migration(
    len(known_migrations()) + 1,
    "notes",
    """ALTER TABLE store.bars ADD COLUMN note VARCHAR;
    CREATE TABLE store.notes (symbol VARCHAR NOT NULL, note VARCHAR);""",
)


def _with_rows(home) -> str:
    db = Database(home)
    with hold_lease(home, db, "test") as lease, db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10), ("MSFT", "2024-03-01", 20)), "files", "as_traded", MONDAY)
    with db.reading() as con:
        return content_digest(con)


def test_upgrade__keeps_the_rows_and_their_digest_and_leaves_a_backup(home):
    before = _with_rows(home)
    upgraded = Database(home, migrations=(*known_migrations(), NEXT))
    with upgraded.reading() as con:
        assert content_digest(con) == before
        assert con.execute("SELECT symbol, note FROM store.bars ORDER BY symbol").fetchall() == [("AAPL", None), ("MSFT", None)]
        assert con.execute("SELECT max(number) FROM store.migrations").fetchone() == (NEXT.number,)
        assert con.execute("SELECT count(*) FROM prices").fetchone() == (2,)  # the views are there again
    assert not home.database.with_name("nextclose.duckdb.wal").exists()  # checkpointed: no log with DDL in it
    (backup,) = home.backups.iterdir()
    home.database.unlink()
    backup.rename(home.database)
    with Database(home).reading() as con:  # the older code opens the older file
        assert content_digest(con) == before


def test_upgrade__a_newer_file_is_refused_by_older_code_and_unchanged(home):
    _with_rows(home)
    Database(home, migrations=(*known_migrations(), NEXT))
    content = home.database.read_bytes()
    with pytest.raises(SchemaTooNew, match=f"has schema {NEXT.number}, this nextclose knows {NEXT.number - 1}; upgrade"):
        Database(home)
    assert home.database.read_bytes() == content


def test_upgrade__that_fails_half_way_leaves_the_file_as_it_was(home):
    before = _with_rows(home)
    broken = Migration(NEXT.number, "broken", "CREATE TABLE store.notes (a INTEGER); SELECT * FROM nowhere;")
    with pytest.raises(StorageError):
        Database(home, migrations=(*known_migrations(), broken))
    with Database(home).reading() as con:
        assert content_digest(con) == before
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'notes'").fetchone() == (0,)


def test_open__a_second_time_does_no_ddl(home):
    Database(home)
    content = home.database.read_bytes()
    Database(home)
    assert home.database.read_bytes() == content
