"""The search for a better network, on validation sessions only."""

from __future__ import annotations

from typing import Any

from flows.entry import home_path, running, settings_for
from flows.parameters import Tune
from tasks.adopting import adopt_best
from tasks.engine import flow
from tasks.opening import home_at
from tasks.publishing import complete, publish
from tasks.tuning import budget_for, search, space_for, study_of, tuning_report


@flow
def tune(request: Tune) -> dict[str, Any]:
    """Try specifications on folds that end before any test span begins, store every trial, and say which was the best.

    A search that was killed goes on where it stood; the same search with a larger budget goes on, too. With ``adopt`` the
    best specification becomes that of the settings; it serves once a model of it has passed the gate.
    """
    chosen = settings_for(request).tuning
    sampler, space = request.sampler or chosen.sampler, space_for(request.space, chosen.space)
    budget = budget_for(chosen, request.trials, request.minutes)
    extra = (sampler, str(budget), space.as_json())
    with running(request, needs_source=False, origin=request.origin, extra=extra) as run:
        study = study_of(run, run.origin, space, sampler)
        search(run, study, budget)
        complete(run)
        publish(run)
        report = tuning_report(run, study)
    if request.adopt:
        report["adopted"] = adopt_best(home_at(home_path(request)), report["best"])
    return report
