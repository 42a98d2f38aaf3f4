"""Which sessions a run forecasts, oldest first, and before which of them a model is trained."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tasks.deciding import pace_of, sessions_due
from tasks.run import PASSING_KINDS, Run

BACK = 20  # sessions that a symbol may be behind the others and has only missed them
GROUP = 20  # sessions forecast in one step: few enough to see progress, many enough for tens of steps a run


@dataclass(frozen=True)
class Days:
    """Consecutive sessions that one model forecasts; ``retrain``: a challenger is trained at the first of them."""

    sessions: tuple[date, ...]
    retrain: bool


def plan_days(run: Run, sessions: list[date] | None = None) -> list[Days]:
    """The run's sessions in groups: the missed ones since the last in the ledger (or ``sessions``), then the origin.

    A model is due before a session when there is none yet, when the newest is more than ``retraining.after_sessions`` old, when
    the watch (tasks/watching.py) found drift since it was trained, or, once, when the run was told to retrain (then at the
    origin, and not where that would make the model that is there: tasks/novelty.py). After a training that failed the next one
    waits for ``retraining.again_after_sessions``. The plan follows from what was stored before this run, so a run that was
    killed plans the same again.
    """
    if "plan" not in run.memo:
        due = missed_sessions(run) if sessions is None else sessions
        trained = _trained_before(run)
        called, failed, served = _called_before(run), _failed_before(run), _served_before(run)
        run.memo["plan"] = _grouped(due, trained, run, called, _something_new(run, trained), served, failed)
    return run.memo["plan"]


def missed_sessions(run: Run) -> list[date]:
    """The sessions up to the run's origin at which some of its symbols were not done yet, oldest first; the origin is always
    among them. A symbol that no run ever looked at, or none for long, has missed nothing: it is new, or is back. One that was
    left out for a reason that passes has missed the sessions of which its bars have come since, and no other has any
    to catch up."""
    from forecasting.sessions import add_sessions
    from storage.bars import first_sessions_after
    from storage.ledger import last_origins, origins_done

    calendar, back = calendar_of_run(run), []
    with run.db.reading() as con:
        if run.replay:
            since = add_sessions(calendar, run.origin, -run.replay)
            done = origins_done(con, run.symbols, since, _between, run.run_id, PASSING_KINDS)
        else:
            last = last_origins(con, run.origin, run.run_id, PASSING_KINDS)
            last = {symbol: last[symbol] for symbol in run.symbols if symbol in last}
            earliest = _long_ago(calendar, list(last.values()))
            first = first_sessions_after(con, {s: day for s, day in last.items() if s not in run.refusals}, run.origin)
            begin = min((day for s, day in first.items() if last[s] >= earliest), default=run.origin)
            done = [add_sessions(calendar, begin - timedelta(days=1), 0)] if last else []
            back = sorted(symbol for symbol in first if last[symbol] < earliest)
    most = run.settings.catching.most_sessions
    due = sessions_due(calendar, run.origin, done, most, run.replay)
    if back:
        which = f"{back[0]} and {len(back) - 1} more" if len(back) > 1 else back[0]
        run.note(
            f"{which} had been away since {last[back[0]]}, longer than the others; `nextclose backfill` does what lies between"
        )
    if due.before is not None:
        run.note(f"more than {most} sessions were missed; those before {due.before} stay without forecast")
    return list(due.sessions)


def _long_ago(calendar: str, last: list[date]) -> date:
    """The session before which a symbol that was done last is more than ``BACK`` sessions behind half of those in ``last``: it
    was away."""
    from forecasting.sessions import add_sessions

    return add_sessions(calendar, sorted(last)[(len(last) - 1) // 2], -BACK) if last else date.min


def sessions_without_forecast(run: Run, start: date) -> list[date]:
    """The sessions from ``start`` to the run's origin at which some of its symbols were not done before it, oldest first."""
    from storage.ledger import origins_done

    with run.db.reading() as con:
        done = set(origins_done(con, run.symbols, start, _between, run.run_id, PASSING_KINDS))
    return [day for day in _between(run.symbols, start, run.origin) if day not in done]


