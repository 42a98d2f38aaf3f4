"""The life of a run: its identity, the right to write, the log of the attempt, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import Any

from forecasting.errors import InputError, NextcloseError, NoSession, SettingError, StorageError
from sources.base import Source
from storage.home import Home, disk_errors
from storage.runs import finish_attempt, run_done, start_attempt
from storage.store import Store, open_store
from tasks.clock import now_utc
from tasks.clusters import require_runner
from tasks.deciding import last_for_all, pace_of
from tasks.failing import raise_together
from tasks.listening import tell
from tasks.macro import macro_identity
from tasks.metering import put_meters
from tasks.own_features import use_own_features
from tasks.ranking import ranked_sources
from tasks.run import Run, short_digest
from tasks.settings import Settings

WAITING_MOST = 9  # how often one day may be run again because symbols failed for a reason that can pass
CHUNK = 50  # symbols of a live source that one step takes
CHUNK_ROWS = 500_000  # rows of a bounded source that one step takes
MAY_PASS = "may pass: "  # how the stored reason of such a run begins


def home_at(path: str | os.PathLike[str]) -> Home:
    """The home in ``path``; touches nothing."""
    return Home(path)


@dataclass(frozen=True)
class Asked:
    """What a run is asked for, in the terms of every flow; empty means: by the settings, or by what is stored."""

    flow: str
    symbols: tuple[str, ...] | None = None
    source: str | None = None
    source_options: Mapping[str, Any] = field(default_factory=dict)
    needs_source: bool = True
    stands_alone: bool = False  # works on no prices at all, so that none need be stored
    origin: date | None = None
    replay: int = 0
    force_retrain: bool = False
    extra: tuple[str, ...] = ()  # whatever else makes this run another one than its like
    every_time: bool = False  # ask the source even if a run like this was completed; see ``settle_on_what_came``
    said_once: bool = False  # a person's word: one that was completed and never published is only published when it is repeated


@contextmanager
def open_run(asked: Asked, home: Home, settings: Settings, now: datetime) -> Iterator[Run]:
    """Hold the lease and an open entry in the log of attempts while inside.

    The run's id follows from what is asked and from what the prices come from, so that a run that was killed is taken up
    where it stood and one that was completed is recognised. Raises AlreadyRunning when somebody else writes.
    """
    with disk_errors(home), _opened(asked, home, settings, now) as run:
        yield run


@contextmanager
def _opened(asked: Asked, home: Home, settings: Settings, now: datetime) -> Iterator[Run]:
    home.ensure_writable()
    require_runner(settings.run)
    own = use_own_features(settings, home)
    ranked = ranked_sources(settings, asked.source, asked.source_options) if asked.needs_source else None
    source = ranked.first if ranked else None
    db = open_store(home, settings.storage.memory_mb)
    symbols = _symbols(asked, settings, source, db)
    finals = _finals(symbols, settings, now)
    final = last_for_all(pace_of(symbols), finals)
    origin, rows = _origin(asked, source, db, symbols, final)
    identity = "stored" if ranked is None else ranked.identity() + macro_identity(settings)
    identity += f" {own}" if own else ""  # a changed file of features makes another run
    base = (asked.flow, str(origin), sorted(symbols), identity, settings.digest, asked.replay, asked.force_retrain, asked.extra)
    with ExitStack() as burst, ExitStack() as held:  # the file is opened once for all that is written at the start and the end
        lease = held.enter_context(db.lease(f"{asked.flow} of {origin}"))
        burst.enter_context(db.kept_open())
        run_id, already, last = _run_id(db, base, asked.every_time, asked.said_once)
        run = Run(
            flow=asked.flow, run_id=run_id, home=home, settings=settings, db=db, lease=lease, now=now, final=final,
            finals=finals, origin=origin, symbols=symbols, ranked=ranked, replay=asked.replay,
            force_retrain=asked.force_retrain, already=already, last=last, chunk_size=_chunk_size(settings, len(symbols), rows),
        )  # fmt: skip
        tell().opened(run)
        if db.mended is not None:
            run.note(db.mended)
        for said in ranked.unreadable() if ranked else ():
            run.note(said)
        put_meters(run)
        if already is None:
            held.enter_context(_logged(run))
        burst.close()
        held.callback(lambda: burst.enter_context(db.kept_open()))
        yield run


@contextmanager
def _logged(run: Run) -> Iterator[None]:
    with run.db.writing(run.lease, run.run_id, None) as tx:
        attempt = start_attempt(tx, run.run_id, run.flow, run.now)
    try:
        yield
    except BaseException as error:
        reason = str(error) if isinstance(error, NextcloseError) else f"{type(error).__name__}: {error}"
        _close(run, attempt, "failed", reason)
        raise
    _close(run, attempt, "completed", None)


def _close(run: Run, attempt: str, status: str, reason: str | None) -> None:
    """Best effort: the log of attempts must not hide the error that ended the run."""
    try:
        with run.db.writing(run.lease, run.run_id, None) as tx:
            finish_attempt(tx, attempt, status, reason, now_utc())
    except NextcloseError:
        if status == "completed":
            raise


def code_version() -> str:
    try:
        return version("nextclose")
    except PackageNotFoundError:
        return "unknown"


def _symbols(asked: Asked, settings: Settings, source: Source | None, db: Store) -> tuple[str, ...]:
    """Those asked for, else those somebody put into the settings, else all that the source (or the database) holds."""
    if asked.symbols or asked.stands_alone:
        return tuple(asked.symbols or ())
    if source is not None:
        held = None if settings.names_symbols else source.symbols()
        symbols = settings.universe.symbols if held is None else held
        if not symbols:
            raise InputError(f"{source.name} holds no symbol; look into the file, or name another one")
        return tuple(symbols)
    from storage.bars import last_sessions

    with db.reading() as con:
        stored = tuple(last_sessions(con))
    if not stored:
        raise InputError(f"nothing is stored in {db.home.path} yet; run `nextclose run` or `nextclose ingest` first")
    return stored


def _finals(symbols: tuple[str, ...], settings: Settings, now: datetime) -> dict[str, date]:
    """For each calendar concerned its last session that is over and settled."""
    from forecasting.sessions import DEFAULT_CALENDAR, calendar_of, last_final_session

    calendars = sorted({calendar_of(symbol) for symbol in symbols} or {DEFAULT_CALENDAR})
    return {calendar: last_final_session(calendar, now, settings.source.final_after_minutes) for calendar in calendars}


def _chunk_size(settings: Settings, symbols: int, rows: int) -> int:
    """Symbols a step: as set, else 50 where answers take time, and more where rows are few and at hand already."""
    few = min(symbols, CHUNK_ROWS * symbols // rows) if rows else 0
    return settings.source.chunk or max(CHUNK, few)


def _origin(asked: Asked, source: Source | None, db: Store, symbols: tuple[str, ...], final: date) -> tuple[date, int]:
    """The session whose close is the last one known, and how many rows a bounded source holds up to it (else 0)."""
    from forecasting.sessions import add_sessions

    rows = 0
    if asked.origin is not None and asked.origin > final:
        raise SettingError("origin", str(asked.origin), f"a session that is over, at the latest {final}")
    limit = min(asked.origin or final, final)
    if asked.stands_alone:
        return limit, 0
    if source is None:
        from storage.bars import last_sessions

        with db.reading() as con:
            stored = last_sessions(con)
        held = [stored[symbol] for symbol in symbols if symbol in stored]
    elif source.symbols() is None:  # a live source: only the calendar knows
        held = [limit]
    else:
        answer = source.fetch(list(symbols), None, limit)
        rows = len(answer.bars)
        held = [answer.bars["session"].max().date()] if len(answer.bars) else []
        if not held:
            raise_together(answer.failures)
    if not held:
        raise NoSession(
            source.name if source else "the database", None, f"no session up to {limit} for {', '.join(symbols[:5])}"
        )
    if asked.origin is not None:
        return _session_at(asked.origin, symbols), rows
    return add_sessions(pace_of(symbols), min(max(held), limit), 0), rows  # a weekend of one symbol is no day of all


def _session_at(wanted: date, symbols: tuple[str, ...]) -> date:
    """``wanted`` where it is a session of the symbols' exchange; InputError naming the one before where it is none."""
    from forecasting.sessions import add_sessions, calendar_of, is_session

    calendars = sorted({calendar_of(symbol) for symbol in symbols})
    if any(is_session(calendar, wanted) for calendar in calendars):
        return wanted
    raise SettingError(
        "origin", str(wanted), f"a session of {calendars[0]}; the one before is {add_sessions(calendars[0], wanted, -1)}"
    )


def _shown(db: Store, run_id: str) -> bool:
    """Whether readers have what the run left."""
    from storage.snapshot import open_snapshot

    try:
        with open_snapshot(db.home) as con:
            return run_done(con, run_id) is not None
    except StorageError:
        return False


def _run_id(
    db: Store, base: tuple, every_time: bool, said_once: bool = False
) -> tuple[str, dict[str, Any] | None, dict[str, Any] | None]:
    """The id of this run, its stored row where it was completed before, and the row of the one before it.

    A completed run in which symbols failed for a reason that can pass (rate limit, no answer) may be followed by another
    one, under the next id of the same day; one that asks the source every time, by as many as there are.
    """
    row = None
    with db.reading() as con:
        for turn in count():
            run_id, last = short_digest(*base, turn) if turn else short_digest(*base), row
            row = run_done(con, run_id)
            if row is None:
                return run_id, None, last
            again = (row["reason"] or "").startswith(MAY_PASS) and turn < WAITING_MOST
            if not (every_time or again) or (said_once and not _shown(db, run_id)):
                return run_id, row, last
    raise AssertionError("unreachable")
