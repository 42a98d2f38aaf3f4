"""After the day's scores: is what the serving model is asked, and what it answers, still what it was judged on?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.learning import model_of
from tasks.ledger import inputs_of, serving_at
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecasting.drift import Watched
    from storage.registry import Serving


@step(COMPUTE)
def watch(run: Run) -> Receipt:
    """Compare the serving model's features with those it learnt from, and its live scores with the rivals' and with what the
    gate was shown; store each figure. Beyond its threshold the next run trains, or the best rival serves from here on."""
    import pandas as pd

    from storage.drift import append_drift
    from storage.registry import append_serving

    name = f"watch/{run.origin}"
    if run.done(name):
        return Receipt(text="watched before")
    serving = serving_at(run, run.origin)
    found = _rested(run, [*_population(run, serving), *_live(run, serving)])
    columns = ("kind", "what", "horizon", "value", "threshold", "verdict", "action", "sentence")
    rows = [[getattr(one, column) for column in columns] for one in found]
    frame = pd.DataFrame(rows, columns=list(columns)).assign(origin=pd.Timestamp(run.origin), model_id=serving.model_id)
    frame = frame.astype({"value": "float64", "threshold": "float64"})
    fallen = [one for one in found if one.action == "fall_back"]
    with run.db.writing(run.lease, run.run_id, name) as tx:
        append_drift(tx, frame, run.now)
        if fallen:
            why = f"{serving.forecaster} stepped back for {fallen[0].rival}: {fallen[0].sentence}"
            append_serving(tx, run.origin, serving.model_id, fallen[0].rival, why, None, run.now)
    run.memo.pop(("serving", run.origin), None)  # who serves may be another one now
    for one in found:
        if one.action != "none":
            run.note(f"{one.sentence}; {_TOLD[one.action]}")
    drifted = sum(one.verdict == "drifted" for one in found)
    return Receipt(len(found), text=f"{drifted} of {len(found)} figures drifted")


_TOLD = {"retrain": "a challenger is due from the next run on", "fall_back": "the rival serves from now on, a training is due"}


def _population(run: Run, serving: Serving) -> list[Watched]:
    """Of the symbols that the model was trained on: the features of their last sessions, on rows it could learn from."""
    import numpy as np

    from forecasting.drift import BLOCK, watch_population
    from forecasting.inputs import learnable_rows, ready_rows

    model, inputs = model_of(run, serving.model_id), inputs_of(run, serving.model_id)
    panel, lookback = inputs.panel, model.spec.lookback
    learnt = np.isin(np.array(panel.symbols, dtype=object), np.array(model.market_symbols, dtype=object))
    rows = learnt[panel.symbol_index] & ready_rows(panel, inputs.targets, lookback) & learnable_rows(panel, lookback)
    after = panel.session > np.datetime64(str(model.card["spans"]["train_end"])[:10], "D")
    sessions = np.unique(panel.at[rows & after])[-BLOCK:]
    recent = rows & (panel.at >= sessions[0]) if len(sessions) else np.zeros(panel.rows, dtype=bool)
    return watch_population(model.arrays, inputs.names, inputs.values[recent], len(sessions), run.settings.drift)


def _live(run: Run, serving: Serving) -> list[Watched]:
    """Of the forecasts that it served and that settled, of every horizon."""
    from forecasting.drift import watch_coverage, watch_skill
    from forecasting.rivals import REFERENCE
    from storage.drift import judged_losses, scores_since

    modes = ("live", "backfill") if run.settings.drift.backfill else ("live",)
    with run.db.reading() as con:
        scores = scores_since(con, serving, run.origin, modes)
        judged = judged_losses(con, serving.model_id)
    ours, horizons = serving.forecaster, model_of(run, serving.model_id).spec.horizons
    losses = {h: _by_session(scores, h, "pinball", ours) for h in horizons}
    inside = {w: {h: _by_session(scores, h, f"inside_{w}", ours)[ours] for h in horizons} for w in (80, 90)}
    covered = {h: {f"coverage_{w}": inside[w][h] for w in inside} for h in horizons}
    known = {h: judged.get((ours, h), math.nan) / judged.get((REFERENCE, h), math.nan) for h in horizons}
    promised = {h: 1 - ratio for h, ratio in known.items() if math.isfinite(ratio)}
    return [
        *watch_skill(losses, ours, promised, REFERENCE, run.settings.drift),
        *watch_coverage(covered, ours, run.settings.drift),
    ]


def _by_session(scores: pd.DataFrame, horizon: int, column: str, ours: str) -> dict[str, np.ndarray]:
    """Each forecaster's mean over the symbols of a session, float64 [T], oldest first; ``ours`` is there even without any."""
    import numpy as np

    mine = scores[scores["horizon"] == horizon]
    if not (mine["forecaster"] == ours).any():
        return {ours: np.empty(0)}
    means = mine.astype({column: "float64"}).groupby(["origin", "forecaster"])[column].mean().unstack().dropna()
    return {name: means[name].to_numpy() for name in means.columns}


def _rested(run: Run, found: list[Watched]) -> list[Watched]:
    """Without the wish for a training where one was made only just now, and with the words for it."""
    from dataclasses import replace

    from forecasting.sessions import sessions_between
    from storage.registry import trained_origins
    from tasks.planning import calendar_of_run

    with run.db.reading() as con:
        newest = max((day for day in trained_origins(con) if day <= run.origin), default=None)
    age = None if newest is None else len(sessions_between(calendar_of_run(run), newest, run.origin)) - 1
    if age is None or age >= run.settings.drift.rest_sessions:
        return found
    waits = f"; a model was trained {age} sessions ago, the next because of drift not before {run.settings.drift.rest_sessions}"
    return [replace(w, action="none", sentence=w.sentence + waits) if w.action == "retrain" else w for w in found]