def _between(symbols: Collection[str], first: date, last: date) -> list[date]:
    """The sessions that a run of ``symbols`` goes over."""
    from forecasting.sessions import sessions_between

    return list(sessions_between(pace_of(symbols), first, last).astype("datetime64[D]").astype(object))


def retrain_due(run: Run, again: bool = False) -> bool:
    """Whether a challenger is to be trained at the run's origin; where not, the run notes why. ``again``: even the same."""
    from tasks.novelty import not_due, nothing_new

    trained = _trained_before(run)
    anew = again or _something_new(run, trained)
    due = _grouped([run.origin], trained, run, _called_before(run), anew)[0].retrain
    if not due:
        newest = max(origin for origin in trained if origin <= run.origin)
        run.note(nothing_new(run, newest) if run.force_retrain else not_due(run, newest))
    return due


def _something_new(run: Run, trained: list[date]) -> bool:
    """Whether a run that was told to retrain would make another model than the one that its origin has."""
    from tasks.novelty import what_is_new

    if not run.force_retrain or run.origin not in trained:
        return False
    return run.done(f"train/{run.origin}") or what_is_new(run, run.origin) is not None


def _grouped(
    sessions: list[date],
    trained: list[date],
    run: Run,
    called: list[date] | None = None,
    anew: bool = False,
    served: Sequence[date] = (),
    failed: Sequence[date] = (),
) -> list[Days]:
    from forecasting.sessions import sessions_between

    calendar, after, trained = calendar_of_run(run), run.settings.retraining.after_sessions, list(trained)
    groups: list[tuple[list[date], bool]] = []
    before = last = None
    for day in sessions:
        waits = None
        newest = max((origin for origin in trained if origin <= day), default=None)
        age = None if newest is None else len(sessions_between(calendar, newest, day)) - 1
        by_itself = age is not None and (age > after or any(newest < call <= day for call in called or ()))
        if by_itself and (again := _again_from(run, calendar, [f for f in failed if newest < f <= day])) > day:
            by_itself = False
            waits = f"a training is due; the last one failed, the next is tried from {again} on, by `nextclose retrain` at once"
        due = age is None or by_itself or (run.force_retrain and day == run.origin and (newest != day or anew))
        if waits and not due and day == run.origin:
            run.note(waits)
        if due:
            trained.append(day)
        other = last is not None and any(last < since <= day for since in served)  # a word put somebody else in service
        if due or not groups or newest != before or other or len(groups[-1][0]) >= GROUP:
            groups.append(([], due))
        before, last = day if due else newest, day
        groups[-1][0].append(day)
    return [Days(tuple(days), due) for days, due in groups]


def _again_from(run: Run, calendar: str, failed: Sequence[date]) -> date:
    """From which session on a training is tried by itself after those that ``failed``."""
    from forecasting.sessions import add_sessions

    return add_sessions(calendar, max(failed), run.settings.retraining.again_after_sessions) if failed else date.min


def _trained_before(run: Run) -> list[date]:
    """The origins of the models that earlier runs trained."""
    from storage.registry import trained_origins

    with run.db.reading() as con:
        return trained_origins(con, besides=run.run_id)


def _failed_before(run: Run) -> list[date]:
    """The origins at which trainings of earlier runs failed."""
    from storage.registry import failed_trainings

    with run.db.reading() as con:
        return failed_trainings(con, besides=run.run_id)


def _served_before(run: Run) -> list[date]:
    """The origins from which, by earlier runs, somebody else serves."""
    from storage.registry import serving_origins

    with run.db.reading() as con:
        return serving_origins(con, besides=run.run_id)


def _called_before(run: Run) -> list[date]:
    """The origins at which the watch of earlier runs asked for a training that was not made since."""
    from storage.drift import training_calls
    from storage.registry import trained_origins

    with run.db.reading() as con:
        trained = trained_origins(con, besides=run.run_id)
        return [call for call in training_calls(con, besides=run.run_id) if not any(origin >= call for origin in trained)]


def calendar_of_run(run: Run) -> str:
    """The calendar that sets the pace: that of most of the symbols."""
    return pace_of(run.symbols)
