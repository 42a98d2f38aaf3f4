"""Bringing a damaged home back: what is wrong, what is kept of it, and from where the rest comes.

    the log was changed or cannot be read  it is moved to ``damaged/``; the file holds everything up to the last publish
    the log was torn without a word        the journal of commits says which steps of which runs were lost
    the database was changed or lost rows  the published snapshot, where it is the published file, else the newest good backup
    the snapshot or the manifest           published again
    a file of what a source sent           from the newest backup that has it, else put aside: its rows are in the database

Nothing is thrown away: what is replaced lies in ``damaged/`` of the home. What the repaired database lacks is done again by the
next daily run, from the sessions after the last forecast on; the ledger makes sure that nothing is done twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from forecasting.errors import DatabaseCorrupt, NextcloseError, StorageError
from storage.backup import Backup, backups, problems
from storage.connection import open_database, opened
from storage.database import Database
from storage.home import Home, fsync_folder
from storage.journal import Commit, begin_anew, log_changed, lost
from storage.landing import landing_files, landing_problem
from storage.lease import hold_lease
from storage.lockfile import take_lock
from storage.manifest import read_manifest, tables_of
from storage.snapshot import publish
from storage.verify import Finding, verify

DAMAGED = "damaged"
OPENS = "from storage.repair import _opens; import sys; _opens(sys.argv[1])"


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
    if not any(path.exists() for path in (home.database, home.manifest, home.snapshot)):
        raise StorageError(f"nothing is stored in {home.path} yet; run `nextclose run` first")
    done, published = Repair(), _published_sessions(home)
    with take_lock(home, "recover", patience=1.0):
        if log_changed(home):
            _quarantine_log(home, done, "was changed")
        if not opens_apart(home.database) and not (_quarantine_log(home, done) and opens_apart(home.database)):
            _replace_database(home, done)
        writes = _writes(home)
        done.lost = lost(home, writes)
        found = verify(home)
        grave = [finding for finding in found if finding.kind == "database"]
        if grave:
            done.actions.append(f"{grave[0]}" + (f" and {len(grave) - 1} more" if len(grave) > 1 else ""))
            _replace_database(home, done)
            writes, found = _writes(home), verify(home)
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
    with hold_lease(home, db, "recover"):
        with db.reading() as con:
            run_id = con.execute("SELECT run_id FROM store.publication").fetchone()[0]
        return publish(db, home, run_id or "recovered", now).digest


def _replace_database(home: Home, done: Repair) -> None:
    """Put the snapshot, or the newest good backup, in the place of the database."""
    aside = _aside(home)
    for path in (home.database, _log(home)):
        if path.exists():
            os.replace(path, aside / path.name)
            done.actions.append(f"{path.name} was moved to {aside.relative_to(home.path)}/")
    if _snapshot_is_good(home):
        fresh = home.path / f".restore-{uuid.uuid4().hex[:12]}"
        shutil.copyfile(home.snapshot, fresh)
        os.chmod(fresh, 0o644)
        os.replace(fresh, home.database)
        fsync_folder(home.path)
        done.from_ = "the published snapshot"
    else:
        good = _newest_good(home)
        if good is None:
            raise DatabaseCorrupt(
                f"neither {home.snapshot.name} nor a backup in {home.backups} is good; bring one from elsewhere with "
                f"`nextclose restore FOLDER --home {home.path}`; the damaged files are in {aside}"
            )
        for name in (home.snapshot, home.manifest):
            name.unlink(missing_ok=True)
        _unlocked_restore(home, good)
        done.from_ = f"the backup {good.path.name}"
    done.actions.append(f"the database was taken from {done.from_}")


def _unlocked_restore(home: Home, good: Backup) -> None:
    """As ``restore`` does it, for a caller that holds the lock: only the database is wanted, and models that are missing."""
    for name in good.card["files"]:
        target = home.path / name
        if name == home.settings.name or (target.exists() and name != home.database.name):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        shutil.copyfile(good.path / name, fresh)
        os.replace(fresh, target)
    fsync_folder(home.path)


def _newest_good(home: Home) -> Backup | None:
    return next((backup for backup in reversed(backups(home.backups)) if not problems(backup)), None)


def _snapshot_is_good(home: Home) -> bool:
    """Whether the snapshot is the file that the manifest describes."""
    try:
        expected = read_manifest(home)["snapshot"]["sha256"]
        with home.snapshot.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (NextcloseError, OSError, KeyError):
        return False


def _quarantine_log(home: Home, done: Repair, why: str = "could not be read") -> bool:
    """Move the write-ahead log out of the way, where there is one (whether there was): the file itself holds all that was
    checkpointed."""
    log = _log(home)
    if not log.exists():
        return False
    aside = _aside(home)
    os.replace(log, aside / log.name)
    fsync_folder(home.path)
    done.actions.append(f"the write-ahead log {why} and was moved to {aside.relative_to(home.path)}/")
    return True


def opens_apart(path: Path) -> bool:
    """Whether the file opens, tried in a process of its own on a copy: some damage makes the engine crash, and opening a torn
    log would fold what is left of it into the file."""
    with_log = [path, path.with_name(path.name + ".wal")]
    folder = path.with_name(f".try-{uuid.uuid4().hex[:12]}")
    folder.mkdir()
    try:
        for one in with_log:
            if one.exists():
                shutil.copyfile(one, folder / one.name)
        tried = subprocess.run(
            [sys.executable, "-c", OPENS, str(folder / path.name)],
            cwd=Path(__file__).parent.parent, capture_output=True, check=False,
        )  # fmt: skip
        return tried.returncode == 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _opens(path: str) -> None:
    con = open_database(Path(path), lock_wait=0.0)
    con.execute("SELECT count(*) FROM store.lease").fetchone()
    con.execute("CHECKPOINT")
    con.close()


def _writes(home: Home) -> int:
    with opened(home.database) as con:
        return con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0]


def _origins(home: Home) -> set[date]:
    """The sessions with forecasts."""
    with opened(home.database, read_only=True) as con:
        return {row[0] for row in con.execute("SELECT DISTINCT origin FROM store.forecasts").fetchall()}


def _published_sessions(home: Home) -> set[date]:
    """The sessions whose forecasts the manifest knows; none where it cannot be read."""
    try:
        chunks = tables_of(read_manifest(home))["forecasts"].chunks
    except (NextcloseError, KeyError):
        return set()
    return {date(chunk // 10_000, chunk // 100 % 100, chunk % 100) for chunk in chunks if chunk}


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
                os.replace(folder, _aside(home) / folder.name)
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
        os.replace(path, _aside(home) / path.name)
        kept = [backup.path / "landing" / path.name for backup in reversed(backups(home.backups))]
        good = next((copy for copy in kept if landing_problem(copy) is None), None)
        if good is not None:
            shutil.copyfile(good, path)
        where = "was moved to damaged/" if good is None else f"was taken from the backup {good.parents[1].name}"
        done.actions.append(f"landing file {path.name[:16]} {where}")


def _aside(home: Home) -> Path:
    folder = home.path / DAMAGED / uuid.uuid4().hex[:12]
    folder.mkdir(parents=True)
    return folder


def _log(home: Home) -> Path:
    return home.database.with_name(home.database.name + ".wal")
