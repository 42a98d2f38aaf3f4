"""The whole judgement in one call: train to one date, choose to a second, be judged to a third."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from forecasting.audit import audit_model
from forecasting.evaluation import Evaluation, evaluate, judged_rows
from forecasting.gate import Decision, GateThresholds, decide
from forecasting.inputs import ready_rows
from forecasting.lstm.network import LstmSpec
from forecasting.models import Fitted, fit_model
from forecasting.panel import Panel
from forecasting.rivals import RIVALS
from forecasting.splits import Spans, label_masks

Progress = Callable[[str, int, int], None]


@dataclass
class Stages:
    """Seconds and peak memory of each stage of a long job."""

    records: list[dict] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        self.records.append({"name": name, "seconds": round(time.perf_counter() - begin, 3), "peak_mb": round(peak, 1)})


def judge(
    fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans, others: dict[str, Fitted] | None = None,
    span: str = "test", progress: Progress | None = None,
) -> Evaluation:  # fmt: skip
    """Score the model's network and rivals, and the networks of ``others`` under their keys, on one span's rows.

    A row counts where every one of the models can forecast from it, so that all are scored on the same rows.
    """
    seen = panel.until(getattr(spans, f"{span}_end"))
    inputs = fitted.inputs(seen, macro)
    lookback = max(f.spec.lookback for f in (fitted, *(others or {}).values()))
    mask = label_masks(seen, inputs.targets, spans)[span] & ready_rows(seen, inputs.targets, lookback)[:, None]
    rows = judged_rows(mask)
    quantiles = fitted.quantiles(inputs, rows, progress=progress)
    for name, other in (others or {}).items():
        quantiles[name] = other.quantiles(other.inputs(seen, macro), rows, ("lstm",))["lstm"]
    return evaluate(inputs, mask, rows, quantiles)


def backtest(
    panel: Panel, macro: pd.DataFrame | None, spec: LstmSpec, spans: Spans, thresholds: GateThresholds,
    stages: Stages | None = None, progress: Progress | None = None,
) -> tuple[dict, Fitted, Evaluation, Decision]:  # fmt: skip
    """Train, audit, evaluate on the test span and let the gate decide; the report is JSON-able (see ``report``)."""
    stages = stages or Stages()
    with stages.stage("train"):
        fitted = fit_model(spec, panel, macro, spans, progress)
    with stages.stage("audit"):
        leaks = audit_model(fitted, panel, macro, spans)
    with stages.stage("evaluate"):
        evaluation = judge(fitted, panel, macro, spans, progress=progress)
    with stages.stage("gate"):
        decision = decide(evaluation, thresholds, weights=fitted.arrays, leaks=leaks)
    return report(evaluation, decision, stages), fitted, evaluation, decision


def report(evaluation: Evaluation, decision: Decision, stages: Stages) -> dict:
    """Each horizon's scores of the LSTM with skill and t against each rival, the gate's decision, the stages' cost.

    Skill is a fraction; a number that could not be computed is None.
    """

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    horizons = []
    for h in evaluation.horizons:
        value = {m: number(evaluation.value("lstm", h, m)) for m in evaluation.table["metric"].unique()}
        comparisons = {r: evaluation.compare("lstm", r, h) for r in RIVALS}
        horizons.append({
            "horizon": h,
            **{m: v for m, v in value.items() if not m.startswith("coverage")},
            "coverage": {"80": value["coverage_80"], "90": value["coverage_90"]},
            "skill": {r: number(evaluation.skill("lstm", r, h)) for r in RIVALS},
            "dm_t": {r: number(c.t) for r, c in comparisons.items()},
            "sessions": len(evaluation.sessions[h]),
            "rows": int(evaluation.table.query("forecaster == 'lstm' and horizon == @h")["n_rows"].iloc[0]),
        })  # fmt: skip
    gate = asdict(decision) | {"checks": [asdict(check) for check in decision.checks]}
    return {"horizons": horizons, "gate": gate, "stages": stages.records}
