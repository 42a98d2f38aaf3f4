"""Other files in the place of the home's own, all of them or none, whenever the process dies.

What a restore or a repair brings is gathered in a private folder first, with a plan of what goes where. From the moment in
which that folder is renamed to ``.exchange`` it counts: whoever opens the database next, in this process or after a kill,
finishes what the plan says. Every move can be found done, and the database comes last: before it the exchange is not finished,
and after it nothing is left to do but to clear away.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.home import Home, fsync, write_durably

_PLAN = "exchange.json"


def begun(home: Home) -> bool:
    """Whether an exchange was begun and not finished."""
    return home.exchange.exists()


@contextmanager
def staged(home: Home) -> Iterator[Path]:
    """A private folder in the home for what is to come, gone afterwards where no exchange has taken it. Call it while holding
    the home's lock: the folder of one that died is cleared away."""
    for left in home.path.glob(".staged-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = home.path / f".staged-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def exchange(home: Home, folder: Path, aside: Path, out: Iterable[Path], shown: Iterable[Path] = ()) -> None:
    """Move the files ``out`` of the home to ``aside``, and then all files of the ``staged`` folder to their places in the home.

    Files in ``shown`` go to ``aside`` as well and stay for readers until another publish. Call it while holding the home's lock
    and its turn. Where it ends with an error after the rename, the next who opens the database goes on with it.
    """
    plan = {
        "aside": str(aside.relative_to(home.path)),
        "out": [path.name for path in out],
        "shown": [path.name for path in shown],
    }
    for path in sorted(folder.rglob("*")):
        fsync(path)
    write_durably(folder / _PLAN, json.dumps(plan).encode())
    os.rename(folder, home.exchange)
    fsync(home.path)
    finish(home)


def finish(home: Home) -> None:
    """Do what is left of an exchange that was begun; nothing where none was. Call it while holding the home's lock and turn."""
    if not begun(home):
        return
    coming = home.exchange / home.database.name
    if coming.exists():
        plan = json.loads((home.exchange / _PLAN).read_bytes())
        aside = home.path / plan["aside"]
        aside.mkdir(parents=True, exist_ok=True)
        for name in plan["shown"]:
            if (home.path / name).exists() and not (aside / name).exists():
                os.link(home.path / name, aside / name)
        for name in plan["out"]:
            if (home.path / name).exists():
                os.replace(home.path / name, aside / name)
        fsync(aside)
        fsync(aside.parent)
        there = {home.path}
        for path in sorted(home.exchange.rglob("*")):
            if path.is_file() and path not in (coming, home.exchange / _PLAN):
                target = home.path / path.relative_to(home.exchange)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
                there |= {folder for folder in target.parents if folder.is_relative_to(home.path)}
        for folder in there:  # nothing of what went may come back beside the database that comes
            fsync(folder)
        os.replace(coming, home.database)
    fsync(home.path)
    shutil.rmtree(home.exchange)
