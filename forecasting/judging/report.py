"""A judgement as plain values: what ``nextclose backtest --json`` answers. A number that could not be computed is None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from forecasting.judging.evaluation import Evaluation
from forecasting.judging.gate import Decision
from forecasting.judging.judgement import Judgement
from forecasting.judging.slices import REGIMES
from forecasting.splits import Spans

OURS = "lstm"
LEVELS = ("50", "80", "90")  # of the intervals, in percent
_OWN_PLACE = ("coverage_", "below_")  # metrics that are gathered under a key of their own


def report(judgement: Judgement, decision: Decision, stages: list[dict], made: Sequence[Spans], trials: int) -> dict[str, Any]:
    """Each horizon's scores of the LSTM with skill and t against each rival, whole and by slice, the gate's decision, the
    portfolio, the spans and the stages' cost.

    Skill, coverage and returns are fractions; ``coverage_error`` is the standard error of the coverage, with overlapping
    outcomes and the symbols of one session taken as one another's echo. ``p`` is the one-sided chance of such a t without an
    edge, ``p_corrected`` the same after Holm's correction over the horizons and Bonferroni's for ``trials``. The slices hold
    the LSTM against EWMA.
    """
    evaluation = judgement.evaluation
    gate = asdict(decision) | {"checks": [asdict(check) for check in decision.checks]}
    answer = {
        "horizons": [_horizon(evaluation, h, trials) for h in evaluation.horizons],
        "gate": gate,
        "stages": stages,
        "trials": trials,
        "judged": [str(day) for day in evaluation.span],
        "folds": [{name: None if v is None else str(v) for name, v in asdict(fold).items()} for fold in made],
        "regimes": dict(zip(REGIMES[:2], judgement.regime_borders, strict=False)),
        "portfolio": {
            "about": "a paper portfolio after costs: information, not a gate",
            "horizon": judgement.portfolio_horizon,
            "forecasters": {name: plain(paper.as_report()) for name, paper in judgement.portfolio.items()},
        },
    }
    return answer


def _horizon(e: Evaluation, h: int, trials: int) -> dict[str, Any]:
    value = {m: _number(e.value(OURS, h, m)) for m in e.table["metric"].unique()}
    comparisons = {r: e.compare(OURS, r, h) for r in e.rivals}
    return {
        "horizon": h,
        **{m: v for m, v in value.items() if not m.startswith(_OWN_PLACE)},
        "coverage": {level: value[f"coverage_{level}"] for level in LEVELS},
        "coverage_error": {level: _number(e.coverage_error(OURS, h, f"coverage_{level}")) for level in LEVELS},
        "below": {m.removeprefix("below_"): v for m, v in value.items() if m.startswith("below_")},
        "skill": {r: _number(e.skill(OURS, r, h)) for r in e.rivals},
        "dm_t": {r: _number(c.t) for r, c in comparisons.items()},
        "p": {r: _number(c.p) for r, c in comparisons.items()},
        "p_corrected": {r: _number(e.corrected(OURS, r, trials)[h]) for r in e.rivals},
        "rivals": {r: _number(e.value(r, h, "pinball")) for r in e.rivals},
        "sessions": len(e.sessions[h]),
        "rows": int(e.table.query("forecaster == @OURS and horizon == @h")["n_rows"].iloc[0]),
        **{f"by_{kind}": _slices(e, h, kind) for kind in ("year", "regime", "sector", "symbol", "fold")},
    }


def _slices(e: Evaluation, h: int, kind: str) -> dict[str, dict[str, Any]]:
    """slice -> the LSTM's scores there, with skill and t against the reference; empty where nothing was cut that way."""
    table = e.slices[(e.slices["forecaster"] == OURS) & (e.slices["horizon"] == h) & (e.slices["kind"] == kind)]
    found: dict[str, dict[str, Any]] = {}
    for name, metric, value, rows, sessions in zip(
        table["slice"], table["metric"], table["value"], table["n_rows"], table["n_sessions"], strict=True
    ):
        entry = found.setdefault(name, {"rows": int(rows), "sessions": int(sessions), "coverage": {}})
        if metric.startswith("coverage_"):
            entry["coverage"][metric.removeprefix("coverage_")] = _number(value)
        else:
            entry[metric] = _number(value)
    return found


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The same with None for what is no number."""
    return {name: _number(v) if isinstance(v, float) else v for name, v in values.items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
