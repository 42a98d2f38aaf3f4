"""What was committed, told outside of the database: a torn write-ahead log loses commits without a word (tried with 2.0.0).

Each commit adds a line to ``.commits`` in the home, after the database has it; a publish, which folds the log into the file,
begins the file anew. Where the journal knows of more commits than the database, the difference was lost, and its lines say
which steps of which runs they were.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from storage.home import Home, write_durably


@dataclass(frozen=True)
class Commit:
    """The number of a commit, and the step of the run that it ended (empty where it was none)."""

    number: int
    run_id: str = ""
    step: str = ""


def note(home: Home, commit: Commit) -> None:
    """Add a line, durably. A disk that cannot take it does not undo the commit."""
    line = json.dumps([commit.number, commit.run_id, commit.step]) + "\n"
    try:
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
            number, run_id, step = json.loads(line)
            found.append(Commit(int(number), str(run_id), str(step)))
        except (ValueError, TypeError):
            continue
    return found


def lost(home: Home, writes: int) -> list[Commit]:
    """The commits that the journal knows and a database with ``writes`` commits does not."""
    return [commit for commit in commits(home) if commit.number > writes]
