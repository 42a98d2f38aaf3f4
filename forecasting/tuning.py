"""Tuning: what to try next, on which folds, how good it is, and when to give up on it half-way.

Nothing here sees a test span: folds lie inside what was learnt from and chosen on, and a trial is given a panel that ends
there. What trial n is depends on the trials before it and not on when they ended, so that a search that was killed goes on
as if it had not been, and several processes search what one would.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from forecasting.errors import NotEnoughHistory
from forecasting.inputs import ready_rows
from forecasting.lstm.network import LstmSpec
from forecasting.metrics import pinball
from forecasting.panel import Panel
from forecasting.search_space import Range, Sampler, Space
from forecasting.splits import Spans, label_masks

if TYPE_CHECKING:
    from forecasting.models import Fitted

Curve = list[list[float]]  # for each fold the validation loss at each look over that of look 0
STARTUP = 8  # trials that TPE draws at random before it models anything
_DRAWS = 10  # of the sampler, before a combination that was tried is given up
FEWEST = 4  # completed trials that a median is taken of
FIRST_LOOK = 3  # before it a training says too little about its end


@dataclass(frozen=True)
class Past:
    """A trial that ended: what was changed, how it ended, its loss where it is complete, and its curve."""

    changes: dict[str, Any]
    state: Literal["complete", "pruned", "failed"]
    loss: float | None = None
    curve: Curve = field(default_factory=list)


class GivenUp(Exception):
    """A trial that was going to be among the worse half."""

    def __init__(self, reason: str, curve: Curve) -> None:
        super().__init__(reason)
        self.reason, self.curve = reason, curve


# --- folds -------------------------------------------------------------------------------------------------------------


def folds_of(sessions: np.ndarray, until: date, valid_sessions: int, count: int, spec: LstmSpec) -> tuple[Spans, ...]:
    """``count`` spans whose validation parts of ``valid_sessions`` follow one another and end at ``until``, oldest first.

    Each learns from all that lies before its validation part. Folds that could learn from less than twice the lookback, or
    from less than they are validated on, are left out; raises NotEnoughHistory where none is left. ``test_end`` is the day
    after: a fold judges nothing.
    """
    day = sessions[sessions <= np.datetime64(until, "D")].astype("datetime64[D]").astype(object)
    least = max(2 * spec.lookback + spec.horizons[-1], valid_sessions)
    folds = []
    for back in range(count, 0, -1):
        end = len(day) - (back - 1) * valid_sessions
        if end - valid_sessions >= least:
            last = day[end - 1]
            folds.append(Spans(day[end - valid_sessions - 1], last, last + timedelta(days=1)))
    if not folds:
        raise NotEnoughHistory("the universe", len(day), least + valid_sessions, "one fold of tuning", until)
    return tuple(folds)


# --- what to try next --------------------------------------------------------------------------------------------------


def propose(
    space: Space, sampler: Sampler, seed: int, number: int, past: Sequence[Past], running: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:  # fmt: skip
    """The changes of trial ``number`` (1 is the first), or None where everything was tried.

    ``past``: the trials that may be learnt from, in order; ``running``: the changes of those under way. The same arguments
    give the same answer. Grid: Optuna's GridSampler over ``space.grid()``, in an order drawn from ``seed``. TPE: Optuna's
    TPESampler (Bergstra et al. 2011), which counts a running trial as a bad one, so that two do not try the same.
    """
    if sampler == "grid":
        return _next_of_grid(space, seed, number)
    known = {_key(changes) for changes in [*(trial.changes for trial in past), *running]}
    for draw in range(_DRAWS):
        changes = _next_of_tpe(space, f"{seed}/{number}/{draw}", past, running)
        if _key(changes) not in known:
            return changes
    if not space.finite:
        return None
    left = [changes for changes in space.grid() if _key(changes) not in known]
    return random.Random(f"{seed}/{number}").choice(left) if left else None


def _next_of_grid(space: Space, seed: int, number: int) -> dict[str, Any] | None:
    optuna = _optuna()
    values = {name: d.grid() if isinstance(d, Range) else list(d) for name, d in space.dimensions.items()}
    texts = {name: [json.dumps(value) for value in choices] for name, choices in values.items()}
    if number > len(space.grid()):
        return None
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(texts, seed=seed))
    distributions = {name: optuna.distributions.CategoricalDistribution(choices) for name, choices in texts.items()}
    trials = [study.ask(distributions) for _ in range(number)]  # the sampler deals its grid out by the trial's number
    return {name: json.loads(text) for name, text in trials[-1].params.items()}


def _next_of_tpe(space: Space, seed: str, past: Sequence[Past], running: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    optuna = _optuna()
    states, make = optuna.trial.TrialState, optuna.trial.create_trial
    number = int.from_bytes(random.Random(seed).randbytes(4), "big")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=number))
    distributions = {name: _distribution(dimension) for name, dimension in space.dimensions.items()}

    def params(changes: Mapping[str, Any]) -> dict[str, Any]:
        return {name: v if isinstance(space.dimensions[name], Range) else json.dumps(v) for name, v in changes.items()}

    for trial in past:
        told = dict(params=params(trial.changes), distributions=distributions)
        if trial.state == "complete":
            study.add_trial(make(**told, value=trial.loss))
        else:  # a curve says how bad it was; without one it is as bad as can be
            steps = dict(enumerate(progress_of(trial.curve))) if trial.state == "pruned" else {}
            study.add_trial(make(**told, state=states.PRUNED, intermediate_values=steps))
    for changes in running:
        study.add_trial(make(params=params(changes), distributions=distributions, state=states.RUNNING))
    found = study.ask(distributions).params
    return {
        name: d.readable(found[name]) if isinstance(d, Range) else json.loads(found[name])
        for name, d in space.dimensions.items()
    }


def _distribution(dimension: Range | tuple) -> Any:
    kinds = _optuna().distributions
    if not isinstance(dimension, Range):
        return kinds.CategoricalDistribution([json.dumps(choice) for choice in dimension])
    if dimension.whole:
        step = 1 if dimension.step is None else int(dimension.step)
        return kinds.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return kinds.FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log, step=dimension.step)


def _key(changes: Mapping[str, Any]) -> str:
    return json.dumps(dict(changes), sort_keys=True)


def _optuna() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


# --- how good it is ----------------------------------------------------------------------------------------------------


def try_spec(
    spec: LstmSpec, panel: Panel, macro: pd.DataFrame | None, folds: Sequence[Spans], others: Sequence[Curve] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[float, Curve]:  # fmt: skip
    """Train on each fold and forecast its validation sessions: the loss and the curve.

    The loss is the mean over folds and horizons of the network's pinball loss over that of the EWMA rival on the same rows:
    below 1 is better, whatever loss, target or scaling the network was trained with. ``others``: the curves of completed
    trials, of networks trained with the same loss; with them a trial that falls behind their median raises GivenUp. One
    network a symbol has no curve that could be compared.
    """
    from forecasting.models import fit_model
    from forecasting.rivals import REFERENCE

    curve: Curve = []
    losses: list[float] = []

    def looked(member: int, look: int, loss: float) -> None:
        if member:
            return
        if look == 0:
            curve.append([])
            first.append(loss)
        curve[-1].append(loss / first[-1] if np.isfinite(loss) and first[-1] else float("inf"))
        if others is not None and look:
            reason = hopeless(curve, others)
            if reason:
                raise GivenUp(reason, finite(curve))

    first: list[float] = []
    for fold in folds:
        fitted = fit_model(spec, panel, macro, fold, progress, rivals=(REFERENCE,), looked=None if spec.per_symbol else looked)
        losses.append(_loss(fitted, panel, macro, fold))
    return float(np.mean(losses)), finite(curve)


def _loss(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, fold: Spans) -> float:
    """Mean over horizons of the network's pinball loss over EWMA's, on the labels of the fold's validation part."""
    from forecasting.rivals import REFERENCE

    seen = panel.until(fold.valid_end)
    inputs = fitted.inputs(seen, macro)
    mask = label_masks(seen, inputs.targets, fold)["valid"]
    mask &= ready_rows(seen, inputs.targets, fitted.spec.lookback)[:, None]
    rows = np.flatnonzero(mask.any(axis=1))
    quantiles = fitted.quantiles(inputs, rows, ("lstm", REFERENCE))
    ratios = []
    for k, horizon in enumerate(fitted.spec.horizons):
        labelled = mask[rows, k]
        if not labelled.any():
            raise NotEnoughHistory("the universe", 0, 1, f"validating horizon {horizon}", fold.valid_end)
        actual = inputs.targets.returns[rows[labelled], k]
        ours, reference = (pinball(actual, quantiles[name][labelled, k]).mean() for name in ("lstm", REFERENCE))
        ratios.append(ours / reference)
    return float(np.mean(ratios))


