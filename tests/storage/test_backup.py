"""A backup is whole or not there, says what it holds, and brings back what it was made from."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, InputError, StorageError
from storage.backup import CARD, PARTIAL, Backup, _seal, back_up, backups, problems, prune, read_backup, restore
from storage.bars import append_bars
from storage.connection import open_database
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.manifest import content_digest
from storage.own_folder import clear_abandoned, own_folder
from storage.repair import publish_again
from storage.snapshot import publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars

NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Home:
    """Two bars, a model folder, a landing file and settings, published."""
    home = Home(tmp_path_factory.mktemp("backup") / "home")
    db = Database(home)
    home.settings.write_text('[universe]\nsymbols = ["AAA"]\n')
    (home.models / ("ab" * 32)).mkdir(parents=True)
    (home.models / ("ab" * 32) / "card.json").write_text("{}")
    (home.models / ".new-left").mkdir()
    (home.models / ".new-left" / "half").write_text("of a killed run")
    home.landing.mkdir()
    (home.landing / "0f.parquet").write_bytes(b"as it came")
    with hold_lease(home, db, "test") as lease:
        with db.writing(lease, "run1", "ingest") as tx:
            append_bars(tx, bars(("AAA", "2026-11-18", 1.0), ("AAA", "2026-11-19", 2.0)), "files", "as_traded", MONDAY)
        publish(db, home, "run1", NOW)
    return home


@pytest.fixture
def filled(original, tmp_path) -> Home:
    return Home(shutil.copytree(original.path, tmp_path / "home"))


def nightly(home: Home, now: datetime) -> Backup:
    return back_up(home, home.backups, now, by_hand=False)


def digest_of(home: Home) -> str:
    with Database(home).reading() as con:
        return content_digest(con)


def test_backup__holds_the_database_settings_models_and_landing_and_nothing_half_made(filled):
    made = back_up(filled, filled.backups, NOW, "1.2.3")
    assert made.path.name == f"nextclose-20261120T050000Z-{made.digest[:12]}"
    assert set(made.card["files"]) == {
        "nextclose.duckdb", "settings.toml", f"models/{'ab' * 32}/card.json", "landing/0f.parquet",
    }  # fmt: skip
    assert made.digest == digest_of(filled)
    assert (made.card["code_version"], made.created_at) == ("1.2.3", NOW)
    assert problems(read_backup(made.path)) == []
    assert sorted(path.name for path in filled.backups.iterdir()) == [made.path.name]


def test_restore__on_an_empty_machine_gives_the_same_content(filled, tmp_path):
    made = back_up(filled, tmp_path / "elsewhere", NOW)
    new = Home(tmp_path / "new")
    assert restore(new, made) is None
    assert publish_again(new, NOW) == made.digest == digest_of(new)
    assert verify(new) == []
    assert new.settings.read_text() == filled.settings.read_text()


def test_restore__over_a_database_moves_it_aside_only_when_told_to(filled):
    made = back_up(filled, filled.backups, NOW)
    before = filled.database.read_bytes()
    with pytest.raises(InputError, match="add --replace"):
        restore(filled, made)
    assert filled.database.read_bytes() == before
    aside = restore(filled, made, replace=True)
    assert (aside / "nextclose.duckdb").read_bytes() == before and (aside / "snapshot.duckdb").exists()
    assert publish_again(filled, NOW) == made.digest and verify(filled) == []


@pytest.mark.parametrize("name", ["nextclose.duckdb", "settings.toml", f"models/{'ab' * 32}/card.json", "landing/0f.parquet"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_restore__from_a_damaged_backup_touches_nothing(filled, tmp_path, name, how):
    made = back_up(filled, tmp_path / "elsewhere", NOW)
    path = made.path / name
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    path.unlink() if how == "gone" else path.write_bytes(bytes(data) if how == "flipped" else bytes(data[:-1]))
    new = Home(tmp_path / "new")
    with pytest.raises(DatabaseCorrupt, match=name.split("/")[-1]):
        restore(new, read_backup(made.path))
    assert not new.path.exists()


def test_card__that_was_changed_is_refused(filled):
    made = back_up(filled, filled.backups, NOW)
    card = made.path / CARD
    os.chmod(card, 0o644)
    card.write_text(card.read_text().replace(made.digest, "0" * 64))
    with pytest.raises(DatabaseCorrupt, match="was changed"):
        read_backup(made.path)
    assert backups(filled.backups) == []
    with pytest.raises(InputError, match="is not a backup"):
        read_backup(filled.path)


def test_prune__keeps_the_newest_and_never_what_is_no_backup(filled):
    made = [nightly(filled, NOW + timedelta(days=day)).path for day in range(4)]
    (filled.backups / "nextclose-schema0003-abc.duckdb").write_bytes(b"of a migration")
    assert prune(filled.backups, 2) == made[:2]
    assert sorted(path.name for path in filled.backups.iterdir()) == sorted(
        [made[2].name, made[3].name, "nextclose-schema0003-abc.duckdb"]
    )


def test_prune__that_dies_half_way_leaves_no_half_backup(filled, monkeypatch):
    """Of three the two oldest were to go; it dies after one file of the first. The next backup clears the rest away."""
    made = [nightly(filled, NOW + timedelta(days=day)) for day in range(3)]
    real, removed = os.unlink, []

    def dying(path, **more):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        real(path, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "unlink", dying)
        prune(filled.backups, 1)
    left = backups(filled.backups)
    assert [backup.path for backup in left] == [made[1].path, made[2].path] and [problems(backup) for backup in left] == [
        [],
        [],
    ]
    newest = back_up(filled, filled.backups, NOW + timedelta(days=3))
    assert {path.name for path in filled.backups.iterdir()} == {backup.path.name for backup in (*made[1:], newest)}


def test_prune__goes_by_the_order_of_making_by_days_and_spares_what_somebody_asked_for(filled):
    """The clock was a year ahead for two nights; today three are made, one of them by hand. Two days are kept."""
    wrong = [nightly(filled, NOW + timedelta(days=365 + night)).path for night in range(2)]
    yesterday = nightly(filled, NOW - timedelta(days=1)).path
    asked = back_up(filled, filled.backups, NOW).path
    today = [nightly(filled, NOW + timedelta(minutes=minute)).path for minute in (1, 2)]
    assert [backup.number for backup in backups(filled.backups)] == [1, 2, 3, 4, 5, 6]
    assert prune(filled.backups, 2) == [*wrong, today[0]]
    assert [backup.path for backup in backups(filled.backups)] == [yesterday, asked, today[1]]


def test_prune__counts_those_of_an_older_release_which_do_not_say_who_asked(filled):
    """Two nights and two of one afternoon of an older release, then two nights of this one: four are kept."""
    made = [nightly(filled, NOW + timedelta(hours=hours)).path for hours in (0, 24, 31, 32, 48, 72)]
    for path in made[:4]:
        card = json.loads((path / CARD).read_text())
        body = {name: value for name, value in card.items() if name not in ("number", "by_hand", "seal")}
        (path / CARD).chmod(0o644)
        (path / CARD).write_text(json.dumps({**body, "seal": _seal(body)}))
    assert prune(filled.backups, 6) == []
    assert prune(filled.backups, 4) == made[:2]


def test_backup__and_what_is_brought_back_from_it_show_secrets_to_nobody(filled, tmp_path):
    """Settings with a password, for their owner alone (0600), are so in the backup, in one that links to it, and in a home."""
    filled.settings.chmod(0o644)
    older = back_up(filled, tmp_path / "elsewhere", NOW - timedelta(days=1))  # as a release did that kept no modes
    filled.settings.chmod(0o600)
    made = [back_up(filled, tmp_path / "elsewhere", NOW + timedelta(days=day)) for day in range(2)]
    assert (older.path / "settings.toml").stat().st_mode & 0o777 == 0o644
    restore(Home(tmp_path / "new"), made[1])
    folders, files = [backup.path for backup in made], [backup.path / "settings.toml" for backup in made]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o700, 0o700]
    assert [path.stat().st_mode & 0o777 for path in (*files, tmp_path / "new" / "settings.toml")] == [0o600] * 3


def test_backup__twice_in_the_same_second_makes_two(filled):
    """The same content at the same time has the same name; the second gets a number after it, and is the newer one."""
    first, second = nightly(filled, NOW), nightly(filled, NOW)
    assert second.path.name == f"{first.path.name}-2" and [problems(first), problems(second)] == [[], []]
    assert prune(filled.backups, keep=1) == [first.path]


def test_backup__beside_another_into_the_same_folder_leaves_it_alone(filled):
    """The other one is at work in its folder; that of a process that died goes."""
    (filled.backups / f"{PARTIAL}of-the-dead").mkdir(parents=True)
    with own_folder(filled.backups, PARTIAL) as other:
        (other / "nextclose.duckdb").write_bytes(b"half")
        made = back_up(filled, filled.backups, NOW)
        assert sorted(path.name for path in filled.backups.iterdir()) == sorted([other.name, made.path.name])
    assert [path.name for path in filled.backups.iterdir()] == [made.path.name]


def test_backup__where_folders_cannot_be_locked_clears_away_what_is_old(filled, monkeypatch):
    """As on a network file system: what was begun lately may be at work, what nothing was made in for a day is not."""
    import fcntl

    def refused(descriptor, how):
        raise OSError(9, "Bad file descriptor")

    for name, hours in ((f"{PARTIAL}new", 1), (f"{PARTIAL}old", 30)):
        (filled.backups / name).mkdir(parents=True)
        os.utime(filled.backups / name, times=(time.time() - 3600 * hours,) * 2)
    monkeypatch.setattr(fcntl, "flock", refused)
    clear_abandoned(filled.backups, PARTIAL)
    assert [path.name for path in filled.backups.iterdir()] == [f"{PARTIAL}new"]


def test_second_backup__links_what_has_not_changed(filled):
    first = back_up(filled, filled.backups, NOW)
    second = back_up(filled, filled.backups, NOW + timedelta(days=1))
    same = "landing/0f.parquet"
    assert (first.path / same).stat().st_ino == (second.path / same).stat().st_ino
    assert (filled.path / same).stat().st_ino != (first.path / same).stat().st_ino  # the home's own file is a copy


def test_backup__beside_a_run_waits_for_a_moment_between_two_steps(filled):
    """The run holds the lease all the time, and the file for half a second."""
    db, held, released = Database(filled), threading.Event(), threading.Event()

    def run() -> None:
        with hold_lease(filled, db, "run") as lease:
            with db.writing(lease, "run2", "ingest") as tx:
                append_bars(tx, bars(("AAA", "2026-11-20", 3.0)), "files", "as_traded", MONDAY)
                held.set()
                released.wait(0.5)
            released.wait(10)

    worker = threading.Thread(target=run)
    worker.start()
    held.wait(10)
    made = back_up(filled, filled.backups, NOW, patience=20)
    released.set()
    worker.join()
    con = open_database(made.path / "nextclose.duckdb", read_only=True)
    assert con.execute("SELECT count(*) FROM store.bars").fetchone() == (3,)
    con.close()


def test_backup__of_a_file_that_stays_open_elsewhere_gives_up_and_leaves_nothing(filled):
    import subprocess
    import sys

    script = (
        "import duckdb, sys, time; con = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(filled.database)], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises((DatabaseLocked, StorageError)):
            back_up(filled, filled.backups, NOW, patience=0.2)
    finally:
        other.kill()
        other.wait()
    assert list(filled.backups.iterdir()) == []


def test_backup__left_half_made_by_a_kill_is_swept_away(filled):
    left = filled.backups / ".partial-0123456789ab"
    left.mkdir(parents=True)
    (left / "nextclose.duckdb").write_bytes(b"half")
    assert backups(filled.backups) == []
    back_up(filled, filled.backups, NOW)
    assert not left.exists()


def test_backup__of_nothing_says_so(tmp_path):
    with pytest.raises(StorageError, match="nothing is stored"):
        back_up(Home(tmp_path / "none"), tmp_path, NOW)
    assert list(Path(tmp_path).iterdir()) == []
