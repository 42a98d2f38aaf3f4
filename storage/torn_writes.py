"""What a power cut tore: blocks of the database come back from the published snapshot, an unfinished commit is cut off the log.

A checkpoint writes the changed part of the engine's catalogue over the old one, in the same blocks of 256 KB, before the head
of the file names the new state and the log is emptied. Half a block written is a block whose checksum is wrong, and a file that
no longer opens, although its log still has every commit. The snapshot is the same file, byte for byte, as it was after the
checkpoint of the last publish; as long as both have the same head, a block of it is what was there before. With the blocks back
and the log beside it the file opens as if the checkpoint had not begun. It is what databases call a double write buffer; here
the publish before has written it already.

Format of the file, storage version 1.5: three heads of 4 KB (the file's, and two that take turns), then blocks; each begins
with a checksum: XOR of 5381 and the products of all following 64-bit words with a constant (DuckDB, src/common/checksum.cpp).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from storage.apart import commits_apart
from storage.exchange import staged
from storage.home import Home, copy_open, disk_errors, fsync, write_durably
from storage.journal import commits, log_changed, told_bytes
from storage.manifest import snapshot_is_good
from storage.snapshot import open_snapshot
from storage.turns import turn

_HEAD, _BLOCK = 4096, 262_144
_FACTOR = np.uint64(0xBF58476D1CE4E5B9)


def mend_torn_writes(home: Home) -> str | None:
    """Cut an unfinished commit off the log, or bring torn blocks back, whichever helps; a sentence about it, None where neither
    does. Call it while holding the home's lock.

    What was replaced lies in ``damaged/`` afterwards. Nothing is changed unless file and log then hold every commit that the
    journal knows. DatabaseLocked where the database stays open elsewhere, StorageError where the disk has no room.
    """
    return cut_torn_log(home) or mend_torn_blocks(home)


def mend_torn_blocks(home: Home) -> str | None:
    """Take the blocks of the database that are not whole from the snapshot, where both have the same head.

    Only blocks that the snapshot itself reads: others are free as the head knows it, and the log may have put rows there since.
    Every value must be readable afterwards.
    """
    known = [commit.number for commit in commits(home)]
    if not known or log_changed(home) or not home.database.is_file() or not snapshot_is_good(home):
        return None
    with disk_errors(home), turn(home.database, writing=True, wait=10.0), staged(home) as folder:
        mended = folder / home.database.name
        torn = _without_torn_blocks(home, mended)
        if not torn:
            return None
        if home.log.exists():
            shutil.copyfile(home.log, folder / home.log.name)
        there = commits_apart(mended, thoroughly=True)
        if there is None or there < max(known):
            return None
        kept = _kept(home, home.database)
        os.replace(mended, home.database)
        fsync(home.path)
    what = "a block" if torn == 1 else f"{torn} blocks"
    return (
        f"{what} of {home.database.name} had been damaged, as a power cut in the middle of a write does it, and came back from "
        f"the published snapshot; nothing was lost, and the file as it was lies in {kept}/"
    )


def cut_torn_log(home: Home) -> str | None:
    """Cut off what follows the last commit that was told, in a log that cannot be read.

    A power cut in the middle of a commit can leave any part of what was written since the log was last synced, and the engine
    refuses a log that does not simply end. Nobody was told of that commit; the journal knows how long the log was before it,
    and its SHA-256.
    """
    known = [commit.number for commit in commits(home)]
    if not known or log_changed(home) or not (home.log.exists() and home.database.is_file()):
        return None
    with disk_errors(home), turn(home.database, writing=True, wait=10.0), staged(home) as folder:
        whole, told = home.log.read_bytes(), told_bytes(home)
        if told == len(whole):  # nothing follows
            return None
        shutil.copyfile(home.database, folder / home.database.name)
        if told:
            write_durably(folder / home.log.name, whole[:told])
        there = commits_apart(folder / home.database.name)
        if there is None or there < max(known):
            return None
        kept = _kept(home, home.log)
        if told:
            os.replace(folder / home.log.name, home.log)
        else:
            home.log.unlink()
        fsync(home.path)
    return (
        f"the end of {home.log.name} could not be read, as after a power cut in a commit that nobody was told of, and was "
        f"cut off; nothing was lost, and the log as it was lies in {kept}/"
    )


def _kept(home: Home, path: Path) -> Path:
    """Link a file that will be replaced into a folder of ``damaged/``; that folder, as seen from the home."""
    aside = home.aside()
    os.link(path, aside / path.name)
    fsync(aside)
    fsync(aside.parent)
    return aside.relative_to(home.path)


def _without_torn_blocks(home: Home, target: Path) -> int:
    """Copy the database to ``target``, each torn block from the snapshot; how many, 0 where the two do not belong together."""
    with home.database.open("rb") as file, home.snapshot.open("rb") as published:
        if file.read(_HEAD) != published.read(_HEAD):  # another database
            return 0
        if (head := _active_head(file)) is None or head != _active_head(published):
            return 0
        torn = [number for number, block in _blocks(file) if not _whole(block)]
        read_by_snapshot = _blocks_in_use(home) if torn else set()
        copy_open(file, target)
        mended = 0
        with target.open("rb+") as copy:
            for number in torn:
                if number in read_by_snapshot:
                    published.seek(_offset(number))
                    copy.seek(_offset(number))
                    copy.write(published.read(_BLOCK))
                    mended += 1
            copy.flush()
            os.fsync(copy.fileno())
        return mended


def _blocks_in_use(home: Home) -> set[int]:
    """The numbers of the blocks that a reader of the snapshot may come to: catalogue and rows."""
    with open_snapshot(home) as con:
        found = {number for (number,) in con.execute("SELECT block_id FROM pragma_metadata_info('snapshot')").fetchall()}
        for (table,) in con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' AND database_name = 'snapshot'"
        ).fetchall():
            for number, more in con.execute(
                f"SELECT block_id, additional_block_ids FROM pragma_storage_info('store.{table}') WHERE persistent"
            ).fetchall():
                found |= {number, *(more or ())}
    return found


def _active_head(file: IO[bytes]) -> bytes | None:
    """The newer of the two heads whose checksums are right."""
    heads = []
    for number in (1, 2):
        file.seek(number * _HEAD)
        head = file.read(_HEAD)
        if len(head) == _HEAD and _whole(head):
            heads.append((int(np.frombuffer(head, "<u8", 1, 8)[0]), head))
    return max(heads)[1] if heads else None


def _blocks(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    file.seek(_offset(0))
    while len(block := file.read(_BLOCK)) == _BLOCK:
        yield number, block
        number += 1


def _offset(number: int) -> int:
    return 3 * _HEAD + number * _BLOCK


def _whole(data: bytes) -> bool:
    words = np.frombuffer(data, "<u8")
    return int(words[0]) == int(np.bitwise_xor.reduce(words[1:] * _FACTOR)) ^ 5381
