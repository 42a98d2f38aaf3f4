"""Asking the source: source → landing file.

Fetching and storing (``tasks/storing.py``) are two steps. What a source answered is kept as it came in a landing file named
by its digest, so that storing can be tried again without asking the source again, and asking again stores nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from forecasting.errors import Blocked, RateLimited, SourceDown, SourceError
from tasks.engine import step
from tasks.failing import raise_together
from tasks.policies import SOURCE
from tasks.run import Receipt, Run, short_digest

if TYPE_CHECKING:
    from sources.base import Fetched

#: After one of these for a whole chunk the next chunks are not asked for: it would only make matters worse.
_STOPS_ALL = (RateLimited, Blocked, SourceDown)


@dataclass
class Arrived:
    """What has come for one chunk of symbols so far, over all tries: digests of landing files, and who failed why."""

    bars: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    basis: str = "as_traded"
    answered: set[str] = field(default_factory=set)
    currency: dict[str, str] = field(default_factory=dict)
    failures: dict[str, SourceError] = field(default_factory=dict)


@step(SOURCE)
def fetch_prices(run: Run, symbols: tuple[str, ...], start: date | None = None) -> Receipt:
    """Ask the source for what is missing of ``symbols`` up to the origin and keep the answer in landing files.

    Symbols that answered are not asked again when the step is retried. Raises the first failure that a later try may
    cure; failures that stay are listed and stop nobody.
    """
    arrived = arrivals(run, symbols)
    stopped = run.memo.get("source stopped")
    if stopped is not None:
        arrived.failures |= {symbol: type(stopped)(stopped.source, symbol, stopped.detail) for symbol in symbols}
        return _fetched(arrived, 0)
    rows = 0
    for begin, group in _spans(run, symbols, start, arrived):
        try:
            # A bounded source is asked for all it holds, so that a row dated in the future is seen and set aside.
            answer = run.source.fetch(list(group), begin, run.origin if run.source.symbols() is None else None)
        except SourceError as error:
            for symbol in group:
                arrived.failures[symbol] = type(error)(error.source, symbol, error.detail, error.next_step)
            continue
        rows += len(answer.bars)
        _keep(run, arrived, answer)
    passing = [error for error in arrived.failures.values() if error.retry]
    if passing:
        raise passing[0]
    return _fetched(arrived, rows)


def arrivals(run: Run, symbols: tuple[str, ...]) -> Arrived:
    """What has come for ``symbols`` so far; to be added to."""
    return run.memo.setdefault(("arrived", symbols), Arrived())


def stop_if_nothing_came(run: Run) -> None:
    """Raise the source's error when not one symbol of the run answered; nothing has been stored then."""
    chunks = [arrivals(run, symbols) for symbols in run.chunks()]
    if not any(arrived.answered for arrived in chunks):
        raise_together({symbol: error for arrived in chunks for symbol, error in arrived.failures.items()})


def nothing_changed(run: Run) -> bool:
    """Whether what came is what the run like this one before it stored; then this run is that one, and stores nothing."""
    for symbols in run.chunks():
        arrived = arrivals(run, symbols)
        run.memo.setdefault("landed", []).extend([*arrived.bars, *arrived.actions])
    if run.last is None or run.last["data_digest"] != landed_digest(run):
        return False
    run.run_id, run.already = run.last["run_id"], run.last
    return True


def landed_digest(run: Run) -> str:
    """Digest of everything that came from the source in this run."""
    return short_digest(run.memo.get("landed", []))


def _spans(run: Run, symbols: tuple[str, ...], start: date | None, arrived: Arrived) -> list[tuple[date | None, list[str]]]:
    """Who is still to be asked, and from which session on: everything of a bounded source and of a new symbol, otherwise
    the trailing sessions, in which sources still revise what they said."""
    from forecasting.sessions import add_sessions, calendar_of
    from storage.bars import last_sessions

    asked = [s for s in symbols if s not in arrived.answered and not (s in arrived.failures and not arrived.failures[s].retry)]
    if start is not None or run.source.symbols() is not None:
        return [(start, asked)] if asked else []
    with run.db.reading() as con:  # before this run: one that was killed after it stored something asks the same again
        stored = last_sessions(con, besides=run.run_id)
    groups: dict[date | None, list[str]] = {}
    for symbol in asked:
        last = stored.get(symbol)
        begin = None if last is None else add_sessions(calendar_of(symbol), last, -run.settings.source.trailing_sessions)
        groups.setdefault(begin, []).append(symbol)
    return sorted(groups.items(), key=lambda item: str(item[0]))


def _keep(run: Run, arrived: Arrived, answer: Fetched) -> None:
    from storage.landing import save_landing

    for kind, frame in (("bars", answer.bars), ("actions", answer.actions), ("rejects", answer.rejects)):
        if len(frame) or kind != "rejects":
            getattr(arrived, kind).append(save_landing(run.home, frame).digest)
    arrived.basis = answer.basis
    arrived.currency |= dict(answer.currency)
    arrived.answered |= set(answer.bars["symbol"])
    for symbol in arrived.answered:
        arrived.failures.pop(symbol, None)
    arrived.failures |= {symbol: error for symbol, error in answer.failures.items() if symbol not in arrived.answered}
    for note in answer.notes:
        run.note(note)


def _fetched(arrived: Arrived, rows: int) -> Receipt:
    failed = f", {len(arrived.failures)} without an answer" if arrived.failures else ""
    return Receipt(rows, text=f"{rows:,} bars of {len(arrived.answered)} symbols{failed}")


def give_up(run: Run, symbols: tuple[str, ...], error: SourceError) -> None:
    """After the last try for a chunk: remember that the source is down, so that the next chunks are spared."""
    arrived = arrivals(run, symbols)
    if isinstance(error, _STOPS_ALL) and not arrived.answered:
        run.memo["source stopped"] = error
