"""What was committed, told outside of the database: a torn write-ahead log loses commits without a word (tried with 2.0.0).

Each commit adds a line to ``.commits`` in the home, after the database has it; a publish, which folds the log into the file,
begins the file anew. Where the journal knows of more commits than the database, the difference was lost, and its lines say
which steps of which runs they were. Each line also has the length and SHA-256 of the log as it was then: the engine's own
checksum does not notice exchanged words in it, nor some stretches of zeros.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from storage.home import Home, write_durably

_HEAD = 40  # bytes at the beginning of a log that name the database and count its checkpoints: another log begins otherwise
_PIECE = 1 << 20
_last: dict[Path, tuple[tuple[int, str], int, hashlib._Hash]] = {}  # of a log: which it is, how far it was read, the digest


@dataclass(frozen=True)
class Commit:
    """The number of a commit, and the step of the run that it ended (empty where it was none).

    ``log`` is what the write-ahead log was after it: its beginning, its length, its SHA-256.
    """

    number: int
    run_id: str = ""
    step: str = ""
    log: tuple[str, int, str] | None = field(default=None, compare=False)


def note(home: Home, commit: Commit) -> None:
    """Add a line, durably. A disk that cannot take it does not undo the commit."""
    try:
        line = json.dumps([commit.number, commit.run_id, commit.step, *_mark(home)]) + "\n"
        descriptor = os.open(home.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        pass


def begin_anew(home: Home, number: int) -> None:
    """Keep only the number of the last commit: all of them are in the file by now."""
    try:
        write_durably(home.journal, (json.dumps([number, "", ""]) + "\n").encode())
    except OSError:
        pass


def commits(home: Home) -> list[Commit]:
    """The lines of the journal in the order in which they were written; a torn or damaged line is left out."""
    try:
        text = home.journal.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            number, run_id, step, *log = json.loads(line)
            mark = (str(log[0]), int(log[1]), str(log[2])) if log else None
            found.append(Commit(int(number), str(run_id), str(step), mark))
        except (ValueError, TypeError, IndexError):
            continue
    return found


def lost(home: Home, writes: int) -> list[Commit]:
    """The commits that the journal knows and a database with ``writes`` commits does not."""
    return [commit for commit in commits(home) if commit.number > writes]


def log_changed(home: Home) -> bool:
    """Whether the write-ahead log is not what it was after a commit that the journal tells.

    What was added to it since does not count: a commit that nobody was told of. Nor does another log, which begins with another
    number, or one that was cut: that commits are gone, ``lost`` tells.
    """
    try:
        with home.log.open("rb") as file:
            size, digest = _last_told(home, file)
            return size > 0 and _read(file, 0, size, hashlib.sha256()).hexdigest() != digest
    except OSError:
        return False


def told_bytes(home: Home) -> int:
    """How many bytes of the write-ahead log were there after the last commit that the journal tells of; 0 where none is told of
    this log, or there is no log."""
    try:
        with home.log.open("rb") as file:
            return _last_told(home, file)[0]
    except OSError:
        return 0


def _last_told(home: Home, file: IO[bytes]) -> tuple[int, str]:
    """Length and SHA-256 of this log after the last commit that is told and still in it."""
    head, whole = file.read(_HEAD).hex(), file.seek(0, os.SEEK_END)
    marks = (commit.log for commit in reversed(commits(home)) if commit.log is not None)
    return next(((size, digest) for begins, size, digest in marks if begins == head and size <= whole), (0, ""))


def _mark(home: Home) -> tuple[str, int, str] | tuple[()]:
    """What the write-ahead log is now; nothing where there is none. What this process has read before is not read again."""
    try:
        with home.log.open("rb") as file:
            head, size = file.read(_HEAD).hex(), file.seek(0, os.SEEK_END)
            this = (os.fstat(file.fileno()).st_ino, head)
            before, offset, known = _last.get(home.log, (None, 0, hashlib.sha256()))
            if before != this or size < offset:
                offset, known = 0, hashlib.sha256()
            digest = _read(file, offset, size, known.copy())
    except OSError:
        return ()
    _last[home.log] = (this, size, digest)
    return head, size, digest.hexdigest()


def _read(file: IO[bytes], begin: int, end: int, digest: hashlib._Hash) -> hashlib._Hash:
    """The digest after these bytes of the file too."""
    file.seek(begin)
    while begin < end and (part := file.read(min(_PIECE, end - begin))):
        digest.update(part)
        begin += len(part)
    return digest
