"""The gate decides on a challenger, and says who serves from now on."""

from __future__ import annotations

from datetime import date

from tasks.auditing import leaks_of
from tasks.engine import step
from tasks.judging import CHAMPION, evaluation_of
from tasks.learning import challenger_of, model_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run


@step(COMPUTE)
def gate(run: Run, origin: date) -> Receipt:
    """Let the gate decide on the challenger, and store its decision, its checks and who serves from now on."""
    from forecasting.gate import decide
    from storage.registry import append_decision, append_serving

    name = f"gate/{origin}"
    if run.done(name):
        return Receipt(text="decided before")
    model_id = challenger_of(run, origin)
    evaluation = evaluation_of(run, model_id, origin)
    champion = CHAMPION if CHAMPION in evaluation.forecasters else None
    decision = decide(
        evaluation, run.settings.gate, champion=champion, weights=model_of(run, model_id).arrays, leaks=leaks_of(run, origin)
    )
    with run.db.writing(run.lease, run.run_id, name) as tx:
        decision_id = append_decision(
            tx,
            model_id,
            origin,
            "lstm",
            decision.verdict,
            decision.sentence,
            decision.checks,
            decision.thresholds_digest,
            run.now,
        )
        if decision.serves != CHAMPION:
            append_serving(tx, origin, model_id, decision.serves, decision.why, decision_id, run.now)
    return Receipt(1, {"verdict": decision.verdict, "serves": decision.serves}, f"{decision.verdict}: {decision.sentence}")
