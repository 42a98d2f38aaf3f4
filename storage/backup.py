"""A copy of everything that cannot be made again, in a folder of its own, each file with its SHA-256; and the way back.

    nextclose-20261120T050000Z-3f2a91c07d1e/
        backup.json        what is in it: bytes and SHA-256 of each file, content digest of the database, sealed
        nextclose.duckdb   the writer's file, closed while it was copied, with its log folded in
        settings.toml, models/, landing/

The snapshot and the manifest are not in it: they are published anew from the database when it is brought back. A backup is
there whole, under its name, or not at all, and its folder is its owner's alone: settings may hold secrets. Files that an older
backup in the same folder holds already are linked, not copied. Each has a number, one more than the one before it in its
folder: which is the newest does not depend on clocks.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

from forecasting.errors import DatabaseCorrupt, DatabaseLocked, InputError, StorageError
from storage.connection import opened_apart, translated
from storage.database import Database
from storage.exchange import begun, exchange, finish, staged
from storage.home import Home, copy_open, disk_errors, fsync, write_durably
from storage.lockfile import take_lock
from storage.manifest import content_digest
from storage.own_folder import clear_abandoned, own_folder
from storage.turns import turn

FORMAT = 1
CARD = "backup.json"
PREFIX = "nextclose-"
PARTIAL = ".partial-"
FOLDERS = ("models", "landing")
PATIENCE_SECONDS = 60.0  # for a run under way to close the file, which it does again and again


@dataclass(frozen=True)
class Backup:
    """One backup that was read: ``card`` is what it says of itself."""

    path: Path
    card: dict[str, Any]

    @property
    def digest(self) -> str:
        return self.card["digest"]

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.card["created_at"])

    @property
    def number(self) -> int:
        """Its place in the order in which those of its folder were made; 0 for those of older releases, which come first."""
        return self.card.get("number", 0)

    @property
    def by_hand(self) -> bool:
        """Whether somebody asked for it; those of the nights are pruned."""
        return self.card.get("by_hand", False)

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.card["files"].values())


def back_up(
    home: Home,
    into: Path,
    now: datetime,
    code_version: str = "",
    patience: float = PATIENCE_SECONDS,
    by_hand: bool = True,
) -> Backup:
    """Copy the home into a new folder under ``into`` and read the copy again.

    Runs beside a run under way, whose database is copied between two of its steps, and beside another backup. Raises
    DatabaseLocked where no such moment comes within ``patience`` seconds, StorageError where the copy is not what was copied or
    the disk is full.
    """
    if not (home.database.exists() or begun(home)):
        raise StorageError(f"nothing is stored in {home.path} yet; run `nextclose run` first")
    try:
        into.mkdir(parents=True, exist_ok=True)
        clear_abandoned(into, PARTIAL)
        with own_folder(into, PARTIAL) as partial:
            older = backups(into)
            _copy_database(home, partial / home.database.name, patience)
            for source in _files(home):
                _copy(source, partial / source.relative_to(home.path), older[-1].path if older else None, home.path)
            order = {"number": 1 + max((backup.number for backup in older), default=0), "by_hand": by_hand}
            card = _card(partial, now, code_version, order)
            write_durably(partial / CARD, json.dumps(card, sort_keys=True).encode(), mode=0o444)
            target = _put_in_place(partial, into, f"{PREFIX}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{card['digest'][:12]}")
    except OSError as error:
        raise StorageError(
            f"backup into {into} did not succeed ({error.strerror}); free some space or name another --to"
        ) from error
    return Backup(target, card)


def read_backup(path: Path) -> Backup:
    """The backup in ``path`` by its card; DatabaseCorrupt where that is missing or was changed. Reads no other file."""
    try:
        card = json.loads((path / CARD).read_bytes())
        body = {name: value for name, value in card.items() if name != "seal"}
        if card["seal"] != _seal(body) or card["format"] > FORMAT:
            raise DatabaseCorrupt(f"{path / CARD} was changed, or is of a newer nextclose; take another backup")
    except OSError as error:
        raise InputError(
            f"{path} is not a backup ({CARD}: {error.strerror}); name a folder that `nextclose backup` made"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatabaseCorrupt(f"{path / CARD} is not what `nextclose backup` wrote; take another backup") from error
    return Backup(path, body)


def backups(folder: Path) -> list[Backup]:
    """The backups in ``folder`` whose cards are whole, in the order in which they were made."""
    found = []
    for path in folder.glob(f"{PREFIX}*/{CARD}"):
        try:
            found.append(read_backup(path.parent))
        except (DatabaseCorrupt, InputError):
            continue
    return sorted(found, key=lambda backup: (backup.number, backup.created_at, backup.path.name))


def problems(backup: Backup) -> list[str]:
    """What of a backup is not as it was written, one line each: every file is read. [] where all is."""
    found = []
    for name, (size, digest) in sorted(backup.card["files"].items()):
        path = backup.path / name
        try:
            if path.stat().st_size != size or _sha(path) != digest:
                found.append(f"{name} is not the file that was backed up")
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror})")
    return found


def restore(home: Home, backup: Backup, replace: bool = False) -> Path | None:
    """Bring ``backup`` into ``home``; what lay there before is moved to ``backups/replaced-...``, which is returned.

    Every file is checked first, and nothing is touched where one is not as it was written (DatabaseCorrupt) or where the
    home has a database and ``replace`` is not set (InputError). Publish afterwards: the snapshot is not in a backup.
    """
    found = problems(backup)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise DatabaseCorrupt(f"{backup.path}: {found[0]}{more}; nothing was changed, take another backup")
    if (home.database.exists() or begun(home)) and not replace:
        raise InputError(f"{home.path} holds a database; name another --home, or add --replace to move it aside")
    home.ensure_writable()
    with disk_errors(home), take_lock(home, "restore", patience=1.0), turn(home.database, writing=True, wait=10.0):
        finish(home)
        out = [path for path in (home.database, home.log, home.manifest, home.journal) if path.exists()]
        shown = [path for path in (home.snapshot,) if path.exists()]  # readers keep what they have until the next publish
        aside = home.backups / f"replaced-{uuid.uuid4().hex[:12]}"
        with staged(home) as folder:
            for name in backup.card["files"]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(backup.path / name, folder / name)  # with its mode
            exchange(home, folder, aside, out, shown)
    return aside if out or shown else None


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove backups of nights from ``folder``, but for the newest of each of the newest ``keep`` days (UTC); those removed,
    oldest first. Those that somebody asked for stay; one of an older release, which does not say who asked, counts as a day."""
    kept: set[date | Path] = set()
    gone = []
    for backup in reversed([backup for backup in backups(folder) if not backup.by_hand]):
        day = backup.created_at.date() if backup.number else backup.path
        if day in kept or len(kept) == keep:
            gone.insert(0, backup.path)
        else:
            kept.add(day)
    for path in gone:
        going = folder / f"{PARTIAL}{uuid.uuid4().hex[:12]}"  # one that is half removed must not look like a backup
        os.rename(path, going)
        fsync(folder)
        shutil.rmtree(going, ignore_errors=True)  # a backup that begins in this moment clears it away as well
    return gone


