"""Macro series: from their sources into the store, each value with the instant from which it may be used.

They are a help, not a need: whatever goes wrong with them is a note, and the day goes on with the values of before.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from forecasting.errors import NextcloseError
from tasks.engine import step
from tasks.policies import DATABASE, SOURCE
from tasks.run import Receipt, Run, short_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sources.macro import MacroFetched, MacroSource
    from tasks.settings import Settings

_LANDED = "macro landed"  # in the run's memo: [(source, digest of its landing file)]


def macro_sources(settings: Settings) -> tuple[MacroSource, ...]:
    """The sources of the settings, in the order in which they are asked; SettingError for a wrong option."""
    from sources.macro import make_macro_source

    made = []
    for name in settings.macro.sources:
        options = dict(settings.macro.options.get(name, {}))
        if name == "files" and settings.macro.path is not None:
            options.setdefault("path", settings.macro.path)
        made.append(make_macro_source(name, options))
    return tuple(made)


def macro_identity(settings: Settings) -> str:
    """What the macro series come from; for files the same text means the same values."""
    return "".join(f" macro:{_identity(source)}" for source in macro_sources(settings))


def _identity(source: MacroSource) -> str:
    try:
        return source.identity()
    except NextcloseError:
        return f"{source.name}:unreadable"  # said when it is read


@step(SOURCE)
def fetch_macro(run: Run) -> Receipt:
    """Ask the sources of the settings for the macro series, and keep what they answer in landing files.

    A series is asked of the first source that has it. What fails is told and stops nothing.
    """
    from storage.landing import save_landing

    landed: list[tuple[str, str]] = []
    failed: dict[str, NextcloseError] = {}
    wanted, rows, series = list(run.settings.macro.series), 0, set()
    for source in macro_sources(run.settings):
        if run.settings.macro.series and not wanted:
            break
        fetched = _asked(run, source, wanted)
        for note in fetched.notes:
            run.note(note)
        answered = set(wanted) - set(fetched.failures)  # perhaps with nothing new
        failed = {name: error for name, error in (failed | dict(fetched.failures)).items() if name not in answered}
        wanted = [name for name in wanted if name not in answered]
        if len(fetched.values):
            landed.append((source.name, save_landing(run.home, fetched.values).digest))
            rows, series = rows + len(fetched.values), series | set(fetched.values["series"])
    for message in dict.fromkeys(map(str, failed.values())):
        run.note(f"{message}; the values of before are used")
    run.memo[_LANDED] = landed
    return Receipt(rows, text=f"{rows:,} values of {len(series)} series" if rows else "nothing new")


@step(DATABASE)
def store_macro(run: Run) -> Receipt:
    """Store what ``fetch_macro`` brought: every vintage published by the end of the origin's day that is not there yet."""
    import pandas as pd

    from forecasting.macro import end_of_day, fresh_vintages, seen_at, with_publication
    from storage.landing import load_landing
    from storage.macro import append_macro, read_vintages

    landed = run.memo.get(_LANDED, [])
    name = f"store_macro/{short_digest(landed)}"
    if not landed or run.done(name):
        return Receipt(text="stored before" if landed else "none")
    limit = pd.Timestamp(end_of_day([run.origin])[0])
    stored = revised = 0
    with run.db.writing(run.lease, run.run_id, name) as tx:
        for source, digest in landed:
            values = with_publication(load_landing(run.home, digest), run.settings.macro.lag_sessions)
            values = values[values["published_at"] <= limit].reset_index(drop=True)
            held = read_vintages(tx.con, series=sorted(values["series"].unique()))
            fresh = fresh_vintages(values, held[held["dated_by"] != "session"], seen_at(run.now))
            appended = append_macro(tx, fresh, source, run.now)
            stored, revised = stored + appended.stored, revised + appended.revised
    return Receipt(stored, text=f"{stored:,} new values" + (f", {revised:,} revised" if revised else ""))


def _asked(run: Run, source: MacroSource, wanted: Sequence[str]) -> MacroFetched:
    """The answer of one source; when it cannot be asked at all, a failure of each series."""
    import pandas as pd

    from sources.macro import MacroFetched, macro_values
    from storage.macro import newest_published
    from tasks.metering import counted

    with run.db.reading() as con:  # before this run: one that was killed after it stored something asks the same again
        newest = newest_published(con, source.name, besides=run.run_id)
    groups: dict[date | None, list[str]] = {}
    for series in wanted:
        groups.setdefault(newest.get(series), []).append(series)
    values, answered, failures, notes = [macro_values()], set(), {}, []
    with counted(run, source, answered, failures) if hasattr(source, "meter") else nullcontext():
        for since, series in sorted(groups.items(), key=lambda item: str(item[0])) or [(None, [])]:
            try:
                answer = source.fetch(series, since)
            except NextcloseError as error:
                failures |= dict.fromkeys(series or [source.name], error)
                continue
            values.append(answer.values)
            answered |= set(series) - set(answer.failures)
            failures |= answer.failures
            notes += answer.notes
    return MacroFetched(macro_values(pd.concat(values, ignore_index=True)), failures, tuple(notes))
