"""Damage of every kind is found, what can be kept is kept, and the sessions to be done again are named."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from forecasting.errors import AlreadyRunning, DatabaseCorrupt, StorageError
from storage.backup import back_up
from storage.bars import append_bars
from storage.connection import open_database
from storage.database import Database
from storage.home import DAMAGED, Home
from storage.journal import Commit, commits, lost
from storage.landing import save_landing
from storage.lease import hold_lease
from storage.ledger import append_forecasts
from storage.repair import repair
from storage.snapshot import publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars, forecasts

NOW = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
TRUNCATIONS = 100

# A run that commits a session's bars and forecasts, and is killed with -9 before anything is folded into the file.
KILLED = """
import os, signal, sys
from storage.bars import append_bars
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.ledger import append_forecasts
from tests.storage.by_hand import MONDAY, bars, forecasts
home = Home(sys.argv[1]); db = Database(home)
with hold_lease(home, db, "daily") as lease:
    with db.kept_open():
        with db.writing(lease, "run2", "store_prices/AAA") as tx:
            append_bars(tx, bars(*[("AAA", "2026-11-19", 3.0), ("BBB", "2026-11-19", 4.0)]), "files", "as_traded", MONDAY)
        with db.writing(lease, "run2", "forecast/2026-11-19..2026-11-19") as tx:
            append_forecasts(tx, forecasts(("AAA", "2026-11-19", 1, "2026-11-20", "lstm")))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def log_of(home: Home) -> Path:
    return home.database.with_name("nextclose.duckdb.wal")


def writes(home: Home) -> int:
    con = open_database(home.database)
    try:
        return con.execute("SELECT writes FROM store.lease").fetchone()[0]
    finally:
        con.close()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Home:
    """18 November is forecast and published; the run of the 19th was killed with its commits in the write-ahead log."""
    home = Home(tmp_path_factory.mktemp("repair") / "home")
    db = Database(home)
    with hold_lease(home, db, "daily") as lease:
        with db.writing(lease, "run1", "store_prices/AAA") as tx:
            append_bars(tx, bars(("AAA", "2026-11-17", 1.0), ("AAA", "2026-11-18", 2.0)), "files", "as_traded", MONDAY)
        with db.writing(lease, "run1", "forecast/2026-11-18..2026-11-18") as tx:
            append_forecasts(tx, forecasts(("AAA", "2026-11-18", 1, "2026-11-19", "lstm")))
        publish(db, home, "run1", NOW)
    subprocess.run([sys.executable, "-c", KILLED, str(home.path)], cwd=ROOT, check=False)
    assert log_of(home).stat().st_size > 1000
    return home


@pytest.fixture
def torn(interrupted, tmp_path) -> Home:
    """A copy of it to damage."""
    return Home(shutil.copytree(interrupted.path, tmp_path / "home"))


def test_journal__tells_the_commits_since_the_publish_with_their_steps(interrupted):
    told = commits(interrupted)
    assert [commit.step for commit in told if commit.step] == ["store_prices/AAA", "forecast/2026-11-19..2026-11-19"]
    assert [commit.number for commit in told] == list(range(told[0].number, told[0].number + len(told)))
    assert {commit.run_id for commit in told if commit.step} == {"run2"}
    log = log_of(interrupted).read_bytes()
    marks = [commit.log for commit in told if commit.log is not None and commit.log[0] == log[:40].hex()]
    sizes = [size for _, size, _ in marks]
    assert len(sizes) > 1 and sizes == sorted(set(sizes)) and sizes[-1] == len(log)
    for _, size, digest in marks:  # each counts on from the one before
        assert digest == hashlib.sha256(log[:size]).hexdigest()


def test_log__that_is_whole_is_replayed_and_nothing_is_lost(torn):
    done = repair(torn, NOW)
    assert (done.actions, done.lost, done.sessions) == ([], [], [])
    assert done.last_origin == date(2026, 11, 19) and verify(torn) == []


