"""The whole judgement in one call: train to one date, choose to a second, be judged to a third."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

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
        record = next((r for r in self.records if r["name"] == name), None)
        if record is None:
            record = {"name": name, "seconds": 0.0, "peak_mb": 0.0}
            self.records.append(record)
        record["seconds"] = round(record["seconds"] + time.perf_counter() - begin, 3)
        record["peak_mb"] = round(max(record["peak_mb"], peak), 1)


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
) -> Outcome:  # fmt: skip
    """The same as ``how`` says: with one model, or with one a fold whose answers are judged together.

    Every fold's model is audited; the gate is asked once, about all sessions. ``spread``: see ``fit_model``.
    """
    stages = stages or Stages()
    made = (spans,)
    if how.retrain_every is not None or how.train_sessions is not None:
        sessions = panel.until(spans.test_end).sessions
        made = folds(sessions, spans, how.retrain_every or len(sessions), how.train_sessions)
    fitted: list[Fitted] = []
    parts: list[Answers] = []
    leaks: list[tuple[str, ...] | None] = []
    for fold in made:
        with stages.stage("train"):
            fitted.append(fit_model(spec, panel, macro, fold, progress, rivals=how.rivals, spread=spread))
        with stages.stage("audit"):
            leaks.append(audit_model(fitted[-1], panel, macro, fold))
        with stages.stage("evaluate"):
            answers = ask_fold(fitted[-1], panel, macro, fold, spans.test_end, progress)
            parts.append(answers if not parts else replace(answers, inputs=parts[0].inputs))  # one panel, kept once
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


def _all(leaks: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """What the audits of all folds found; None where nothing was found and one of them could compare nothing."""
    found = tuple(leak for some in leaks if some for leak in some)
    return None if not found and any(some is None for some in leaks) else found
