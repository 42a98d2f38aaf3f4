"""A power cut in the middle of a checkpoint: half a block of the engine's catalogue is written, and the file does not open."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecasting.errors import DatabaseCorrupt
from storage.bars import append_bars
from storage.connection import open_database
from storage.database import Database
from storage.home import DAMAGED, Home
from storage.journal import commits
from storage.lease import hold_lease
from storage.manifest import content_digest
from storage.repair import repair
from storage.torn_writes import mend_torn_blocks
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars

NOW = datetime(2026, 11, 19, 23, tzinfo=UTC)
HEADS, BLOCK = 3 * 4096, 262_144


def store(home: Home, session: str, rows: int = 300) -> None:
    db = Database(home)
    with hold_lease(home, db, "test") as lease, db.writing(lease, session, "ingest") as tx:
        append_bars(tx, bars(*((f"S{n:03d}", session, float(n)) for n in range(rows))), "files", "as_traded", MONDAY)


def after_a_checkpoint(home: Home, folder: Path) -> bytes:
    """The bytes that the file would have."""
    copy = Path(shutil.copytree(home.path, folder)) / home.database.name
    con = open_database(copy)
    con.execute("CHECKPOINT")
    con.close()
    return copy.read_bytes()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> tuple[Home, bytes, str]:
    """18 November is published, the 19th is stored: its home, the file as a checkpoint would make it, the content."""
    folder = tmp_path_factory.mktemp("torn")
    home = Home(folder / "home")
    store(home, "2026-11-18")
    Database(home).publish("2026-11-18", NOW)
    store(home, "2026-11-19")
    with Database(home).reading() as con:
        return home, after_a_checkpoint(home, folder / "after"), content_digest(con)


@pytest.fixture
def home(stopped, tmp_path) -> Home:
    return Home(shutil.copytree(stopped[0].path, tmp_path / "home"))


def changed_blocks(home: Home, after: bytes) -> list[int]:
    """The blocks, of those that there were, which the checkpoint writes anew."""
    before = home.database.read_bytes()
    starts = range(HEADS, min(len(before), len(after)), BLOCK)
    return [at for at in starts if before[at : at + BLOCK] != after[at : at + BLOCK]]


def tear(home: Home, after: bytes, how: str) -> int:
    """Write half of each such block, and nothing of the heads; how many do not have the checksum that the engine wants."""
    file = bytearray(home.database.read_bytes())
    torn = 0
    for at in changed_blocks(home, after):
        begin, end = (at, at + BLOCK // 2) if how == "first half" else (at + BLOCK // 2, at + BLOCK)
        torn += file[begin:end] != after[begin:end]
        file[begin:end] = after[begin:end]
    home.database.write_bytes(file)
    return torn


@pytest.mark.parametrize("how", ["first half", "second half"])
def test_torn_block__comes_back_from_the_snapshot_and_the_log_has_the_rest(stopped, home, how):
    _, after, content = stopped
    assert tear(home, after, how) >= 1
    torn = home.database.read_bytes()
    with pytest.raises(DatabaseCorrupt, match="nextclose recover"):  # the engine refuses the file itself
        open_database(home.database)
    told = commits(home)
    db = Database(home)
    assert db.mended.startswith("a block of nextclose.duckdb had been damaged, as a power cut in the middle of a write does it")
    with db.reading() as con:
        assert content_digest(con) == content
    assert commits(home) == told
    [kept] = (home.path / DAMAGED).glob("*/nextclose.duckdb")
    assert kept.read_bytes() == torn
    assert Database(home).mended is None
    db.publish("2026-11-19", NOW)
    assert verify(home) == []


def test_recover__does_the_same_and_loses_no_commit(stopped, home):
    tear(home, stopped[1], "first half")
    done = repair(home, NOW)
    assert "came back from the published snapshot; nothing was lost" in done.actions[0]
    assert (len(done.actions), done.lost, done.from_) == (1, [], None)
    with Database(home).reading() as con:
        assert content_digest(con) == stopped[2]


def test_block__of_stored_rows_that_rotted_comes_back_too(stopped, home):
    """Not of the catalogue: the file opens, and the rows of the 18th cannot be read."""
    data = bytearray(home.database.read_bytes())
    at = data.index(b"S000", HEADS)
    data[at] ^= 0xFF
    home.database.write_bytes(data)
    assert "database" in {finding.kind for finding in verify(home)}
    done = repair(home, NOW)
    assert (done.lost, done.from_) == ([], None)
    with Database(home).reading() as con:
        assert content_digest(con) == stopped[2]


def test_block__of_rows_that_only_the_log_knows_is_not_taken_from_a_snapshot_that_has_others_there(home):
    """A large commit writes its rows into free blocks of the file; the log only names them. The snapshot has something older in
    the same places, and its checksum is right: each such block rots in turn."""
    db = Database(home)
    row = "'S' || lpad(range::VARCHAR, 7, '0'), DATE '{}', " + ", ".join(f"hash(range, {{}}, {n}) / 1e10" for n in range(5))
    row += ", 'files', 'as_traded', 0, TIMESTAMPTZ '2026-01-01 00:00:00+00', 'large'"

    def large(session: str, rows: int) -> None:
        with db.writing(lease, session, "ingest") as tx:
            tx.execute(
                f"INSERT INTO store.bars SELECT {row.format(session, *[session[-2:]] * 5)} FROM range({rows})"
            ).fetchall()

    with hold_lease(home, db, "test") as lease:
        large("2024-03-01", 130_000)
        db.publish("first", NOW)
        for day in range(4):  # rows that move into larger groups leave free blocks behind
            large(f"2024-03-0{4 + day}", 3_000)
            db.publish(f"day {day}", NOW)
        large("2024-03-11", 130_000)
    before, published = home.database.read_bytes(), home.snapshot.read_bytes()
    assert before[:HEADS] == published[:HEADS] and home.log.stat().st_size < 100_000
    starts = range(HEADS, min(len(before), len(published)), BLOCK)
    written = [at for at in starts if before[at : at + BLOCK] != published[at : at + BLOCK]]
    assert written
    for at in written:
        data = bytearray(before)
        data[at + 1000] ^= 0xFF
        home.database.write_bytes(data)
        assert mend_torn_blocks(home) is None
        assert home.database.read_bytes() == data


@pytest.mark.parametrize("told", [True, False])
def test_log__torn_in_a_commit_that_nobody_was_told_of_is_cut_there(stopped, home, told):
    """A power cut: of the last commit's writes the first sector is missing and the others are there."""
    if not told:  # the very first commit since the publish
        Database(home).publish("2026-11-19", NOW)
    before = home.log.read_bytes() if home.log.exists() else b""
    journal = home.journal.read_bytes()
    store(home, "2026-11-20")
    data = bytearray(home.log.read_bytes())
    begin = max(len(before), 40)
    data[begin + 100 : begin + 612] = bytes(512)
    home.log.write_bytes(data)
    home.journal.write_bytes(journal)  # the power failed before it was told
    with pytest.raises(DatabaseCorrupt, match="nextclose recover"):
        open_database(home.database)
    db = Database(home)
    assert "was cut off; nothing was lost" in db.mended
    with db.reading() as con:
        assert content_digest(con) == stopped[2]
    [kept] = (home.path / DAMAGED).glob("*/nextclose.duckdb.wal")
    assert kept.read_bytes() == data
    store(home, "2026-11-20")
    db.publish("2026-11-20", NOW)
    assert verify(home) == []


