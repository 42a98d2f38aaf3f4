"""Every training is asked whether anything in it has seen the future, before anyone looks at its scores."""

from __future__ import annotations

from datetime import date

from forecasting.errors import LeakFound
from tasks.engine import step
from tasks.learning import challenger_of, model_of, spans_of
from tasks.market import macro_of, market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run


@step(COMPUTE)
def audit(run: Run, origin: date) -> Receipt:
    """Look for leaks in the features, fitted numbers and split of the challenger; LeakFound ends the run where there is one."""
    leaks = leaks_of(run, origin)
    if leaks:
        raise LeakFound(challenger_of(run, origin)[:16], "; ".join(leaks))
    return Receipt(text="no leak found" if leaks is not None else "too little data to look for leaks")


def leaks_of(run: Run, origin: date) -> tuple[str, ...] | None:
    """What the audit of the model trained at ``origin`` found; None where nothing could be compared. Computed once a run."""
    from forecasting.audit import audit_model

    if ("leaks", origin) not in run.memo:
        fitted = model_of(run, challenger_of(run, origin))
        run.memo["leaks", origin] = audit_model(fitted, market_of(run).until(origin), macro_of(run), spans_of(run, origin))
    return run.memo["leaks", origin]