def test_log__torn_at_a_hundred_places_is_found_each_time_and_the_session_is_named(interrupted, tmp_path):
    """DuckDB opens each of them without a word, with fewer rows (or with all, where only the end was cut that says nothing)."""
    size, chance = log_of(interrupted).stat().st_size, random.Random(7)
    whole = commits(interrupted)[-1].number
    silent = found = named = 0
    for number in range(TRUNCATIONS):
        home = Home(tmp_path / str(number))
        home.path.mkdir()
        for path in (interrupted.database, log_of(interrupted), interrupted.journal):
            shutil.copyfile(path, home.path / path.name)
        with log_of(home).open("rb+") as file:
            file.truncate(chance.randrange(1, size))
        try:
            has = writes(home)
        except DatabaseCorrupt:
            found += 1
            named += 1
            continue
        missing = lost(home, has)
        assert len(missing) == whole - has
        silent += has < whole
        found += bool(missing) == (has < whole)
        named += has == whole or any("2026-11-19" in commit.step for commit in missing) or len(missing) < 2
        shutil.rmtree(home.path)
    print(f"\n{TRUNCATIONS} truncations: {silent} lost commits without a word; found {found} / {TRUNCATIONS}")
    assert silent > TRUNCATIONS // 2
    assert found == named == TRUNCATIONS


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_log__torn_is_recovered_with_what_it_still_had_and_the_lost_steps_are_named(torn, share):
    with log_of(torn).open("rb+") as file:
        file.truncate(int(log_of(torn).stat().st_size * share))
    done = repair(torn, NOW)
    assert "forecast/2026-11-19..2026-11-19" in [commit.step for commit in done.lost]
    assert done.sessions == [date(2026, 11, 19)] and done.last_origin == date(2026, 11, 18)
    assert verify(torn) == [] and commits(torn)[-1].step == ""
    assert repair(torn, NOW).damaged is False  # once is enough


def test_log__that_cannot_be_read_is_kept_aside_and_the_file_holds_the_last_publish(torn):
    data = bytearray(log_of(torn).read_bytes())
    for place in range(200, len(data), 97):
        data[place] ^= 0xFF
    log_of(torn).write_bytes(bytes(data))
    done = repair(torn, NOW)
    assert done.sessions == [date(2026, 11, 19)] and done.last_origin == date(2026, 11, 18)
    assert verify(torn) == []
    if done.actions:  # DuckDB may also stop at the first entry that it cannot read
        [kept] = (torn.path / DAMAGED).glob("*/nextclose.duckdb.wal")
        assert kept.read_bytes() == bytes(data)


def test_log__whose_rows_were_changed_behind_the_engines_checksum_is_never_folded_in(torn):
    """Two different words exchanged: the checksum of DuckDB 2.0.0 does not depend on their order."""
    data = bytearray(log_of(torn).read_bytes())
    at = data.index(b"AAA") // 8 * 8
    other = next(n for n in range(at + 8, len(data) - 8, 8) if data[n : n + 8] != data[at : at + 8])
    data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
    log_of(torn).write_bytes(bytes(data))
    assert [str(finding) for finding in verify(torn)] == [
        "database nextclose.duckdb.wal: was changed since it was written; run `nextclose recover`"
    ]
    with pytest.raises(DatabaseCorrupt, match="was changed since it was written; run `nextclose recover`"):
        Database(torn)
    done = repair(torn, NOW)
    assert done.actions[0].startswith("the write-ahead log was changed and was moved to damaged/")
    assert done.sessions == [date(2026, 11, 19)] and verify(torn) == []


@pytest.mark.parametrize("kept", [True, False])
def test_landing_file__that_was_changed_is_found_and_taken_from_a_backup_or_put_aside(torn, kept):
    landed = save_landing(torn, bars(("AAA", "2026-11-18", 2.0)))
    whole = landed.path.read_bytes()
    repair(torn, NOW)
    if kept:
        back_up(torn, torn.backups, NOW)
    landed.path.write_bytes(whole[:-1])
    assert [(finding.kind, finding.what) for finding in verify(torn)] == [("landing", landed.digest[:16])]
    [action] = repair(torn, NOW).actions
    assert action.startswith(
        f"landing file {landed.digest[:16]} was " + ("taken from the backup" if kept else "moved to damaged/")
    )
    assert verify(torn) == [] and landed.path.exists() is kept
    assert save_landing(torn, bars(("AAA", "2026-11-18", 2.0))).path.read_bytes() == whole  # comes again, and is whole again


