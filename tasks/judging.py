"""A challenger is scored beside every rival and the champion, on the same rows, which it never saw."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.learning import challenger_of, model_of, show_progress, spans_of
from tasks.market import macro_of, market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from forecasting.evaluation import Evaluation

CHAMPION = "champion"  # what the reigning network is called among the forecasters of an evaluation


@step(COMPUTE)
def evaluate(run: Run, origin: date) -> Receipt:
    """Score the challenger, every rival and the champion on the same rows of the test span; store the metrics."""
    from storage.registry import append_evaluations

    name = f"evaluate/{origin}"
    if run.done(name):
        return Receipt(text="judged before")
    model_id = challenger_of(run, origin)
    evaluation = evaluation_of(run, model_id, origin)
    rows = evaluation.table.assign(model_id=model_id, span_start=evaluation.span[0], span_end=evaluation.span[1])
    with run.db.writing(run.lease, run.run_id, name) as tx:
        append_evaluations(tx, rows)
    skill = ", ".join(f"{evaluation.skill('lstm', 'ewma', h):+.2%} at {h}" for h in evaluation.horizons)
    return Receipt(len(rows), text=f"skill against EWMA {skill} sessions, {evaluation.span[0]} to {evaluation.span[1]}")


def evaluation_of(run: Run, model_id: str, origin: date) -> Evaluation:
    """Computed once a run; after a kill between judging and deciding it is computed again, to the same numbers."""
    if ("evaluation", model_id) not in run.memo:
        from forecasting.backtest import judge
        from storage.registry import current_serving

        with run.db.reading() as con:
            serving = current_serving(con, until=origin)
        reigns = serving is not None and serving.forecaster == "lstm" and serving.model_id != model_id
        others = {CHAMPION: model_of(run, serving.model_id)} if reigns else None
        panel, macro = market_of(run).until(origin), macro_of(run)
        run.memo["evaluation", model_id] = judge(
            model_of(run, model_id), panel, macro, spans_of(run, origin), others, progress=show_progress
        )  # fmt: skip
    return run.memo["evaluation", model_id]
