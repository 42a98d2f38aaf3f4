"""The gate decides on a challenger, and says who serves from now on."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from tasks.auditing import leaks_of
from tasks.engine import step
from tasks.judging import CHAMPION, evaluation_of
from tasks.learning import challenger_of, model_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from forecasting.judging.gate import Decision
    from storage.database import Tx

CHALLENGER = "lstm"


@step(COMPUTE)
def gate(run: Run, origin: date) -> Receipt:
    """Let the gate decide on the challenger, and store its decision, its checks and who serves from now on.

    The level of its tests is corrected for the trials behind the specification and for the challengers that were judged at
    this origin before. Where the settings want a person's yes, one that passed waits for it.
    """
    from forecasting.judging.gate import decide
    from storage.approvals import challengers_before
    from storage.registry import append_decision
    from storage.trials import trials_behind

    name = f"gate/{origin}"
    if run.done(name):
        return Receipt(text="decided before")
    model_id = challenger_of(run, origin)
    model, evaluation = model_of(run, model_id), evaluation_of(run, model_id, origin)
    champion = CHAMPION if CHAMPION in evaluation.forecasters else None
    with run.db.reading() as con:
        trials = trials_behind(con, model.spec.digest) + challengers_before(con, origin, besides=model_id)
    decision = decide(
        evaluation, run.settings.gate, champion=champion, weights=model.arrays, leaks=leaks_of(run, origin), trials=trials,
        fixed=model.card.get("thresholds_digest", ""),
    )  # fmt: skip
    with run.db.writing(run.lease, run.run_id, name) as tx:
        decision_id = append_decision(
            tx,
            model_id,
            origin,
            CHALLENGER,
            decision.verdict,
            decision.sentence,
            decision.checks,
            decision.thresholds_digest,
            run.now,
        )
        serves = _put_in_service(run, tx, origin, model_id, decision, decision_id)
    return Receipt(1, {"verdict": decision.verdict, "serves": serves}, f"{decision.verdict}: {decision.sentence}")


def _put_in_service(run: Run, tx: Tx, origin: date, model_id: str, decision: Decision, decision_id: str) -> str:
    """Store who serves after ``decision``, and return it: the challenger, the champion, a rival; or whoever does now, while the
    challenger waits for a person."""
    from storage.approvals import append_approval
    from storage.registry import append_serving, current_serving

    if decision.serves == CHAMPION:
        return CHAMPION
    serving = current_serving(tx.con, until=origin)
    in_service = serving is not None and (serving.model_id, serving.forecaster) == (model_id, CHALLENGER)
    if decision.verdict != "promoted" or in_service or not run.settings.promotion.approval:
        append_serving(tx, origin, model_id, decision.serves, decision.why, decision_id, run.now)
        return decision.serves
    append_approval(
        tx, origin=origin, model_id=model_id, forecaster=CHALLENGER, decision_id=decision_id, state="pending", by_whom=None,
        reason=decision.why, answered_at=run.now,
    )  # fmt: skip
    run.note(
        f"model {model_id[:16]} passed the gate and waits for a yes: type `nextclose promote {model_id[:8]} --reason TEXT`, "
        "with --reject for a no"
    )
    if serving is not None:
        return serving.forecaster
    why = f"it has the lowest loss of the rivals, and {CHALLENGER} waits for a yes"
    append_serving(tx, origin, model_id, decision.best_rival, why, decision_id, run.now)
    return decision.best_rival
