"""Other files in the place of the home's own, all of them or none, whenever the process dies.

What a restore or a repair brings is gathered in a private folder first, with a plan of what goes where. From the moment in
which that folder is renamed to ``.exchange`` it counts: whoever opens the database next, in this process or after a kill,
finishes what the plan says. Every move can be found done, and the database comes last: before it the exchange is not finished,
and after it nothing is left to do but to clear away.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forecasting.errors import DatabaseCorrupt, StorageError
from storage.home import Home, disk_error, fsync, try_write, write_durably

_PLAN, _STAGED = "exchange.json", ".staged-"


def begun(home: Home) -> bool:
    """Whether an exchange was begun and not finished."""
    return home.exchange.exists()


@contextmanager
def staged(home: Home) -> Iterator[Path]:
    """A private folder in the home for what is to come, gone afterwards where no exchange has taken it. Call it while holding
    the home's lock: the folder of one that died is cleared away."""
    clear_staged(home)
    folder = home.path / f"{_STAGED}{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def exchange(home: Home, folder: Path, aside: Path, out: Iterable[Path], shown: Iterable[Path] = ()) -> None:
    """Move the files ``out`` of the home to ``aside``, and then all files of the ``staged`` folder to their places in the home.

    Files in ``shown`` go to ``aside`` as well and stay for readers until another publish. Call it while holding the home's lock
    and its turn. StorageError before anything is changed where a folder cannot be written; where it ends with an error
    afterwards, the next who opens the database goes on with it.
    """
    plan = {
        "aside": str(aside.relative_to(home.path)),
        "out": [path.name for path in out],
        "shown": [path.name for path in shown],
    }
    coming = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    parents = {(home.path / path.relative_to(folder)).parent for path in coming}
    for parent in sorted(parents | ({aside} if plan["out"] or plan["shown"] else set())):
        _require_writable(parent)
    for path in (*coming, *_folders(folder)):
        fsync(path)
    write_durably(folder / _PLAN, json.dumps(plan).encode())
    os.rename(folder, home.exchange)
    fsync(home.path)
    finish(home)


def put_aside(home: Home) -> Path | None:
    """Where an exchange that was begun puts what it replaces; None where none was begun, or it is being cleared away."""
    plan = _plan(home)
    return None if plan is None else home.path / plan["aside"]


def finish(home: Home) -> str | None:
    """Do what is left of an exchange that was begun, and say so; None where none was. DatabaseCorrupt, and nothing is changed,
    where its plan cannot be read. Call it while holding the home's lock and turn."""
    if not begun(home):
        return None
    plan = _plan(home)
    if (home.exchange / home.database.name).exists():
        if plan is None:
            told = f"{home.exchange / _PLAN} cannot be read, so that a restore which began cannot be finished"
            raise DatabaseCorrupt(f"{told}; rename {home.exchange} and run `nextclose recover`")
        _go_on(home, plan)
    fsync(home.path)
    shutil.rmtree(home.exchange)
    replaced = plan is not None and (plan["shown"] or plan["out"])
    where = f"; what it replaced lies in {plan['aside']}/" if replaced else ""
    return f"a restore or a repair that had begun and died was finished{where}"


def clear_staged(home: Home) -> None:
    """Remove what was staged by processes that died before it counted. Call it while holding the home's lock."""
    for left in home.path.glob(f"{_STAGED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _plan(home: Home) -> dict[str, Any] | None:
    try:
        plan = json.loads((home.exchange / _PLAN).read_bytes())
        return {name: plan[name] for name in ("aside", "out", "shown")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _go_on(home: Home, plan: dict[str, Any]) -> None:
    """Every move that is not done yet, the database's last."""
    coming, aside = home.exchange / home.database.name, home.path / plan["aside"]
    if plan["shown"] or plan["out"]:
        aside.mkdir(parents=True, exist_ok=True)  # a power cut may have taken the folders that were made for it
        for name in plan["shown"]:
            if (home.path / name).exists() and not (aside / name).exists():
                _also(home.path / name, aside / name)
        for name in plan["out"]:
            if (home.path / name).exists():
                _move(home.path / name, _free(aside / name))
        fsync(aside)
        fsync(aside.parent)
    for path in sorted(home.exchange.rglob("*")):
        if path.is_file() and path not in (coming, home.exchange / _PLAN):
            target = home.path / path.relative_to(home.exchange)
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(path, target)
    for folder in (home.exchange, *_folders(home.exchange)):  # of an attempt that died, too; nothing of what went may
        fsync(home.path / folder.relative_to(home.exchange))  # come back beside the database that comes
    os.replace(coming, home.database)


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_dir()]


def _require_writable(folder: Path) -> None:
    """While all can still be called off."""
    try:
        try_write(folder)
    except OSError as error:
        told = f"{folder} cannot be written ({error.strerror}); change its permissions and try again, nothing was changed"
        raise disk_error(error, folder) or StorageError(told) from error


def _move(source: Path, target: Path) -> None:
    """As ``os.replace``, also onto another file system: a folder of the home may be a link to one."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        source.unlink()


def _also(source: Path, target: Path) -> None:
    """A second name of the file; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        shutil.copy(source, fresh)  # with its mode: settings may hold secrets
        fsync(fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """The path, or one like it where there is a file already: what was put aside is never written over."""
    return path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}") if path.exists() else path
