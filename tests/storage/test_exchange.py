"""A restore that dies anywhere leaves the home as it was or as it was to be; the next who opens the database sees to that."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.backup import back_up, restore
from storage.bars import append_bars
from storage.database import Database
from storage.exchange import begun
from storage.home import Home
from storage.lease import hold_lease
from storage.repair import publish_again
from storage.snapshot import open_snapshot, publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, bars

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


def test_restore__of_what_was_there_keeps_it_aside_whole(gone_wrong, tmp_path):
    home = copies(gone_wrong, tmp_path, "kept")
    restored(home)
    (aside,) = home.backups.glob("replaced-*")
    assert {".commits", "manifest.json", "nextclose.duckdb", "snapshot.duckdb"} <= {path.name for path in aside.iterdir()}
    back = Home(tmp_path / "back")
    shutil.copytree(aside, back.path)
    assert stored(back) == seen(back) == 2 and verify(back) == []
