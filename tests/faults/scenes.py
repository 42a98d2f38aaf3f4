"""What is disturbed at every write call, besides a day: the first day of all, a backup, the way back, a repair, an upgrade.

A scene makes a home, does its act there, and may be followed by the act again or by the next day straight away. Everything
here runs in children of ``every_write``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.killing import forked

BEFORE, DAY = "2021-03-31", "2021-04-01"
NOW = datetime(2021, 4, 2, 1, tzinfo=UTC)


def day(home: Path, origin: str = DAY) -> dict:
    """One day by the flow; its content digest, or the error that ended it."""
    from flows.daily import daily
    from flows.parameters import Daily
    from tasks.policies import Policy

    Policy.delay = lambda self, retry: 0.0  # a full disk is no emptier for being waited for

    def work() -> dict:
        report = daily(Daily(home=str(home), origin=origin))
        return {key: report[key] for key in ("digest", "status", "already_done")}

    return answered(work)


def answered(work: Callable[[], dict]) -> dict:
    """What ``work`` answers, or the error that ended it, with its exit code."""
    from forecasting.errors import NextcloseError

    try:
        return work()
    except NextcloseError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "code": 1}


@dataclass(frozen=True)
class Scene:
    """``start`` changes a home in which the day ``BEFORE`` is done (``bare``: nothing is) into that of the scene; ``act`` is
    what is disturbed, ``code`` what every child does first. ``on`` is the day that is done last, whatever was before it.
    ``keeps``: no commit that was told may be gone when the act was disturbed. ``leaves``: how names begin that lie about until
    the act is done again."""

    what: str
    start: Callable[[Path], object] = lambda home: None
    act: Callable[[Path], dict] = day
    code: Callable[[], object] = lambda: None
    bare: bool = False
    on: str = DAY
    keeps: bool = True
    leaves: tuple[str, ...] = ()

    def does(self, work: Callable[[], dict]) -> dict:
        """What ``work`` answers to this scene's code."""
        self.code()
        return work()


def backup(home: Path) -> dict:
    from storage.backup import back_up, backups, problems
    from storage.home import Home

    def work() -> dict:
        back_up(Home(home), home / "backups", datetime.now(UTC))
        return {"problems": [line for made in backups(home / "backups") for line in problems(made)]}

    return answered(work)


def _went_wrong(home: Path) -> None:
    """A day is done after a backup, and somebody wants to go back to that."""
    _well(backup(home))
    _well(day(home))


def restore(home: Path) -> dict:
    """As the command does it."""
    from storage.backup import backups
    from storage.backup import restore as bring_back
    from storage.home import Home
    from storage.repair import publish_again

    def work() -> dict:
        at = Home(home)
        kept = backups(at.backups)[-1]
        bring_back(at, kept, replace=True)
        return {"problems": [] if publish_again(at, NOW) == kept.digest else ["another digest"]}

    return answered(work)


def recover(home: Path) -> dict:
    from storage.home import Home
    from storage.repair import repair

    return answered(lambda: {"problems": [str(finding) for finding in repair(Home(home), NOW).findings]})


def _database_damaged(home: Path) -> None:
    """The database is cut in two; the snapshot is good."""
    _well(day(home))
    _cut(home / "nextclose.duckdb")


def _both_damaged(home: Path) -> None:
    """The database and the snapshot are cut in two; there is a backup."""
    _well(day(home))
    _well(backup(home))
    _cut(home / "nextclose.duckdb")
    _cut(home / "snapshot.duckdb")


def _dying(home: Path) -> dict:
    os.environ["NEXTCLOSE_FAULT"] = "after:forecast"
    return day(home)


def _log_damaged(home: Path) -> None:
    """A day died after its forecasts, and a byte of its log is not what it was."""
    status = forked(lambda: _dying(home), home.with_suffix(".died"))
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the scene could not be made: the day did not die")
    log = home / "nextclose.duckdb.wal"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)


def _well(done: dict) -> None:
    """What makes a scene must have gone well: a scene that was never made shows nothing."""
    if "error" in done or done.get("problems"):
        raise RuntimeError(f"the scene could not be made: {done}")


def _cut(path: Path) -> None:
    path.chmod(0o644)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def _newer_code() -> None:
    """The code knows one migration more than the file."""
    import storage.database
    from storage.migrate import Migration, known_migrations

    known = known_migrations()
    more = Migration(len(known) + 1, "more", "CREATE TABLE store.notes (symbol VARCHAR NOT NULL, note VARCHAR);")
    storage.database.known_migrations = lambda: (*known, more)


def upgrade(home: Path) -> dict:
    """As whoever opens it does it; the copy from before must be whole."""
    from storage.connection import open_database
    from storage.database import Database
    from storage.home import Home
    from storage.manifest import content_digest

    def work() -> dict:
        with Database(Home(home)).reading() as con:
            now = content_digest(con)
        problems = []
        for copy in (home / "backups").glob("nextclose-schema*.duckdb"):
            with open_database(copy, read_only=True) as con:
                problems += [] if content_digest(con) == now else [f"{copy.name} has another content"]
        return {"problems": problems}

    return answered(work)


SCENES = {
    "day": Scene("a day"),
    "first": Scene("the first day of all", bare=True, on=BEFORE, act=lambda home: day(home, BEFORE)),
    "backup": Scene("a backup", act=backup, leaves=(".partial-", ".backup.json-")),
    "restore": Scene("a backup brought back", _went_wrong, restore, keeps=False),
    "recover": Scene("a database taken from the snapshot", _database_damaged, recover, keeps=False),
    "recover-both": Scene("a database taken from a backup", _both_damaged, recover, keeps=False),
    "recover-log": Scene("a changed log put aside", _log_damaged, recover, keeps=False),
    "upgrade": Scene("an upgrade", act=upgrade, code=_newer_code),
}


def copied(start: Path, home: Path) -> Path:
    return Path(shutil.copytree(start, home))


def made(home: Path) -> Path:
    """A home in miniature in which the day before is done."""
    from tests.tiny import tiny_home

    tiny_home(home)
    done(home.with_suffix(".json"), lambda: day(home, BEFORE))
    return home


def done(answer: Path, work: Callable[[], dict]) -> dict:
    """What ``work`` answers in a child; SystemExit where that is an error."""
    forked(work, answer)
    found = json.loads(answer.read_text())
    if "error" in found:
        raise SystemExit(answer.read_text())
    return found
