"""Judging a way of working instead of one model: trained again every so often, each time on what was known by then.

    train_end            valid_end                                          test_end
    |------ learn ------||- choose -||== judge ==|
      |------ learn ------||- choose -||== judge ==|                     (rolling; expanding: from the first session on)
        |------ learn ------||- choose -||== judge ==|

The folds' judged sessions tile the test span: joined, they are the same rows as one split to the same dates has, each forecast
by the youngest model of its time. An outcome may settle in a later fold's sessions; no model has learnt from those yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import InputError
from forecasting.judging.judgement import Answers, Progress, ask
from forecasting.judging.slices import Slicing
from forecasting.models import Fitted
from forecasting.panel import Panel
from forecasting.splits import Spans


def folds(sessions: np.ndarray, spans: Spans, every: int, train_sessions: int | None = None) -> tuple[Spans, ...]:
    """One Spans a fold of ``every`` judged sessions; ``test_end`` of each is the last session of its own judged part.

    ``sessions``: of the panel, datetime64[D], ascending. The validation span keeps its length and moves along; the training
    span grows, or with ``train_sessions`` keeps that length. A last fold shorter than half of ``every`` joins the one before.
    """
    if every < 1:
        raise InputError(f"retraining every {every} sessions is not possible; give 1 or more, such as 250")
    train, valid, test = (
        int(np.searchsorted(sessions, np.datetime64(end, "D"), side="right")) - 1
        for end in (spans.train_end, spans.valid_end, spans.test_end)
    )
    if train < 0 or valid <= train or test <= valid:
        raise InputError(
            f"no sessions to learn from, to choose on or to judge on between {sessions[0]} and {sessions[-1]}; "
            "move the dates into what the prices cover"
        )
    ends = list(range(valid + every, test + 1, every)) or [test]
    if test - ends[-1] >= every / 2:
        ends.append(test)
    else:
        ends[-1] = test
    days = sessions.astype("datetime64[D]").astype(object)
    result, begin = [], valid
    for end in ends:
        moved = begin - valid
        first = None if train_sessions is None else days[max(0, train + moved - train_sessions + 1)]
        result.append(Spans(days[train + moved], days[begin], days[end], spans.embargo, first))
        begin = end
    return tuple(result)


def ask_fold(
    fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, fold: Spans, test_end: date, progress: Progress | None = None
) -> Answers:
    """The answers of the fold's model on its own judged sessions, whose outcomes may settle up to ``test_end``."""
    return ask(fitted, panel, macro, replace(fold, test_end=test_end), progress=progress, last=fold.test_end)


def joined(parts: Sequence[Answers]) -> Answers:
    """The folds' answers as one, on the first fold's inputs; the rows of all folds must be of the same panel.

    Only what a panel alone decides (outcomes, scale) is scored with them, and what was learnt by the first fold's end.
    """
    first = parts[0]
    if any(p.inputs.panel.rows != first.inputs.panel.rows or list(p.quantiles) != list(first.quantiles) for p in parts):
        raise ValueError("folds of different panels or forecasters cannot be joined")
    rows = np.concatenate([p.rows for p in parts])
    order = np.argsort(rows, kind="stable")
    quantiles = {name: np.concatenate([p.quantiles[name] for p in parts])[order] for name in first.quantiles}
    mask = np.logical_or.reduce([p.mask for p in parts])
    return Answers(first.inputs, mask, rows[order], quantiles, first.learnt)


def by_fold(panel: Panel, made: Sequence[Spans]) -> Slicing:
    """The fold that an origin was judged in, named by the last session that its model was chosen on."""
    ends = np.array([fold.valid_end for fold in made], dtype="datetime64[D]")
    codes = np.searchsorted(ends, panel.sessions, side="left") - 1
    codes[panel.sessions > np.datetime64(made[-1].test_end, "D")] = -1
    return Slicing("fold", tuple(str(end) for end in ends), codes.astype(np.int32)[panel.at])
