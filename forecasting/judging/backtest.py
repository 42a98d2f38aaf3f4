"""The whole judgement in one call: train to one date, choose to a second, be judged to a third."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date

import pandas as pd

from forecasting.audit.training import audit_model
from forecasting.judging.evaluation import Evaluation
from forecasting.judging.gate import Decision, GateThresholds, decide
from forecasting.judging.judgement import Answers, Judgement, judge, judged
from forecasting.judging.report import report
from forecasting.judging.walk_forward import ask_fold, by_fold, folds, joined
from forecasting.lstm.ensemble import Spread
from forecasting.lstm.network import LstmSpec
from forecasting.models import Fitted, fit_model
from forecasting.panel import Panel
from forecasting.rivals import RIVALS
from forecasting.splits import Spans

__all__ = ["How", "Outcome", "Stages", "backtest", "full_backtest", "judge", "report"]

Progress = Callable[[str, int, int], None]


@dataclass
class Stages:
    """Seconds and peak memory of each stage of a long job; a stage that comes again adds to its record."""

    records: list[dict] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        self.add([{"name": name, "seconds": time.perf_counter() - begin, "peak_mb": peak}])

    def add(self, records: Iterable[dict]) -> None:
        """Those of other work as well: seconds are summed, also of processes that work side by side."""
        for more in records:
            record = next((r for r in self.records if r["name"] == more["name"]), None)
            if record is None:
                record = {"name": more["name"], "seconds": 0.0, "peak_mb": 0.0}
                self.records.append(record)
            record["seconds"] = round(record["seconds"] + more["seconds"], 3)
            record["peak_mb"] = round(max(record["peak_mb"], more["peak_mb"]), 1)


@dataclass(frozen=True)
class How:
    """How a backtest is done beyond its three dates.

    ``retrain_every``: judged sessions after which a new model takes over; None: one model judges the whole span.
    ``train_sessions``: length of a rolling training span; None: it begins with the first session.
    ``trials``: specifications that were tried on the way here; the gate and the corrected p values take them into account.
    ``sectors``: symbol -> sector. ``traced``: symbols whose forecasts are kept for drawing.
    ``rivals``: names of those to fit beside the network.
    """

    retrain_every: int | None = None
    train_sessions: int | None = None
    trials: int = 1
    sectors: Mapping[str, str] | None = None
    cost_bps: float = 10.0
    traced: tuple[str, ...] = ()
    rivals: tuple[str, ...] = RIVALS


@dataclass(frozen=True)
class Market:
    """What all folds of a backtest are done on."""

    panel: Panel
    macro: pd.DataFrame | None
    spec: LstmSpec
    test_end: date
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Fold:
    """What was done on one fold; ``leaks``: see ``audit_model``."""

    fitted: Fitted
    leaks: tuple[str, ...] | None
    answers: Answers
    stages: Stages


@dataclass(frozen=True)
class Outcome:
    """What came of it; ``fitted`` holds one model a fold, oldest first."""

    report: dict
    fitted: tuple[Fitted, ...]
    judgement: Judgement
    decision: Decision


def backtest(
    panel: Panel, macro: pd.DataFrame | None, spec: LstmSpec, spans: Spans, thresholds: GateThresholds,
    stages: Stages | None = None, progress: Progress | None = None,
) -> tuple[dict, Fitted, Evaluation, Decision]:  # fmt: skip
    """Train, audit, evaluate on the test span and let the gate decide; the report is JSON-able (see ``verdict_report``)."""
    done = full_backtest(panel, macro, spec, spans, thresholds, How(), stages, progress)
    return done.report, done.fitted[0], done.judgement.evaluation, done.decision


def full_backtest(
    panel: Panel, macro: pd.DataFrame | None, spec: LstmSpec, spans: Spans, thresholds: GateThresholds, how: How,
    stages: Stages | None = None, progress: Progress | None = None, spread: Spread = map,
    spread_folds: Callable[..., Iterable[Fold]] | None = None,
) -> Outcome:  # fmt: skip
    """The same as ``how`` says: with one model, or with one a fold whose answers are judged together.

    Every fold's model is audited; the gate is asked once, about all sessions. ``spread``: see ``fit_model``. ``spread_folds``
    works on several folds at a time: called with a function, the folds and what the function gets before each of them.
    """
    stages = stages or Stages()
    made = (spans,)
    if how.retrain_every is not None or how.train_sessions is not None:
        sessions = panel.until(spans.test_end).sessions
        made = folds(sessions, spans, how.retrain_every or len(sessions), how.train_sessions)
    market = Market(panel, macro, spec, spans.test_end, how.rivals)
    fitted: list[Fitted] = []
    parts: list[Answers] = []
    leaks: list[tuple[str, ...] | None] = []
    for done in _folds_done(market, made, progress, spread, spread_folds):
        stages.add(done.stages.records)
        fitted.append(done.fitted)
        leaks.append(done.leaks)
        inputs = parts[0].inputs if parts else done.answers.inputs  # one panel, kept once
        if inputs is None:
            inputs = done.fitted.inputs(panel.until(spans.test_end), macro)
        parts.append(replace(done.answers, inputs=inputs))
    with stages.stage("evaluate"):
        answers = joined(parts) if len(parts) > 1 else parts[0]
        more = (by_fold(answers.inputs.panel, made),) if len(made) > 1 else ()
        judgement = judged(answers, how.sectors, how.cost_bps, how.traced, more)
    with stages.stage("gate"):
        weights = {f"fold {i} {name}": array for i, f in enumerate(fitted) for name, array in f.arrays.items()}
        decision = decide(
            judgement.evaluation, thresholds, weights=fitted[0].arrays if len(made) == 1 else weights, leaks=_all(leaks),
            trials=how.trials,
        )  # fmt: skip
    return Outcome(report(judgement, decision, stages.records, made, how.trials), tuple(fitted), judgement, decision)


def _folds_done(
    market: Market, made: Sequence[Spans], progress: Progress | None, spread: Spread,
    spread_folds: Callable[..., Iterable[Fold]] | None,
) -> Iterator[Fold]:  # fmt: skip
    if len(made) > 1 and spread_folds is not None:
        for number, done in enumerate(spread_folds(_done_elsewhere, made, market)):
            if progress:
                progress("folds", number + 1, len(made))
            yield done
        return
    for fold in made:
        yield _done(market, fold, progress, spread)


def _done(market: Market, fold: Spans, progress: Progress | None = None, spread: Spread = map) -> Fold:
    """Train on one fold, audit what was learnt, and ask it about the fold's own judged sessions."""
    stages, panel, macro = Stages(), market.panel, market.macro
    with stages.stage("train"):
        fitted = fit_model(market.spec, panel, macro, fold, progress, rivals=market.rivals, spread=spread)
    with stages.stage("audit"):
        leaks = audit_model(fitted, panel, macro, fold)
    with stages.stage("evaluate"):
        answers = ask_fold(fitted, panel, macro, fold, market.test_end, progress)
    return Fold(fitted, leaks, answers, stages)


def _done_elsewhere(market: Market, fold: Spans) -> Fold:
    """The same without what need not travel: the inputs, which are the same for all folds, and what TensorFlow compiled."""
    done = _done(market, fold)
    plain = Fitted(done.fitted.spec, done.fitted.arrays, done.fitted.card)
    return replace(done, fitted=plain, answers=replace(done.answers, inputs=None))


def _all(leaks: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """What the audits of all folds found; None where nothing was found and one of them could compare nothing."""
    found = tuple(leak for some in leaks if some for leak in some)
    return None if not found and any(some is None for some in leaks) else found