def _copy_database(home: Home, target: Path, patience: float) -> None:
    """The file with its log folded in, taken while nobody can write it.

    Only the copy is checkpointed: as long as the file itself is what the last publish left, a torn write of it can be mended.
    """
    db = Database(home, lock_wait=min(patience, 10.0))
    log = target.with_name(home.log.name)
    give_up = time.monotonic() + patience
    while True:
        try:
            with db.held_closed() as file:
                copy_open(file, target)
                if home.log.exists():
                    shutil.copyfile(home.log, log)
            break
        except (DatabaseLocked, StorageError) as error:
            if isinstance(error, DatabaseCorrupt) or time.monotonic() > give_up:
                raise
            time.sleep(0.2)
    with opened_apart(target) as con, translated(target):
        con.execute("CHECKPOINT")
    fsync(target)


def _put_in_place(partial: Path, into: Path, name: str) -> Path:
    """Give the folder its name, with a number after it where another one of the same second and content has it."""
    for number in count(1):
        target = into / (name if number == 1 else f"{name}-{number}")
        try:
            os.rename(partial, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            fsync(into)
            return target
    raise AssertionError("unreachable")


def _files(home: Home) -> Iterator[Path]:
    """The files beside the database that cannot be made again."""
    if home.settings.exists():
        yield home.settings
    for name in FOLDERS:
        for path in sorted((home.path / name).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(home.path).parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                yield path


def _copy(source: Path, target: Path, older: Path | None, root: Path) -> None:
    """Copy, or link to the file of the backup before where that holds the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    known = None if older is None else older / source.relative_to(root)
    if known is not None and known.is_file():
        with suppress(OSError):  # a file system without links; a backup that is pruned in this moment
            if known.stat().st_mode == source.stat().st_mode and _sha(known) == _sha(source):
                os.link(known, target)
                return
    shutil.copy(source, target)  # with its mode: settings may hold secrets
    fsync(target)


def _card(folder: Path, now: datetime, code_version: str, order: dict[str, Any]) -> dict[str, Any]:
    """What the copy holds, read from the copy itself."""
    database = folder / "nextclose.duckdb"
    with opened_apart(database, read_only=True) as con:
        schema, identity = con.execute(
            "SELECT (SELECT max(number) FROM store.migrations), (SELECT value FROM store.meta WHERE key = 'database_id')"
        ).fetchone()
        last = con.execute("SELECT max(origin)::VARCHAR FROM store.forecasts").fetchone()[0]
        digest = content_digest(con)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    body = {
        "format": FORMAT, "created_at": now.astimezone(UTC).isoformat(), "code_version": code_version, "schema": schema,
        "database_id": identity, "last_origin": last, "digest": digest, **order,
        "files": {path.relative_to(folder).as_posix(): [path.stat().st_size, _sha(path)] for path in paths},
    }  # fmt: skip
    return {**body, "seal": _seal(body)}


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
