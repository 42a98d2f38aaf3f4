"""A restore that dies anywhere leaves the home as it was or as it was to be; the next who opens the database sees to that."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecasting.errors import DatabaseCorrupt, StorageError
from storage.backup import back_up, restore
from storage.bars import append_bars
from storage.database import Database
from storage.exchange import begun
from storage.home import Home
from storage.lease import hold_lease
from storage.repair import publish_again, repair
from storage.snapshot import open_snapshot, publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars

FINISHED = "a restore or a repair that had begun and died was finished; what it replaced lies in "
NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


class Died(BaseException):
    """As a kill: nobody catches it, and no `finally` of ours may count on being run."""


@pytest.fixture(scope="module")
def gone_wrong(tmp_path_factory) -> Home:
    """Backed up with one bar; a second one is stored and published afterwards."""
    home = Home(tmp_path_factory.mktemp("exchange") / "home")
    db = Database(home)
    home.settings.write_text("# of the backup\n")
    (home.models / ("ab" * 32)).mkdir(parents=True)
    (home.models / ("ab" * 32) / "card.json").write_text("{}")
    with hold_lease(home, db, "test") as lease:
        for run, session, price in (("run1", "2026-11-18", 1.0), ("run2", "2026-11-19", 2.0)):
            with db.writing(lease, run, "ingest") as tx:
                append_bars(tx, bars(("AAA", session, price)), "files", "as_traded", MONDAY)
            publish(db, home, run, NOW)
            if run == "run1":
                back_up(home, home.path.parent, NOW)
                home.settings.write_text("# changed since\n")
    return home


def restored(home: Home) -> None:
    from storage.backup import backups

    restore(home, backups(home.path.parent)[-1], replace=True)


def stored(home: Home) -> int:
    with Database(home).reading() as con:
        return con.execute("SELECT count(*) FROM store.bars").fetchone()[0]


def seen(home: Home) -> int:
    with open_snapshot(home) as con:
        return con.execute("SELECT count(*) FROM store.bars").fetchone()[0]


CHANGING = ("replace", "rename", "link", "mkdir", "rmdir", "unlink", "fsync")


def dying_at(monkeypatch, number: int) -> list[str]:
    """From now on the call of that number, of those that change names, is the last; the calls so far."""
    calls: list[str] = []

    def watched(name, real):
        def call(*args, **more):
            calls.append(f"{name} {args[0]}")
            if len(calls) >= number:
                raise Died(calls[-1])
            return real(*args, **more)

        return call

    for name in CHANGING:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return calls


def copies(gone_wrong: Home, folder: Path, name: str) -> Home:
    shutil.copytree(gone_wrong.path.parent, folder / name)
    return Home(folder / name / "home")


def test_restore__that_dies_anywhere_leaves_the_old_home_or_the_new_one_and_readers_what_they_had(gone_wrong, tmp_path, figure):
    calm = copies(gone_wrong, tmp_path, "calm")
    with pytest.MonkeyPatch.context() as patch:
        calls = dying_at(patch, 10**6)
        restored(calm)
    assert (stored(calm), seen(calm), len(calls) > 25) == (1, 2, True)
    ends = {}
    for number in range(1, len(calls) + 1):
        home = copies(gone_wrong, tmp_path, f"at-{number}")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
            dying_at(patch, number)
            restored(home)
        assert seen(home) == 2  # nothing was published since
        if begun(home):
            (told,) = verify(home)
            assert "run `nextclose recover`" in str(told)
        rows = stored(home)
        assert not begun(home)
        ends[number] = rows
        assert home.settings.read_text() == {2: "# changed since\n", 1: "# of the backup\n"}[rows]
        if number % 7 == 0:  # each takes a second
            assert publish_again(home, NOW) and seen(home) == rows and verify(home) == []
            assert not [path.name for path in home.path.iterdir() if path.name.startswith((".staged", ".exchange"))]
        shutil.rmtree(home.path.parent)
    turning = [number for number in ends if ends[number] == 1][0]
    assert list(ends.values()) == [2] * (turning - 1) + [1] * (len(ends) - turning + 1)  # from one call on, and then for good
    figure(f"restores killed: {len(ends)} of {len(ends)} finished or not begun, {turning - 1} of them not begun")


@contextmanager
def dying_without_a_database(home: Home) -> Iterator[None]:
    """Die inside when the database of before has gone and the one that comes has not come."""
    real = os.replace

    def replace(source, target):
        if Path(source).parent == home.exchange and Path(target) == home.database:
            raise Died
        real(source, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
        patch.setattr(os, "replace", replace)
        yield
    assert begun(home) and not home.database.exists() and not home.manifest.exists()


def died_without_a_database(home: Home) -> None:
    with dying_without_a_database(home):
        restored(home)


def test_restore__that_dies_after_another_process_looked_gets_no_empty_database_in_between(gone_wrong, tmp_path, monkeypatch):
    """That process saw no exchange; it looks again under the lock before it makes a database of its own."""
    home = copies(gone_wrong, tmp_path, "looked")
    died_without_a_database(home)
    monkeypatch.setattr("storage.migrate.begun", lambda home: False)
    told = Database(home).mended
    assert told.startswith(
        "a restore or a repair that had begun and died was finished; what it replaced lies in backups/replaced-"
    )
    assert stored(home) == 1 and not begun(home)


def test_restore__that_dies_under_a_process_that_waits_to_write_costs_no_database(gone_wrong, tmp_path):
    """The engine would make an empty file where there is none, and the next finish would put that over the old database."""
    home = copies(gone_wrong, tmp_path, "waits")
    db = Database(home)
    died_without_a_database(home)
    with pytest.raises(StorageError, match="is not there; run again"), hold_lease(home, db, "waiting"):
        pass
    assert not home.database.exists() and stored(home) == 1
    (aside,) = home.backups.glob("replaced-*")
    back = Home(tmp_path / "back")
    shutil.copytree(aside, back.path)
    assert stored(back) == 2 and verify(back) == []


def test_restore__whose_plan_was_damaged_keeps_all_and_says_what_to_do(gone_wrong, tmp_path):
    home = copies(gone_wrong, tmp_path, "plan")
    died_without_a_database(home)
    (home.exchange / "exchange.json").write_text("{")
    before = sorted(path.name for path in home.exchange.iterdir())
    with pytest.raises(DatabaseCorrupt, match="cannot be read.*rename .*exchange and run `nextclose recover`"):
        Database(home)
    assert sorted(path.name for path in home.exchange.iterdir()) == before and "nextclose.duckdb" in before
    home.exchange.rename(home.path / "exchange-damaged")
    shutil.copytree(home.path.parent / next(p.name for p in home.path.parent.glob("nextclose-*")), home.backups / "nextclose-1")
    assert repair(home, NOW).from_ == "the backup nextclose-1" and stored(home) == 1


def test_restore__into_folders_that_are_links_to_another_disk(gone_wrong, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    home = copies(gone_wrong, tmp_path, "links")
    with tempfile.TemporaryDirectory(dir=other) as far:
        for name in ("backups", "models"):
            shutil.move(home.path / name, far) if (home.path / name).exists() else (Path(far) / name).mkdir()
            (home.path / name).symlink_to(Path(far) / name)
        shutil.rmtree(Path(far) / "models" / ("ab" * 32))
        restored(home)
        assert (stored(home), seen(home), begun(home)) == (1, 2, False)
        assert (Path(far) / "models" / ("ab" * 32) / "card.json").read_text() == "{}"
        (aside,) = (Path(far) / "backups").glob("replaced-*")
        assert {"manifest.json", "nextclose.duckdb", "snapshot.duckdb"} <= {path.name for path in aside.iterdir()}


def test_restore__onto_a_file_where_a_folder_must_be_changes_nothing(gone_wrong, tmp_path):
    home = copies(gone_wrong, tmp_path, "refused")
    home.backups.rmdir() if home.backups.exists() else None
    home.backups.write_text("not a folder")
    with pytest.raises(StorageError, match="cannot be written .*nothing was changed"):
        restored(home)
    assert not begun(home) and stored(home) == seen(home) == 2 and verify(home) == []


def test_repair__that_dies_is_finished_by_the_next_which_knows_the_sessions_too(published, tmp_path):
    """Database and snapshot are damaged, the backup is from before the forecasts of Monday."""
    calm, killed = (Home(shutil.copytree(published.path, tmp_path / name)) for name in ("calm", "killed"))
    for home in (calm, killed):
        _backup_of_friday(home)
        for path in (home.database, home.snapshot):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:100_000])
    done = repair(calm, NOW)
    assert [str(day) for day in done.sessions] == ["2024-03-01", "2024-03-04"]
    with dying_without_a_database(killed):
        repair(killed, NOW)
    again = repair(killed, NOW)
    assert again.sessions == done.sessions and again.findings == done.findings == []
    assert again.actions[0].startswith(
        "a restore or a repair that had begun and died was finished; what it replaced lies in damaged/"
    )


def _backup_of_friday(home: Home) -> None:
    """A backup of a database like this one in which nothing was forecast yet."""
    empty = Home(home.path.parent / f"{home.path.name}-empty")
    Database(empty)
    back_up(empty, home.backups, NOW)


def test_database__that_is_gone_while_only_a_snapshot_remembers_it_is_not_made_anew(gone_wrong, tmp_path):
    home = copies(gone_wrong, tmp_path, "gone")
    restored(home)
    home.database.unlink()
    with pytest.raises(DatabaseCorrupt, match="is missing, but snapshot.duckdb says"):
        Database(home)


def test_restore__of_what_was_there_keeps_it_aside_whole(gone_wrong, tmp_path):
    home = copies(gone_wrong, tmp_path, "kept")
    restored(home)
    (aside,) = home.backups.glob("replaced-*")
    assert {".commits", "manifest.json", "nextclose.duckdb", "snapshot.duckdb"} <= {path.name for path in aside.iterdir()}
    back = Home(tmp_path / "back")
    shutil.copytree(aside, back.path)
    assert stored(back) == seen(back) == 2 and verify(back) == []
