"""A challenger is scored beside every rival and the champion, on the same rows, which it never saw."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from forecasting.errors import InputError, UntrustedModel
from forecasting.judging.evaluation import CHAMPION
from tasks.engine import step
from tasks.learning import challenger_of, model_of, show_progress, spans_of
from tasks.market import macro_of, market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run
from tasks.sectors import read_sectors

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.judging.evaluation import Evaluation
    from forecasting.judging.judgement import Judgement
    from forecasting.models import Fitted

__all__ = ["CHAMPION", "evaluate", "evaluation_of", "judgement_of"]


@step(COMPUTE)
def evaluate(run: Run, origin: date) -> Receipt:
    """Score the challenger, every rival and the champion on the same rows of the test span; store the metrics, whole and by
    year, market regime, sector and symbol."""
    from storage.registry import append_evaluations
    from storage.slices import append_slices

    name = f"evaluate/{origin}"
    if run.done(name):
        return Receipt(text="judged before")
    model_id = challenger_of(run, origin)
    evaluation = evaluation_of(run, model_id, origin)
    table = _with_portfolios(judgement_of(run, model_id, origin))
    rows = table.assign(model_id=model_id, span_start=evaluation.span[0], span_end=evaluation.span[1])
    with run.db.writing(run.lease, run.run_id, name) as tx:
        append_evaluations(tx, rows)
        append_slices(tx, model_id, evaluation.slices)
    skill = ", ".join(f"{evaluation.skill('lstm', 'ewma', h):+.2%} at {h}" for h in evaluation.horizons)
    text = f"skill against EWMA {skill} sessions, {evaluation.span[0]} to {evaluation.span[1]}"
    return Receipt(len(rows) + len(evaluation.slices), text=text)


def _with_portfolios(judgement: Judgement) -> pd.DataFrame:
    """The table of scores, and what the paper portfolio of each forecaster did as metrics ``portfolio_...``."""
    import pandas as pd

    rows = [
        (name, judgement.portfolio_horizon, f"portfolio_{figure}", value, figures["sessions"], figures["sessions"])
        for name, paper in judgement.portfolio.items()
        for figures in (paper.as_report(),)
        for figure, value in figures.items()
        if figure != "sessions"
    ]
    columns = ["forecaster", "horizon", "metric", "value", "n_rows", "n_sessions"]
    table = judgement.evaluation.table
    return pd.concat([table, pd.DataFrame(rows, columns=columns)], ignore_index=True) if rows else table


def evaluation_of(run: Run, model_id: str, origin: date) -> Evaluation:
    """The scores that the gate decides by."""
    return judgement_of(run, model_id, origin).evaluation


def judgement_of(run: Run, model_id: str, origin: date) -> Judgement:
    """Computed once a run; after a kill between judging and deciding it is computed again, to the same numbers."""
    if ("judgement", model_id) not in run.memo:
        from forecasting.judging.judgement import ask, judged
        from storage.registry import current_serving

        with run.db.reading() as con:
            serving = current_serving(con, until=origin)
        reigns = serving is not None and serving.forecaster == "lstm" and serving.model_id != model_id
        others = {CHAMPION: champion} if reigns and (champion := _champion(run, serving.model_id)) else None
        panel, macro = market_of(run).until(origin), macro_of(run)
        answers = ask(model_of(run, model_id), panel, macro, spans_of(run, origin), others, progress=show_progress)
        run.memo["judgement", model_id] = judged(answers, _sectors(run), run.settings.evaluation.cost_bps, run.symbols)
    return run.memo["judgement", model_id]


def _champion(run: Run, model_id: str) -> Fitted | None:
    """The model that serves; None where it can no longer be used, since then it cannot go on serving either."""
    try:
        return model_of(run, model_id)
    except UntrustedModel as error:
        run.note(f"the model that served, {model_id[:16]}, is not among those compared: {error}")
        return None


def _sectors(run: Run) -> dict[str, str] | None:
    """Of the file that the settings name; a file that cannot be read costs the cut by sector, not the day."""
    if run.settings.universe.sectors is None:
        return None
    try:
        return read_sectors(run.settings.universe.sectors)
    except InputError as error:
        run.note(f"no results by sector: {error}")
        return None
