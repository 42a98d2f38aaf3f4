"""Has a training run seen the future? Its features, everything that was fitted, and its split, on the data it learnt from.

Everything fitted is asked by fitting it again: ``fit_model`` itself, without a network member, on a sample whose later
rows and macro values are scaled, made noise or taken away. What nothing after the training span may touch, and what nothing
after the validation span may touch, is compared bit by bit; a number that a later change of the code adds is compared as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.audit.features import AuditReport, LabelSpans, audit, audit_fitted, audit_split
from forecasting.audit.own_rivals import audit_own_rivals
from forecasting.errors import NotEnoughHistory
from forecasting.panel import Panel

if TYPE_CHECKING:
    from forecasting.lstm.network import LstmSpec
    from forecasting.models import Fitted
    from forecasting.splits import Spans
    from forecasting.targets import Targets

Masks = Callable[[Panel, "Targets", "Spans"], Mapping[str, np.ndarray]]
FitAll = Callable[..., Mapping[str, np.ndarray]]  # of a panel and its spans, and macro values where there are any

#: Fitted numbers that validation outcomes may choose among (a penalty, when to stop, residuals, calibration); all others
#: must follow from the training span alone.
CHOSEN_ON_VALIDATION = ("lstm/", "ridge/", "linear_quantile/", "seasonal/", "calibration/")
_ROWS = 1_000  # of a symbol in the sample that everything is fitted on, half of them after the training span


def audit_model(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans) -> tuple[str, ...] | None:
    """One sentence for each leak found, () for none; None where the panel is too short for anything to be compared, so that
    nobody takes it for a pass."""
    return sentences(audit_training(fitted, panel, macro, spans))


def sentences(report: AuditReport) -> tuple[str, ...] | None:
    """A report as the gate is told of it."""
    return tuple(str(finding) for finding in report.findings) if report.compared else None


def audit_training(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans) -> AuditReport:
    """What a training run asks before its model is offered to the gate; a person's own features are among the features."""
    from forecasting.features import compute_features
    from forecasting.splits import label_masks

    spec, market = fitted.spec, tuple(fitted.market_symbols)
    rivals = fitted.card.get("rivals")

    def features(some: Panel, known: pd.DataFrame | None) -> np.ndarray:
        return compute_features(some, spec.features, market_symbols=market, macro=known, threads=1).values

    def fit(some: Panel, when: Spans, known: pd.DataFrame | None = None) -> Mapping[str, np.ndarray]:
        return fitted_numbers(spec, some, known, when, rivals)

    seen, rows = panel.until(spans.test_end), max(_ROWS, 8 * spec.lookback)
    own = tuple(fitted.card.get("own_rivals") or ())
    report = audit(features, seen, macro, spec.features) + audit_fits(fit, seen, spans, rows, macro=macro, chosen=own)
    report += audit_own_rivals(fitted, seen, macro)
    return report + audit_masks(label_masks, seen, spec.horizons, spans)


def fitted_numbers(
    spec: LstmSpec, panel: Panel, macro: pd.DataFrame | None, spans: Spans, rivals: list[str] | None = None
) -> Mapping[str, np.ndarray]:
    """All arrays of a model but the members' weights, {} where the panel is too short to fit them.

    The network's place is taken by one that has learnt nothing; weights and the day on which training stops come from the
    same rows and masks, and a test fits a small network in full.
    """
    from forecasting.models import fit_model

    without = spec.model_copy(update={"members": 0})
    try:
        return fit_model(without, panel, macro, spans, **({} if rivals is None else {"rivals": tuple(rivals)})).arrays
    except (NotEnoughHistory, ValueError, IndexError):  # a sample without a single training label
        return {}


def audit_fits(
    fit: FitAll, panel: Panel, spans: Spans, rows: int = _ROWS, seed: int = 0, macro: pd.DataFrame | None = None,
    chosen: tuple[str, ...] = (),
) -> AuditReport:  # fmt: skip
    """Whether anything of ``fit(panel, spans)`` (name -> array) follows rows after the validation span, or anything that
    is not CHOSEN_ON_VALIDATION follows rows after the training span (K6). With ``macro`` it is ``fit(panel, spans, macro)``,
    and the macro values of after the span are asked about with the rows. ``chosen``: rivals that may choose on the validation
    span as well: those of a person's own, which may stop early."""
    free = (*CHOSEN_ON_VALIDATION, *(f"{name}/" for name in chosen))

    def from_training(some: Panel, _: np.datetime64, *known: pd.DataFrame) -> dict[str, np.ndarray]:
        return {name: a for name, a in fit(some, spans, *known).items() if not name.startswith(free)}

    def all_of_it(some: Panel, _: np.datetime64, *known: pd.DataFrame) -> Mapping[str, np.ndarray]:
        return fit(some, spans, *known)

    common = dict(rows=rows, seed=seed, begin=spans.train_end, macro=macro)
    report = audit_fitted(from_training, panel, spans.train_end, **common)
    return report + audit_fitted(all_of_it, panel, spans.valid_end, **common)


def audit_masks(masks: Masks, panel: Panel, horizons: tuple[int, ...], spans: Spans) -> AuditReport:
    """Whether the labels that ``masks(panel, targets, spans)`` gives to training, validation and test keep apart in time."""
    from forecasting.targets import make_targets

    targets, parts = make_targets(panel, horizons), {}
    for name, mask in masks(panel, targets, spans).items():
        row, k = np.nonzero(mask)
        parts[name] = LabelSpans(panel.at[row], targets.settles_at[row, k])
    empty = LabelSpans(np.empty(0, int), np.empty(0, int))
    report = audit_split(parts["train"], parts["valid"], parts.get("test", empty), spans.embargo)
    return replace(report, findings=tuple(dict.fromkeys(report.findings)))