def hopeless(curve: Curve, others: Sequence[Curve]) -> str | None:
    """Why a training may end here, or None: at this look it is worse than the median of the completed trials at the same.

    The median rule (Golovin et al. 2017): no word before FEWEST others are complete, nor in the first looks of a fold.
    """
    fold, look = len(curve) - 1, len(curve[-1]) - 1
    known = [value for other in others if (value := _at(other, fold, look)) is not None]
    if len(known) < FEWEST or look < FIRST_LOOK:
        return None
    mine, middle = _at(curve, fold, look), median(known)
    if mine is None or mine <= middle:
        return None
    return f"{mine:.4f} of the first loss at look {look} of fold {fold + 1}, the median of {len(known)} trials is {middle:.4f}"


def progress_of(curve: Curve) -> list[float]:
    """The standing after each look, all folds in a row: the best loss so far, averaged over the folds begun."""
    return [_at(curve, fold, look) for fold, losses in enumerate(curve) for look in range(len(losses))]


def _at(curve: Curve, fold: int, look: int) -> float | None:
    """The standing of a trial at a look of a fold; one whose training ended earlier keeps its best."""
    if len(curve) <= fold:
        return None
    return float(np.mean([*(min(losses) for losses in curve[:fold]), min(curve[fold][: look + 1])]))


def finite(curve: Curve) -> Curve:
    """The curve with 1e6 for a loss that is none, as JSON can hold it, in six digits."""
    return [[round(min(value, 1e6), 6) if value == value else 1e6 for value in losses] for losses in curve]


def comparable(spec: LstmSpec) -> tuple:
    """What two trainings must share for their curves to be measured with the same rule."""
    return (spec.loss, spec.target, spec.output, spec.excess_weight)


def trained_as(spec: LstmSpec, members: int) -> LstmSpec:
    """The specification that a trial trains in place of ``spec``: fewer members, whose mean is only more of the same, and no
    calibration, which is fitted on the sessions that a trial is judged on."""
    return spec.model_copy(update={"members": members, "calibration": "none"})


def best_of(past: Mapping[int, Past]) -> int | None:
    """The number of the completed trial with the lowest loss, the first of equals; None without one."""
    complete = [(trial.loss, number) for number, trial in past.items() if trial.state == "complete"]
    return min(complete)[1] if complete else None


def with_base(past: Mapping[int, Past], space: Space, base: LstmSpec) -> list[Past]:
    """The trials in order as the sampler may learn from them: trial 0 only where the space holds the base specification."""
    place = space.place_of(base)
    searched = [trial for number, trial in sorted(past.items()) if number]
    return searched if place is None or 0 not in past else [replace(past[0], changes=place), *searched]
