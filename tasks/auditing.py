"""Every training is asked whether anything in it has seen the future, before anyone looks at its scores."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from forecasting.errors import LeakFound
from tasks.engine import step
from tasks.learning import challenger_of, model_of, spans_of
from tasks.market import macro_of, market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from forecasting.audit.features import AuditReport


@step(COMPUTE)
def audit(run: Run, origin: date) -> Receipt:
    """Look for leaks in the features, fitted numbers and split of the challenger, and store what was compared and found.

    LeakFound names the first one and ends the run before the gate; a run that is tried again finds the same.
    """
    from storage.audits import append_audit

    name = f"audit/{origin}"
    if not run.done(name):
        from forecasting.audit.training import audit_training

        model_id = challenger_of(run, origin)
        report = audit_training(model_of(run, model_id), market_of(run).until(origin), macro_of(run), spans_of(run, origin))
        with run.db.writing(run.lease, run.run_id, name) as tx:
            append_audit(tx, model_id, origin, report.findings, report.compared)
    report = _stored(run, origin)
    if report.findings:
        first, others = report.findings[0], len(report.findings) - 1
        more = f", and {others} more in the table audits" if others else ""
        raise LeakFound(first.what, f"{str(first).replace(f'{first.code} {first.what}', first.code, 1)}{more}")
    return Receipt(text=f"no leak in {report.compared:,} values" if report.compared else "too little data to look for leaks")


def leaks_of(run: Run, origin: date) -> tuple[str, ...] | None:
    """What the stored audit of the model trained at ``origin`` found, a sentence a leak; None where nothing was compared, or
    where there was no audit."""
    from forecasting.audit.training import sentences

    if ("leaks", origin) not in run.memo:
        run.memo["leaks", origin] = sentences(_stored(run, origin))
    return run.memo["leaks", origin]


def _stored(run: Run, origin: date) -> AuditReport:
    from forecasting.audit.features import AuditReport, Finding
    from storage.audits import audit_of

    with run.db.reading() as con:
        compared, rows = audit_of(con, run.run_id, origin) or (0, [])
    return AuditReport(tuple(Finding(*row) for row in rows), compared)
