"""The ledger of ranks: where each symbol's return may rank among the universe's, and the scores of what settled."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.learning import model_of
from tasks.ledger import serving_at
from tasks.market import market_known, market_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecasting.joint import Chances


@step(COMPUTE)
def rank(run: Run, sessions: tuple[date, ...]) -> Receipt:
    """Append the chances of each fifth for what was forecast from each of ``sessions``, and score the ranks that settled.

    Goes after ``forecast`` and ``score``: it reads the widths that were issued and the outcomes that were stored. Symbols are
    ranked together that share origin and target session at the longest horizon; fewer than five are not ranked. What an
    earlier run forecast, and died before it ranked it, is ranked first, as ``backfill`` and in that run's name.
    """
    import pandas as pd

    from storage.ledger import read_forecasts
    from storage.ranks import append_ranks, left_unranked, score_ranks

    name = f"rank/{sessions[0]}..{sessions[-1]}"
    if run.done(name):
        return Receipt(text="ranked before")
    serving = serving_at(run, sessions[0])
    horizon = max(model_of(run, serving.model_id).spec.horizons)
    with run.db.reading() as con:
        left = left_unranked(con, sessions[0])
    parts = []
    for session, longest, issuer in [*left, *((session, horizon, run.run_id) for session in sessions)]:
        with run.db.reading() as con:
            chosen = company_at(read_forecasts(con, session), longest, issuer)
        if late := issuer != run.run_id:
            chosen = chosen.assign(mode="backfill")
        parts += [_ranked(run, session, company, late) for _, company in chosen.groupby("target_session")]
    frame = pd.concat(parts, ignore_index=True) if (parts := [part for part in parts if len(part)]) else None
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = 0 if frame is None else append_ranks(tx, frame.assign(issued_at=run.now)).stored
        scored = score_ranks(tx, sessions[-1], run.run_id, run.now)
    return Receipt(rows, text=f"{rows:,} rank forecasts, {scored:,} settled")


def _ranked(run: Run, session: date, company: pd.DataFrame, late: bool) -> pd.DataFrame:
    """Both forecasters' rows for the symbols of ``company`` (rows of the ledger with one origin and target session); ``late``:
    from what was known when those were issued, not from what is known now."""
    import pandas as pd

    from forecasting import joint

    if len(company) < joint.MINIMUM:
        return pd.DataFrame()
    symbols, served = tuple(company["symbol"]), served_by(company)
    if late:
        with run.db.reading() as con:
            known_then = market_known(con, session, company["as_of"].fillna(company["issued_at"]).max())
        returns = joint.session_returns(known_then, symbols)
    else:
        returns = _returns(run, session, symbols)
    chances = company_chances(returns, session, company, served)
    same = ["symbol", "origin", "horizon", "target_session", "model_id", "mode", "data_digest", "run_id"]
    return pd.concat(
        [
            company[same].assign(
                forecaster=name, serving=name == served, symbols=len(symbols), p_up=answer.up,
                **{f"p{k + 1}": answer.fifths[:, k] for k in range(joint.FIFTHS)},
            )
            for name, answer in chances.items()
        ],
        ignore_index=True,
    )  # fmt: skip


def _returns(run: Run, session: date, symbols: tuple[str, ...]) -> np.ndarray:
    """The session returns of ``symbols`` up to ``session``; those of one company are kept for the next session."""
    import numpy as np

    from forecasting import joint

    known = run.memo.setdefault("session_returns", {})
    if symbols not in known:
        known.clear()
        known[symbols] = joint.session_returns(market_of(run), symbols)
    return known[symbols][: int(market_of(run).sessions.searchsorted(np.datetime64(session, "D"), side="right"))]


def served_by(company: pd.DataFrame) -> str:
    """Who served the symbols of ``company``: one, since one run issued it at one session."""
    return str(company["forecaster"].iloc[0])


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
