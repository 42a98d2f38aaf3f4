"""Readers see whole runs, block nobody and are blocked by nobody."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, StorageError
from storage.bars import append_bars
from storage.database import Database
from storage.lease import hold_lease
from storage.manifest import content_digest
from storage.migrate import Migration, known_migrations
from storage.snapshot import open_snapshot, publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars

ROOT = Path(__file__).parents[2]


def _write(db, lease, day: int) -> None:
    """One run's rows: two symbols with the same close."""
    with db.writing(lease, f"run{day}", "ingest") as tx:
        close, session = float(day), f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}"
        append_bars(tx, bars(("AAPL", session, close), ("MSFT", session, close)), "files", "as_traded", MONDAY)


def test_publish__puts_a_read_only_copy_in_place_that_older_clients_can_open(home, db, lease):
    _write(db, lease, 1)
    published = publish(db, home, "run1", MONDAY)
    assert published.rows["bars"] == 2
    assert stat.S_IMODE(home.snapshot.stat().st_mode) == 0o444
    assert not list(home.path.glob(".snapshot-*"))
    with duckdb.connect(str(home.snapshot), read_only=True) as con:
        version = con.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal").fetchone()[0]
        assert version.startswith("v1.5.0")
        assert con.execute("SELECT count(*) FROM prices").fetchone() == (2,)
    with open_snapshot(home) as con, db.reading() as original:
        assert content_digest(con) == content_digest(original) == published.digest


def test_publish__again_without_news_has_the_same_digest(home, db, lease):
    _write(db, lease, 1)
    first = publish(db, home, "run1", MONDAY)
    assert publish(db, home, "run1", MONDAY).digest == first.digest
    _write(db, lease, 2)
    assert publish(db, home, "run2", MONDAY).digest != first.digest


def test_published__is_what_readers_have_and_nothing_older(home, db, monkeypatch):
    """Of rows, of the schema and of the views; a publish brings each."""
    assert db.published() is None
    with hold_lease(home, db, "test") as lease:
        with db.writing(lease, "run1", "ingest") as tx:
            append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
        assert publish(db, home, "run1", MONDAY).digest == db.published()
        with db.writing(lease, "run1", "more") as tx:
            append_bars(tx, bars(("AAPL", "2024-03-04", 11)), "files", "as_traded", MONDAY)
        assert db.published() is None
        digest = publish(db, home, "run1", MONDAY).digest
        assert digest == db.published()
    more = Migration(len(known_migrations()) + 1, "notes", "CREATE TABLE store.notes (symbol VARCHAR NOT NULL);")
    newer = Database(home, migrations=(*known_migrations(), more))
    assert newer.published() is None
    with hold_lease(home, newer, "test"):
        assert (publish(newer, home, "run1", MONDAY).digest, newer.published()) == (digest, digest)
    monkeypatch.setattr("storage.migrate.views_digest", lambda: "of other views")
    assert Database(home, migrations=(*known_migrations(), more)).published() is None


def test_publish__a_reader_that_holds_the_snapshot_open_blocks_nobody(home, db, lease):
    _write(db, lease, 1)
    publish(db, home, "run1", MONDAY)
    with open_snapshot(home) as early:
        _write(db, lease, 2)
        publish(db, home, "run2", MONDAY)
        with open_snapshot(home) as late:  # in the same process, while the old one is open
            assert late.execute("SELECT count(*) FROM prices").fetchone() == (4,)
        assert early.execute("SELECT count(*) FROM prices").fetchone() == (2,)


def test_publish__looping_readers_never_see_half_a_run(home, db, lease):
    _write(db, lease, 0)
    publish(db, home, "run0", MONDAY)
    script = textwrap.dedent(f"""
        import sys
        from storage.home import Home
        from storage.snapshot import open_snapshot
        home, stop = Home({str(home.path)!r}), __import__("pathlib").Path({str(home.path / "stop")!r})
        print("ready", flush=True)
        reads = torn = newest = 0
        while not stop.exists():
            with open_snapshot(home) as con:
                sql = '''SELECT count(*), count(DISTINCT session), (SELECT run_id FROM store.publication),
                    (SELECT count(*) FROM store.steps) FROM store.bars'''
                rows, sessions, run_id, steps = con.execute(sql).fetchone()
            reads += 1
            torn += not (rows == 2 * sessions == 2 * steps == 2 * (int(run_id[3:]) + 1)) or steps < newest
            newest = steps
        print(reads, torn)
    """)
    readers = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    for reader in readers:
        assert reader.stdout.readline() == b"ready\n"
    for day in range(1, 16):
        _write(db, lease, day)
        publish(db, home, f"run{day}", MONDAY)
    (home.path / "stop").touch()
    counts = [reader.communicate()[0].split() for reader in readers]
    assert all(reader.returncode == 0 for reader in readers)
    assert sum(int(reads) for reads, _ in counts) > 10
    assert [int(torn) for _, torn in counts] == [0, 0]


@pytest.mark.parametrize("where", ["_copy", "_seal_file", "write_manifest"])
def test_publish__killed_leaves_the_old_or_the_new_snapshot_and_the_next_publish_mends(home, db, lease, where):
    _write(db, lease, 1)
    publish(db, home, "run1", MONDAY)
    _write(db, lease, 2)
    script = f"""
        import os, signal
        import storage.snapshot as module
        from storage.database import Database
        from storage.home import Home
        from tests.storage.by_hand import MONDAY
        module.{where} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
        home = Home({str(home.path)!r})
        module.publish(Database(home), home, "run2", MONDAY)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    with open_snapshot(home) as con:
        rows = con.execute("SELECT count(*) FROM prices").fetchone()[0]
    assert rows == (4 if where == "write_manifest" else 2)
    publish(db, home, "run2", MONDAY)
    assert verify(home) == []
    assert not list(home.path.glob(".snapshot-*"))


def test_publish__does_not_copy_a_file_that_someone_has_open(home, db, lease):
    _write(db, lease, 1)
    with db.kept_open(), pytest.raises(StorageError, match="is open in this process"):
        publish(db, home, "run1", MONDAY)
    hold = "fcntl.lockf(file, fcntl.LOCK_EX); print('locked', flush=True); input()"
    script = f"import fcntl; file = open({str(home.database)!r}, 'rb+'); {hold}"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(DatabaseLocked, match="opened by another program"), db.held_closed():
            pass
        other.communicate(b"\n")
    assert not home.snapshot.exists()
    publish(db, home, "run1", MONDAY)
    assert verify(home) == []


def test_open_snapshot__is_locked_down(home, db, lease, tmp_path):
    _write(db, lease, 1)
    publish(db, home, "run1", MONDAY)
    target = tmp_path / "out.csv"
    for sql in (
        "DELETE FROM store.bars",
        "CREATE TABLE x (a INTEGER)",
        f"COPY prices TO '{target}'",
        "FROM read_csv('/etc/hostname')",
        f"ATTACH '{tmp_path / 'other.duckdb'}'",
        "SET memory_limit = '10GB'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with open_snapshot(home) as con, pytest.raises(duckdb.Error):
            con.execute(sql)
    assert not target.exists()


def test_open_snapshot__says_what_to_type_where_there_is_none_or_it_is_damaged(home):
    with pytest.raises(StorageError, match="nothing is published .* yet; run `nextclose run` or `nextclose demo` first"):
        open_snapshot(home)
    home.ensure_writable()
    home.snapshot.write_text("text")
    with pytest.raises(DatabaseCorrupt, match="is not a DuckDB file.*publish it again"):
        open_snapshot(home)
