"""The ledger of ranks: where each symbol's return may rank among the universe's, and the scores of what settled."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.learning import model_of
from tasks.ledger import serving_at
from tasks.market import market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecasting.joint import Chances
    from storage.registry import Serving


@step(COMPUTE)
def rank(run: Run, sessions: tuple[date, ...]) -> Receipt:
    """Append the chances of each fifth for what was forecast from each of ``sessions``, and score the ranks that settled.

    Goes after ``forecast`` and ``score``: it reads the widths that were issued and the outcomes that were stored. Symbols are
    ranked together that share origin and target session at the longest horizon; fewer than five are not ranked.
    """
    import pandas as pd

    from storage.ledger import read_forecasts
    from storage.ranks import append_ranks, score_ranks

    name = f"rank/{sessions[0]}..{sessions[-1]}"
    if run.done(name):
        return Receipt(text="ranked before")
    serving = serving_at(run, sessions[0])
    horizon = max(model_of(run, serving.model_id).spec.horizons)
    parts = []
    for session in sessions:
        with run.db.reading() as con:
            issued = read_forecasts(con, session)
        chosen = company_at(issued, horizon, run.run_id)
        parts += [_ranked(run, serving, session, company) for _, company in chosen.groupby("target_session")]
    frame = pd.concat(parts, ignore_index=True) if (parts := [part for part in parts if len(part)]) else None
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = 0 if frame is None else append_ranks(tx, frame.assign(issued_at=run.now)).stored
        scored = score_ranks(tx, sessions[-1], run.run_id, run.now)
    return Receipt(rows, text=f"{rows:,} rank forecasts, {scored:,} settled")


def _ranked(run: Run, serving: Serving, session: date, company: pd.DataFrame) -> pd.DataFrame:
    """Both forecasters' rows for the symbols of ``company`` (rows of the ledger with one origin and target session)."""
    import numpy as np
    import pandas as pd

    from forecasting import joint

    if len(company) < joint.MINIMUM:
        return pd.DataFrame()
    symbols = tuple(company["symbol"])
    known = run.memo.setdefault("session_returns", {})
    if symbols not in known:
        known.clear()
        known[symbols] = joint.session_returns(market_of(run), symbols)
    returns = known[symbols][: int(market_of(run).sessions.searchsorted(np.datetime64(session, "D"), side="right"))]
    chances = company_chances(returns, session, company, serving.forecaster)
    same = ["symbol", "origin", "horizon", "target_session", "model_id", "mode", "data_digest"]
    return pd.concat(
        [
            company[same].assign(
                forecaster=name, serving=name == serving.forecaster, symbols=len(symbols), p_up=answer.up,
                **{f"p{k + 1}": answer.fifths[:, k] for k in range(joint.FIFTHS)},
            )
            for name, answer in chances.items()
        ],
        ignore_index=True,
    )  # fmt: skip


def company_at(issued: pd.DataFrame, horizon: int, run_id: str) -> pd.DataFrame:
    """Of the ledger's rows of one origin, those that ``run_id`` issued of whoever served at ``horizon``."""
    return issued[issued["serving"].astype(bool) & (issued["horizon"] == horizon) & (issued["run_id"] == run_id)]


def company_chances(returns: np.ndarray, session: date, company: pd.DataFrame, forecaster: str) -> dict[str, Chances]:
    """The chances of the symbols of ``company`` (rows of the ledger with one origin, horizon and target session), by the
    ``forecaster`` that served and by the rival. ``returns`` float64 [T, S]: their session returns up to ``session``."""
    import numpy as np

    from forecasting import joint

    q10, q50, q90, close = (company[c].to_numpy(dtype=np.float64) for c in ("q10", "q50", "q90", "close"))
    horizon, seed = int(company["horizon"].iloc[0]), joint.seed_of(np.datetime64(session, "D"))
    return {
        forecaster: joint.modelled(returns, horizon, np.log(q50 / close), np.log(q90 / q10), seed),
        joint.RIVAL: joint.bootstrap(returns, horizon, seed),
    }
