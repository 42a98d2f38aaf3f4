"""The search for a better specification: trials chosen one after the other, each stored when it ends."""

from __future__ import annotations

import json
import time
import tomllib
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.errors import InputError
from forecasting.lstm import LstmSpec
from forecasting.search_space import DEFAULT_SPACE, Inconsistent, Sampler, Space, space_of
from forecasting.tuning import Past, best_of, comparable, folds_of, propose, trained_as, with_base
from tasks.clock import now_utc
from tasks.engine import step
from tasks.faults import fault_point
from tasks.learning import spans_of
from tasks.listening import tell
from tasks.market import data_digest, macro_of, market_of
from tasks.policies import TUNING
from tasks.run import Receipt, Run, short_digest
from tasks.trial_workers import Job, Market, Outcome, workers

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.panel import Panel
    from forecasting.splits import Spans
    from tasks.settings import Tuning

MOST_TRIALS = 10_000


@dataclass(frozen=True)
class Study:
    """A search: all that decides what its trials are and what comes out of them; ``name`` is a digest of that."""

    name: str
    base: LstmSpec
    space: Space
    sampler: Sampler
    folds: tuple[Spans, ...]
    members: int
    parallel: int
    prune: bool
    data_digest: str

    def __str__(self) -> str:
        return self.name

    def spec_of(self, changes: dict[str, Any]) -> LstmSpec | None:
        """The specification of a trial; None where its changes do not go together."""
        try:
            return self.space.spec_of(self.base, changes)
        except Inconsistent:
            return None


@dataclass(frozen=True)
class Budget:
    """``trials`` besides the specification in use; none begins once ``minutes`` (None: no bound) were spent on the study."""

    trials: int
    minutes: float | None = None

    def __str__(self) -> str:
        return f"{self.trials} trials" + ("" if self.minutes is None else f", {self.minutes:g} minutes")


def budget_for(chosen: Tuning, trials: int | None, minutes: float | None) -> Budget:
    """What was asked for, else what the settings say; asked for in minutes alone, trials are no bound."""
    return Budget(trials or (MOST_TRIALS if minutes else chosen.trials), minutes or chosen.minutes)


def space_for(path: str | None, own: dict[str, Any]) -> Space:
    """The search space in a TOML or JSON file, else the settings' ``own``, else the usual one."""
    if path is None:
        return space_of(own or DEFAULT_SPACE)
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
        return space_of(json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); name a TOML or JSON file of what may change") from error
    except ValueError as error:
        raise InputError(f"{file} is neither TOML nor JSON ({error}); write lines such as: dropout = [0.1, 0.3]") from error


def study_of(run: Run, origin: date, space: Space, sampler: Sampler) -> Study:
    """The search that the settings and the stored prices describe; asked for again, it is the same one and goes on.

    Its last fold is the split on which a model of ``origin`` is trained; the test span of that model is no part of any.
    """
    from tasks.opening import code_version

    chosen, base, spans = run.settings.tuning, run.settings.lstm, spans_of(run, origin)
    panel, macro = seen(run, spans.valid_end)
    valid = int((panel.sessions > np.datetime64(spans.train_end, "D")).sum())
    folds = folds_of(panel.sessions, spans.valid_end, valid, chosen.folds, base)
    digest = data_digest(panel, macro, panel.symbols, spans.valid_end)
    what = (base.model_dump(mode="json"), space.as_json(), sampler, [(f.train_end, f.valid_end) for f in folds], digest)
    name = short_digest("study", *what, chosen.members, chosen.parallel, chosen.prune, code_version())
    return Study(name, base, space, sampler, folds, chosen.members, chosen.parallel, chosen.prune, digest)


@step(TUNING)
def search(run: Run, study: Study, budget: Budget) -> Receipt:
    """Try specifications until the budget is spent; each is stored when it ends, and none is tried twice.

    Learning happens while no database connection is open, in memory that holds no session after the last fold.
    """
    desk = _Desk(study, budget, *_stored(run, study))
    before = len(desk.past)
    panel, macro = seen(run, study.folds[-1].valid_end)
    waiting: dict[Future[Outcome], int] = {}
    with workers(run.settings.run, study.parallel, Market(panel, macro, study.folds)) as submit:
        while desk.may_begin() or waiting:
            while len(waiting) < study.parallel and desk.may_begin():
                number, job = desk.begin()
                if isinstance(job, Job):
                    waiting[submit(job)] = number
                elif job is not None:
                    _store(run, study, number, desk.end(number, job), job)
            for future in wait(waiting, return_when=FIRST_COMPLETED).done if waiting else ():
                number = waiting.pop(future)
                _store(run, study, number, desk.end(number, future.result()), future.result())
                tell().advanced("trials", len(desk.past) / (budget.trials + 1))
    best = best_of(desk.past)
    if best is None:
        raise InputError(f"no trial of study {study} could be completed; `nextclose tune {study}` says why of each")
    pruned = sum(trial.state == "pruned" for trial in desk.past.values())
    told = f"study {study}: {len(desk.past)} trials, {pruned} given up; trial {best} is the best"
    return Receipt(len(desk.past) - before, text=f"{told}, loss {desk.past[best].loss:.5f}")