@pytest.mark.parametrize(
    "why", ["another head", "another snapshot", "a log that is cut", "no log", "no snapshot", "no journal"]
)
def test_torn_block__stays_where_the_mended_file_would_lack_something(stopped, home, tmp_path, why):
    after = stopped[1]
    if why == "another head":  # checkpointed since the publish: the snapshot's block is older than what the head names
        home.database.write_bytes(after)
        home.log.unlink()
        store(home, "2026-11-20")
        after = after_a_checkpoint(home, tmp_path / "after")
    assert tear(home, after, "first half")
    if why == "another snapshot":
        home.snapshot.chmod(0o644)
        home.snapshot.write_bytes(home.snapshot.read_bytes() + b"x")
    elif why == "a log that is cut":
        home.log.write_bytes(home.log.read_bytes()[:-40])
    elif why == "no log":
        home.log.unlink()
    elif why == "no snapshot":
        home.snapshot.unlink()
    elif why == "no journal":
        home.journal.unlink()
    torn = home.database.read_bytes()
    assert mend_torn_blocks(home) is None
    with pytest.raises(DatabaseCorrupt, match="nextclose recover"):
        Database(home)
    assert home.database.read_bytes() == torn
    assert not list(home.path.glob(".staged-*"))


def test_whole_file__is_left_alone(home):
    before = home.database.stat()
    assert mend_torn_blocks(home) is None and Database(home).mended is None
    assert (home.database.stat().st_ino, home.database.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
