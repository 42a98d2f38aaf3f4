"""Asking the sources: source → landing file.

Fetching and storing (``tasks/storing.py``) are two steps. What a source answered is kept as it came in a landing file named
by its digest, so that storing can be tried again without asking the source again, and asking again stores nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from forecasting.errors import Blocked, NoBars, RateLimited, SourceDown, SourceError, Unfit
from tasks.engine import step
from tasks.failing import raise_together
from tasks.fitting import fitting
from tasks.metering import counted
from tasks.policies import SOURCE
from tasks.run import Receipt, Run, short_digest

if TYPE_CHECKING:
    from sources.base import Fetched, Source

#: After one of these for a whole chunk a source is not asked for the next ones: it would only make matters worse.
_STOPS_ALL = (RateLimited, Blocked, SourceDown)


_REVISED_LATELY = timedelta(days=14)  # for so long what a source changed is asked for again
_REVISED_BACK = timedelta(days=90)  # but no further back, after a repair of the whole history


@dataclass(frozen=True)
class Landed:
    """One answer of one source, kept as it came: digests of landing files (None: nothing of that kind came).

    ``unfit``: symbols of it that are taken from another source (see tasks/fitting.py).
    """

    source: str
    basis: str
    symbols: frozenset[str]
    bars: str
    actions: str
    rejects: str | None
    unfit: frozenset[str] = frozenset()


@dataclass
class Arrived:
    """What has come for one chunk of symbols so far, over all tries, and who failed why.

    ``answered``: symbol → source. ``rank``: how far down its order of sources a symbol is. ``checks``: what the sources said
    that check the others; never stored as prices. ``unfit``: why an answer was left for that of a later source.
    """

    landed: list[Landed] = field(default_factory=list)
    checks: list[Landed] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    rank: dict[str, int] = field(default_factory=dict)
    currency: dict[str, str] = field(default_factory=dict)
    failures: dict[str, SourceError] = field(default_factory=dict)
    unfit: dict[str, Unfit] = field(default_factory=dict)
    rows: int = 0
    tries: int = 0


@step(SOURCE)
def fetch_prices(run: Run, symbols: tuple[str, ...], start: date | None = None) -> Receipt:
    """Ask for what is missing of ``symbols`` up to the origin, source after source, and keep the answers in landing files.

    A failure that may pass is tried again (the step is retried) before the next source is asked; one that stays is not.
    Symbols that answered are not asked again. Raises the first failure that a later try may cure and no source made good;
    failures that stay are listed and stop nobody.
    """
    arrived = arrivals(run, symbols)
    arrived.tries += 1
    last_try = arrived.tries > SOURCE.retries
    waiting: set[str] = set()
    while pending := [s for s in symbols if s not in arrived.answered and s not in waiting and _next_source(run, arrived, s)]:
        for (name, begin), group in _groups(run, arrived, pending, start):
            _ask(run, arrived, name, begin, group)
        for symbol in pending:
            if symbol in arrived.answered:
                continue
            if arrived.failures[symbol].retry and not last_try and not _stopped(run, _next_source(run, arrived, symbol)):
                waiting.add(symbol)
            else:
                arrived.rank[symbol] = arrived.rank.get(symbol, 0) + 1
                _spare_the_rest(run, arrived, arrived.failures[symbol])
    for symbol in arrived.answered:
        arrived.failures.pop(symbol, None)
    passing = [error for symbol, error in arrived.failures.items() if error.retry and not _stopped(run, error.source)]
    if passing:
        raise passing[0]
    return _fetched(arrived)


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
        run.memo.setdefault("landed", []).extend(d for landed in arrived.landed for d in (landed.bars, landed.actions))
    if run.last is None or run.last["data_digest"] != landed_digest(run):
        return False
    run.run_id, run.already = run.last["run_id"], run.last
    return True


def landed_digest(run: Run) -> str:
    """Digest of everything that came from the sources in this run."""
    return short_digest(run.memo.get("landed", []))


def ask_source(run: Run, source: Source, begin: date | None, symbols: list[str], everything: bool = True) -> Fetched:
    """Ask one source and write down what it cost; failures of all symbols at once become one for each."""
    from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Fetched, typed_frame

    # A bounded source is asked for all it holds, so that a row dated in the future is seen and set aside.
    end = None if everything and source.symbols() is not None else run.origin
    answered: set[str] = set()
    failures: dict[str, SourceError] = {}
    with counted(run, source, answered, failures):
        try:
            answer = source.fetch(list(symbols), begin, end)
        except SourceError as error:
            every = {s: error.of(s) for s in symbols}
            answer = Fetched(typed_frame(BAR_COLUMNS), typed_frame(ACTION_COLUMNS), failures=every)
        answered |= set(answer.bars["symbol"].unique())
        failures.update({s: e for s, e in answer.failures.items() if s not in answered})
    return answer


def keep_answer(run: Run, name: str, answer: Fetched) -> Landed:
    """Write an answer into landing files."""
    from storage.landing import save_landing

    bars, actions = save_landing(run.home, answer.bars).digest, save_landing(run.home, answer.actions).digest
    rejects = save_landing(run.home, answer.rejects).digest if len(answer.rejects) else None
    return Landed(name, answer.basis, frozenset(answer.bars["symbol"].unique()), bars, actions, rejects)


def trailing_begin(run: Run, symbols: list[str]) -> dict[str, date | None]:
    """For each symbol the session from which on it is asked for: the trailing sessions, in which sources still revise what
    they said, and those that they revised lately: what was wrong for one evening is put right up to where it began. Or
    everything (None) of a new symbol and of one whose prices came adjusted: each later dividend or split moves all of those,
    and a new end would not fit an old beginning."""
    from forecasting.sessions import add_sessions, calendar_of
    from storage.bars import known_symbols, last_sessions, revised_since

    with run.db.reading() as con:  # before this run: one that was killed after it stored something asks the same again
        stored, known = last_sessions(con, besides=run.run_id), known_symbols(con)
        revised = revised_since(con, run.now - _REVISED_LATELY, run.origin - _REVISED_BACK, besides=run.run_id)
    for symbol in known.loc[known["basis"] == "adjusted", "symbol"]:
        stored.pop(symbol, None)
    back = -run.settings.source.trailing_sessions
    places = {s: (calendar_of(s), stored[s]) for s in symbols if s in stored}
    begins = {place: add_sessions(*place, back) for place in set(places.values())}
    return {s: min(begins[places[s]], revised.get(s, date.max)) if s in places else None for s in symbols}


def give_up(run: Run, symbols: tuple[str, ...], error: SourceError) -> None:
    """After the last try for a chunk: remember which sources are down, so that the next chunks are spared."""
    arrived = arrivals(run, symbols)
    for told in (error, *arrived.failures.values()):
        _spare_the_rest(run, arrived, told)


def _spare_the_rest(run: Run, arrived: Arrived, told: SourceError) -> None:
    if isinstance(told, _STOPS_ALL) and told.source not in arrived.answered.values():
        run.memo.setdefault(("stopped", told.source), told)


def _stopped(run: Run, name: str | None) -> bool:
    return ("stopped", name) in run.memo


def _next_source(run: Run, arrived: Arrived, symbol: str) -> str | None:
    """The source that is to be asked for a symbol now; None after the last one."""
    order, rank = run.ranked.asked_for(symbol), arrived.rank.get(symbol, 0)
    return order[rank] if rank < len(order) else None


def _groups(
    run: Run, arrived: Arrived, pending: list[str], start: date | None
) -> list[tuple[tuple[str, date | None], list[str]]]:
    """Who is asked for whom, and from which session on: everything of a bounded first source, else the trailing sessions."""
    bounded = run.ranked.first.symbols() is not None
    if start is not None or (bounded and not run.ranked.several):
        begin = dict.fromkeys(pending, start)
    else:
        begin = trailing_begin(run, pending)
    groups: dict[tuple[str, date | None], list[str]] = {}
    for symbol in pending:
        name = _next_source(run, arrived, symbol)
        bounded_first = name == run.ranked.order_of(symbol)[0] and run.ranked.sources[name].symbols() is not None
        since = start if bounded_first else begin[symbol]
        groups.setdefault((name, since), []).append(symbol)
    return sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1])))


def _ask(run: Run, arrived: Arrived, name: str, begin: date | None, symbols: list[str]) -> None:
    """Ask one source for symbols that begin at one session, and keep what it answered."""
    if _stopped(run, name):
        told = run.memo["stopped", name]
        arrived.failures |= {s: told.of(s) for s in symbols}
        return
    answer = ask_source(run, run.ranked.sources[name], begin, symbols)
    landed, unfit = fitting(run, keep_answer(run, name, answer), answer.currency)
    if len(answer.bars) or len(answer.rejects):
        arrived.landed.append(landed)
        arrived.rows += len(answer.bars)
    instead = sorted(s for s in landed.symbols if run.ranked.order_of(s)[0] != name)
    if instead:
        first = instead[0]
        more = f" and {len(instead) - 1} more" if len(instead) > 1 else ""
        why = arrived.failures.get(first) or f"{run.ranked.order_of(first)[0]} cannot be read"
        run.note(f"{first}{more}: prices from {name}, because {why}")
    arrived.currency |= {s: c for s, c in answer.currency.items() if s not in unfit}
    arrived.answered |= dict.fromkeys(landed.symbols, name)
    arrived.unfit |= unfit
    failures = {**answer.failures, **unfit}
    arrived.failures |= {s: e for s, e in failures.items() if s not in arrived.answered}
    for symbol in symbols:  # an answer that says nothing of a symbol is no answer
        if symbol not in arrived.answered and symbol not in failures:
            arrived.failures[symbol] = NoBars(name, symbol, "the answer does not speak of it", "try again later")
    for note in answer.notes:
        run.note(note)


def _fetched(arrived: Arrived) -> Receipt:
    failed = f", {len(arrived.failures)} without an answer" if arrived.failures else ""
    return Receipt(arrived.rows, text=f"{arrived.rows:,} bars of {len(arrived.answered)} symbols{failed}")
