"""Asking every forecaster about the same rows, and everything that is computed from their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

import numpy as np
import pandas as pd

from forecasting.inputs import Inputs, ready_rows
from forecasting.judging.evaluation import CHAMPION, Evaluation, evaluate, judged_rows
from forecasting.judging.portfolio import Paper, paper_portfolio
from forecasting.judging.slices import Slicing, regime_borders, slicings
from forecasting.judging.traces import Trace, trace
from forecasting.models import Fitted
from forecasting.panel import Panel
from forecasting.rivals import REFERENCE
from forecasting.splits import Spans, label_masks

Progress = Callable[[str, int, int], None]
TRACED = 3  # symbols that are drawn where nobody named any


@dataclass(frozen=True)
class Answers:
    """What each forecaster said: ``quantiles[name]`` float [N, H, Q] of the log return, for ``rows`` int [N].

    ``mask`` bool [R, H]: the labels of the judged span; ``learnt`` bool [R]: the rows of the training span.
    """

    inputs: Inputs
    mask: np.ndarray
    rows: np.ndarray
    quantiles: Mapping[str, np.ndarray]
    learnt: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """The scores, cut and uncut, and what goes with them as information."""

    evaluation: Evaluation
    regime_borders: tuple[float, ...] = ()  # daily volatility of the market between low, middle and high
    portfolio: dict[str, Paper] = field(default_factory=dict)
    portfolio_horizon: int = 0
    traces: tuple[Trace, ...] = ()


def ask(
    fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans, others: Mapping[str, Fitted] | None = None,
    span: str = "test", progress: Progress | None = None, last: date | None = None,
) -> Answers:  # fmt: skip
    """The answers of the model's network and rivals, and of the networks of ``others`` under their keys, on one span's rows.

    A row counts where every one of the models can forecast from it, so that all are asked about the same rows. ``last``: the
    last origin asked about; outcomes may settle after it, up to the span's end.
    """
    seen = panel.until(getattr(spans, f"{span}_end"))
    inputs = fitted.inputs(seen, macro)
    models = (fitted, *(others or {}).values())
    lookback = max(f.spec.lookback for f in models)
    masks = label_masks(seen, inputs.targets, spans)
    mask = masks[span] & ready_rows(seen, inputs.targets, lookback)[:, None]
    mask &= np.array([all(f.knows(symbol) for f in models) for symbol in seen.symbols])[seen.symbol_index][:, None]
    if last is not None:
        mask &= (seen.session <= np.datetime64(last, "D"))[:, None]
    rows = judged_rows(mask)
    quantiles = fitted.quantiles(inputs, rows, progress=progress)
    for name, other in (others or {}).items():
        quantiles[name] = other.quantiles(other.inputs(seen, macro), rows, ("lstm",))["lstm"]
    return Answers(inputs, mask, rows, quantiles, masks["train"].any(axis=1))


def judge(
    fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans, others: dict[str, Fitted] | None = None,
    span: str = "test", progress: Progress | None = None,
) -> Evaluation:  # fmt: skip
    """Score the model's network and rivals, and the networks of ``others``, on one span's rows; see ``ask``."""
    answers = ask(fitted, panel, macro, spans, others, span, progress)
    return evaluate(answers.inputs, answers.mask, answers.rows, answers.quantiles)


def judged(
    answers: Answers, sectors: Mapping[str, str] | None = None, cost_bps: float = 10.0, traced: Sequence[str] = (),
    more: Sequence[Slicing] = (),
) -> Judgement:  # fmt: skip
    """The scores with their slices (and those of ``more``), the paper portfolios, and the traces of ``traced`` (or of the first
    few symbols)."""
    inputs, panel = answers.inputs, answers.inputs.panel
    detailed = tuple(name for name in ("lstm", CHAMPION, REFERENCE) if name in answers.quantiles)
    cuts = (*slicings(panel, answers.learnt, sectors, detailed), *more)
    evaluation = evaluate(inputs, answers.mask, answers.rows, answers.quantiles, cuts)
    borders = tuple(float(border) for border in regime_borders(panel, answers.learnt))
    at, papers = _portfolios(answers, cost_bps)
    main = "lstm" if "lstm" in answers.quantiles else next(iter(answers.quantiles))
    asked = [symbol for symbol in traced if symbol in panel.symbols][:TRACED] or list(panel.symbols)
    found = (trace(inputs, answers.rows, answers.quantiles[main], symbol) for symbol in asked)
    return Judgement(evaluation, borders, papers, at, tuple(islice((t for t in found if t is not None), TRACED)))


def _portfolios(answers: Answers, cost_bps: float) -> tuple[int, dict[str, Paper]]:
    """Five sessions ahead where that is forecast, else the horizon nearest to it; the forecasters that rank at all."""
    inputs = answers.inputs
    k = int(np.argmin([abs(h - 5) for h in inputs.targets.horizons]))
    horizon = inputs.targets.horizons[k]
    some = answers.mask[answers.rows, k]
    rows, papers = answers.rows[some], {}
    for name, quantiles in answers.quantiles.items():
        middle = quantiles.shape[-1] // 2
        signal = quantiles[some, k, middle] / inputs.targets.unit[rows, k]
        paper = paper_portfolio(inputs.panel, rows, signal, horizon, cost_bps)
        if paper is not None:
            papers[name] = paper
    return horizon, papers