def damage(home: Home) -> None:
    """Numbers in the middle of the file become others; DuckDB's own checksum is put right, as a swap of words does."""
    from storage.lease import hold_lease as lease_of

    log_of(home).unlink(missing_ok=True)
    db = Database(home)
    with lease_of(home, db, "vandal"), db.transaction() as con:
        con.execute("UPDATE store.bars SET close = close + 1 WHERE session = '2026-11-17'")
    db.checkpoint()


def test_database__that_was_changed_is_taken_from_the_published_snapshot(torn):
    damage(torn)
    assert [finding.kind for finding in verify(torn)] == ["database"]
    done = repair(torn, NOW)
    assert done.from_ == "the published snapshot" and verify(torn) == []
    con = open_database(torn.database, read_only=True)
    assert con.execute("SELECT close FROM store.bars WHERE session = '2026-11-17'").fetchall() == [(1.0,)]
    con.close()
    assert len(list((torn.path / DAMAGED).glob("*/nextclose.duckdb"))) == 1


@pytest.mark.parametrize("how", ["deleted", "text", "cut"])
def test_database__that_is_no_database_any_more_is_taken_from_the_snapshot(torn, how):
    log_of(torn).unlink()
    if how == "deleted":
        torn.database.unlink()
    elif how == "text":
        torn.database.write_text("not a database")
    else:
        torn.database.write_bytes(torn.database.read_bytes()[:5000])
    done = repair(torn, NOW)
    assert done.from_ == "the published snapshot" and verify(torn) == []
    assert done.last_origin == date(2026, 11, 18) and done.sessions == [date(2026, 11, 19)]


def test_database_and_snapshot__both_damaged_are_taken_from_the_newest_good_backup(torn):
    log_of(torn).unlink()
    good = back_up(torn, torn.backups, NOW)
    newer = back_up(torn, torn.backups, NOW.replace(hour=23, minute=30))
    (newer.path / "nextclose.duckdb").write_bytes(b"rotten")
    damage(torn)
    torn.snapshot.chmod(0o644)
    torn.snapshot.write_bytes(b"rotten, too")
    done = repair(torn, NOW)
    assert done.from_ == f"the backup {good.path.name}"
    assert verify(torn) == []


def test_everything__damaged_says_what_to_bring_and_keeps_what_there_is(torn):
    log_of(torn).unlink()
    damage(torn)
    torn.snapshot.chmod(0o644)
    torn.snapshot.write_bytes(b"rotten")
    before = torn.database.read_bytes()
    for _ in range(2):  # the second time it is the same
        with pytest.raises(DatabaseCorrupt, match=r"neither .* is good, and .* stays as it is.*`nextclose restore FOLDER"):
            repair(torn, NOW)
    assert torn.database.read_bytes() == before


def test_look__on_a_disk_without_room_says_so_and_throws_nothing_away(torn, monkeypatch):
    """A copy that cannot be made is no damage."""
    before = {path.name: path.read_bytes() for path in (torn.database, log_of(torn))}

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match=r"could not be looked at \(No space left on device\); make room for a copy of it"):
        repair(torn, NOW)
    assert {path.name: path.read_bytes() for path in (torn.database, log_of(torn))} == before


@pytest.mark.parametrize("what", ["manifest", "snapshot"])
def test_published__that_is_gone_or_changed_is_published_again(torn, what):
    path = getattr(torn, what)
    path.chmod(0o644)
    path.write_bytes(b"changed") if what == "snapshot" else path.unlink()
    done = repair(torn, NOW)
    assert verify(torn) == [] and done.findings == []


def test_repair__while_a_run_writes_is_refused(torn, interrupted):
    script = (
        "import sys, time\nfrom storage.home import Home\nfrom storage.lockfile import take_lock\n"
        "file = take_lock(Home(sys.argv[1]), 'daily of 2026-11-20', 1)\nprint('held', flush=True)\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(torn.path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(AlreadyRunning, match="daily of 2026-11-20"):
            repair(torn, NOW)
    finally:
        other.kill()
        other.wait()


def test_journal__with_a_torn_line_still_tells_the_others(torn):
    with torn.journal.open("a") as file:
        file.write('[99, "run2", "sc')
    assert commits(torn) == [c for c in commits(torn) if c.number < 99]
    assert lost(torn, 0)[0] == Commit(json.loads(torn.journal.read_text().splitlines()[0])[0])