class _Desk:
    """Deals the trials out.

    Trial n is chosen from trials 0 .. n - parallel and from what those after them try, whenever they ended, so that neither
    the speed of the processes nor a kill changes what is tried.
    """

    def __init__(self, study: Study, budget: Budget, past: dict[int, Past], seconds: float) -> None:
        self.study, self.budget, self.past = study, budget, past
        self._trying: dict[int, dict[str, Any]] = {}
        self._until = None if budget.minutes is None else time.monotonic() + 60 * budget.minutes - seconds / study.parallel
        self._number, self._exhausted = 0, False
        self._skip()

    def may_begin(self) -> bool:
        """Whether there is a next trial, and all that it is chosen from has ended."""
        if self._exhausted or self._number > self.budget.trials:
            return False
        if self._number and self._until is not None and time.monotonic() > self._until:
            return False
        return all(before in self.past for before in self._chosen_from())

    def begin(self) -> tuple[int, Job | Outcome | None]:
        """The next trial's number and job; an outcome where nothing can be trained, None where nothing is left to try."""
        number, study, known = self._number, self.study, {n: self.past[n] for n in self._chosen_from()}
        changes: dict[str, Any] | None = {}
        if number:
            beside = [self._changes(n) for n in range(max(1, len(known)), number)]
            learnt = with_base(known, study.space, study.base)
            changes = propose(study.space, study.sampler, study.base.seed, number, learnt, beside)
        if changes is None:
            self._exhausted = True
            return number, None
        self._trying[number] = changes
        self._number += 1
        self._skip()
        try:
            spec = study.space.spec_of(study.base, changes)
        except Inconsistent as error:
            now = now_utc()
            return number, Outcome("pruned", None, [], str(error), now, now)
        complete = [trial for trial in known.values() if trial.state == "complete"]
        same = [t.curve for t in complete if comparable(study.space.spec_of(study.base, t.changes)) == comparable(spec)]
        return number, Job(trained_as(spec, study.members), same if study.prune and number else None)

    def end(self, number: int, outcome: Outcome) -> Past:
        self.past[number] = Past(self._trying.pop(number), outcome.state, outcome.loss, outcome.curve)
        return self.past[number]

    def _chosen_from(self) -> range:
        return range(max(0, self._number - self.study.parallel + 1))

    def _changes(self, number: int) -> dict[str, Any]:
        return self.past[number].changes if number in self.past else self._trying[number]

    def _skip(self) -> None:
        """Past what an earlier attempt stored."""
        while self._number in self.past:
            self._number += 1


def seen(run: Run, until: date) -> tuple[Panel, pd.DataFrame | None]:
    """Prices and macro values up to ``until``: what a search may see."""
    panel, macro = market_of(run).until(until), macro_of(run)
    if macro is not None:
        macro = macro[macro["session"].to_numpy().astype("datetime64[D]") <= np.datetime64(until, "D")]
    return panel, macro


def _stored(run: Run, study: Study) -> tuple[dict[int, Past], float]:
    """The trials that ended before, by number, and the seconds that they took."""
    from storage.trials import trials_of

    with run.db.reading() as con:
        rows = trials_of(con, study.name)
    past = {row["number"]: Past(row["changes"], row["state"], row["loss"], row["curve"]) for row in rows}
    return past, sum(row["seconds"] for row in rows)


def _store(run: Run, study: Study, number: int, past: Past, outcome: Outcome) -> None:
    from storage.trials import append_trial

    spec = study.spec_of(past.changes)
    with run.db.writing(run.lease, run.run_id, f"trial/{study}/{number}") as tx:
        append_trial(
            tx, study=study.name, number=number, state=past.state, sampler=study.sampler, changes=past.changes,
            spec=None if spec is None else spec.model_dump(mode="json"), spec_digest=None if spec is None else spec.digest,
            loss=past.loss, curve=past.curve, reason=outcome.reason, data_digest=study.data_digest,
            started_at=outcome.started_at, finished_at=outcome.finished_at,
        )  # fmt: skip
    fault_point("after:trial")


def tuning_report(run: Run, study: Study) -> dict[str, Any]:
    """The study as plain values; see ``storage.trials.ranked``."""
    from storage.trials import ranked, trials_of

    with run.db.reading() as con:
        rows = trials_of(con, study.name)
    folds = [[str(fold.train_end), str(fold.valid_end)] for fold in study.folds]
    told = {"run_id": run.run_id, "origin": str(run.origin), "home": str(run.home.path), "folds": folds}
    return told | ranked(rows) | {"notes": list(run.notes)}
