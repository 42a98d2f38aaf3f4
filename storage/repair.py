"""Bringing a damaged home back: what is wrong, what is kept of it, and from where the rest comes.

    blocks of the database are not whole   the same blocks of the published snapshot, see storage/torn_writes.py
    the log was changed or cannot be read  it is moved to ``damaged/``; the file holds everything up to the last publish
    the log was torn without a word        the journal of commits says which steps of which runs were lost
    the database was changed or lost rows  the published snapshot, where it is the published file, else the newest good backup
    the snapshot or the manifest           published again
    a file of what a source sent           from the newest backup that has it, else put aside: its rows are in the database

Nothing is thrown away: what is replaced lies in ``damaged/`` of the home. What the repaired database lacks is done again by the
next daily run, from the sessions after the last forecast on; the ledger makes sure that nothing is done twice.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from forecasting.errors import DatabaseCorrupt, NextcloseError, StorageError
from storage.apart import opens_apart
from storage.backup import Backup, backups, problems
from storage.connection import opened
from storage.database import Database
from storage.exchange import exchange, finish, put_aside, staged
from storage.home import Home, disk_errors, fsync
from storage.journal import Commit, begin_anew, log_changed, lost
from storage.landing import landing_files, landing_problem
from storage.lease import hold_lease
from storage.lockfile import take_lock
from storage.manifest import read_manifest, snapshot_is_good, tables_of
from storage.snapshot import publish
from storage.torn_writes import mend_torn_writes
from storage.turns import turn
from storage.verify import Finding, verify


@dataclass
class Repair:
    """What was found and done. ``lost``: commits that the database no longer has; ``sessions``: those whose forecasts were
    published, or begun by a lost step, and are not there; ``last_origin``: the last session with forecasts now; ``from_``:
    where the database came from, where it was replaced."""

    actions: list[str] = field(default_factory=list)
    lost: list[Commit] = field(default_factory=list)
    sessions: list[date] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    last_origin: date | None = None
    from_: str | None = None

    @property
    def damaged(self) -> bool:
        return bool(self.actions or self.lost)


def repair(home: Home, now: datetime) -> Repair:
    """Bring the home back to a state that ``verify`` has nothing against; see the module's text.

    Raises AlreadyRunning while a run writes, DatabaseCorrupt where neither the snapshot nor any backup is good.
    """
    if not any(path.exists() for path in (home.database, home.manifest, home.snapshot, home.exchange)):
        raise StorageError(f"nothing is stored in {home.path} yet; run `nextclose run` first")
    with disk_errors(home), take_lock(home, "recover", patience=1.0):
        done, published = Repair(), _published_sessions(home)
        with turn(home.database, writing=True, wait=10.0):
            finished = finish(home)
        done.actions += [finished] if finished else []
        if log_changed(home):
            _quarantine_log(home, done, "was changed")
        if not (
            opens_apart(home.database) or _mended(home, done) or (_quarantine_log(home, done) and opens_apart(home.database))
        ):
            _replace_database(home, done)
        writes = _writes(home)
        done.lost = lost(home, writes)
        found = verify(home, alone=True)
        if _grave(found) and _mended(home, done):
            found = verify(home, alone=True)
        if grave := _grave(found):
            done.actions.append(f"{grave[0]}" + (f" and {len(grave) - 1} more" if len(grave) > 1 else ""))
            _replace_database(home, done)
            writes, found = _writes(home), verify(home, alone=True)
        _mend_models(home, found, done)
        _mend_landing(home, done)
        begin_anew(home, writes)
    if found or done.damaged:
        publish_again(home, now)
        done.findings = verify(home)
    there = _origins(home)
    done.last_origin = max(there, default=None)
    done.sessions = sorted((published | _sessions_named(done.lost)) - there)
    return done


def publish_again(home: Home, now: datetime) -> str:
    """Publish what the database holds under the run that it was last published for; the content digest."""
    db = Database(home)
    with disk_errors(home), hold_lease(home, db, "recover"):
        with db.reading() as con:
            run_id = con.execute("SELECT run_id FROM store.publication").fetchone()[0]
        return publish(db, home, run_id or "recovered", now).digest


def _grave(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.kind == "database"]


def _mended(home: Home, done: Repair) -> bool:
    """Whether single blocks were all that was damaged; they are whole again."""
    told = mend_torn_writes(home)
    done.actions += [told] if told else []
    return told is not None


def _replace_database(home: Home, done: Repair) -> None:
    """Put the snapshot, or the newest good backup, in the place of the database."""
    from_snapshot = snapshot_is_good(home)
    good = None if from_snapshot else _newest_good(home)
    if not from_snapshot and good is None:
        raise DatabaseCorrupt(
            f"neither {home.snapshot.name} nor a backup in {home.backups} is good, and {home.database.name} stays as it is; "
            f"bring one from elsewhere (`nextclose restore FOLDER --replace --home {home.path}`) or begin in another home"
        )
    out = [home.database, home.log, *(() if good is None else (home.snapshot, home.manifest))]
    aside, found = home.aside(), [path for path in out if path.exists()]
    with turn(home.database, writing=True, wait=10.0), staged(home) as folder:
        if good is None:
            shutil.copyfile(home.snapshot, folder / home.database.name)
            done.from_ = "the published snapshot"
        else:
            _wanted_of(good, home, folder)
            done.from_ = f"the backup {good.path.name}"
        exchange(home, folder, aside, found)
    done.actions += [f"{path.name} was moved to {aside.relative_to(home.path)}/" for path in found]
    done.actions.append(f"the database was taken from {done.from_}")


def _wanted_of(good: Backup, home: Home, folder: Path) -> None:
    """Copy the database, and the models and landing files that are missing in the home."""
    for name in good.card["files"]:
        if name == home.settings.name or (name != home.database.name and (home.path / name).exists()):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(good.path / name, folder / name)


def _newest_good(home: Home) -> Backup | None:
    return next((backup for backup in reversed(backups(home.backups)) if not problems(backup)), None)


def _quarantine_log(home: Home, done: Repair, why: str = "could not be read") -> bool:
    """Move the write-ahead log out of the way, where there is one (whether there was): the file itself holds all that was
    checkpointed."""
    log = home.log
    if not log.exists():
        return False
    with turn(home.database, writing=True, wait=10.0):
        aside = home.aside()
        os.replace(log, aside / log.name)
        fsync(aside)
        fsync(home.path)
    done.actions.append(f"the write-ahead log {why} and was moved to {aside.relative_to(home.path)}/")
    return True


def _writes(home: Home) -> int:
    with opened(home.database) as con:
        return con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0]


def _origins(home: Home) -> set[date]:
    """The sessions with forecasts."""
    with opened(home.database, read_only=True) as con:
        return {row[0] for row in con.execute("SELECT DISTINCT origin FROM store.forecasts").fetchall()}


def _published_sessions(home: Home) -> set[date]:
    """The sessions whose forecasts the manifest knows, one that a repair which died has put aside too; none where none can be
    read."""
    for folder in (home.path, put_aside(home)):
        try:
            chunks = tables_of(read_manifest(Home(folder)))["forecasts"].chunks if folder else ()
        except (NextcloseError, KeyError):
            continue
        return {date(chunk // 10_000, chunk // 100 % 100, chunk % 100) for chunk in chunks if chunk}
    return set()


def _sessions_named(commits: list[Commit]) -> set[date]:
    """The sessions that lost steps were about, by their names: 'forecast/2021-04-01..2021-04-08'."""
    found = {text for commit in commits for text in re.findall(r"\d{4}-\d{2}-\d{2}", commit.step)}
    return {date.fromisoformat(text) for text in found}


def _mend_models(home: Home, findings: list[Finding], done: Repair) -> None:
    """Put model folders that are not what was recorded aside, and take them from the newest backup that has them."""
    for finding in findings:
        if finding.kind != "model":
            continue
        for backup in reversed(backups(home.backups)):
            wanted = [name for name in backup.card["files"] if name.startswith(f"models/{finding.what}")]
            if not wanted or problems(backup):
                continue
            folder = home.path / Path(wanted[0]).parent
            if folder.exists():
                os.replace(folder, home.aside() / folder.name)
            folder.mkdir(parents=True)
            for name in wanted:
                shutil.copyfile(backup.path / name, home.path / name)
            done.actions.append(f"model {finding.what} was taken from the backup {backup.path.name}")
            break


def _mend_landing(home: Home, done: Repair) -> None:
    """Put files that are not what their names say aside, and take them from a backup where one has them."""
    for path in landing_files(home):
        if landing_problem(path) is None:
            continue
        os.replace(path, home.aside() / path.name)
        kept = [backup.path / "landing" / path.name for backup in reversed(backups(home.backups))]
        good = next((copy for copy in kept if landing_problem(copy) is None), None)
        if good is not None:
            shutil.copyfile(good, path)
        where = "was moved to damaged/" if good is None else f"was taken from the backup {good.parents[1].name}"
        done.actions.append(f"landing file {path.name[:16]} {where}")
