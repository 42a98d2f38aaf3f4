"""The ledger of ranks: where each symbol's return may rank among the universe's, and the scores of what settled."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from forecasting.errors import NextcloseError
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
    earlier run forecast, and died before it ranked it, is ranked afterwards, as ``backfill`` and in that run's name.
    """
    import pandas as pd

    from forecasting.joint import MINIMUM
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
        parts += [
            _ranked(session, company, _returns(run, session, tuple(company["symbol"])))
            for _, company in chosen.groupby("target_session")
            if len(company) >= MINIMUM
        ]
    frame = pd.concat(parts, ignore_index=True) if parts else None
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = 0 if frame is None else append_ranks(tx, frame.assign(issued_at=run.now)).stored
        scored = score_ranks(tx, sessions[-1], run.run_id, run.now)
    try:
        late = _rank_left(run, sessions[-1])
    except NextcloseError as error:  # of another day: it must not hold up this one
        late = 0
        run.note(f"the ranks that an earlier run left out could not be made up for: {error}")
    return Receipt(rows + late, text=f"{rows:,} rank forecasts, {scored:,} settled" + (f", {late:,} of before" if late else ""))


def _rank_left(run: Run, before: date) -> int:
    """Rank what was forecast ``before`` a session by runs that died before they ranked it; how many rows."""
    import pandas as pd

    from forecasting.joint import MINIMUM, session_returns
    from storage.ledger import read_forecasts
    from storage.ranks import RANK_KEY, append_ranks, left_unranked

    with run.db.reading() as con:
        left = left_unranked(con, before, MINIMUM)
    parts = []
    for session, horizon, issuer in left:
        with run.db.reading() as con:
            chosen = company_at(read_forecasts(con, session), horizon, issuer).assign(mode="backfill")
            known_then = market_known(con, session, chosen["as_of"].fillna(chosen["issued_at"]).max())
        parts += [
            _ranked(session, company, session_returns(known_then, tuple(company["symbol"])))
            for _, company in chosen.groupby("target_session")
            if len(company) >= MINIMUM
        ]
    if not parts:
        return 0
    frame = pd.concat(parts, ignore_index=True).drop_duplicates(list(RANK_KEY))
    with run.db.writing(run.lease, run.run_id, f"rank_left/{before}") as tx:
        return append_ranks(tx, frame.assign(issued_at=run.now)).stored


def _ranked(session: date, company: pd.DataFrame, returns: np.ndarray) -> pd.DataFrame:
    """Both forecasters' rows for the symbols of ``company`` (rows of the ledger with one origin and target session), from
    their session ``returns`` up to it."""
    import pandas as pd

    from forecasting import joint

    served = served_by(company)
    chances = company_chances(returns, session, company, served)
    same = ["symbol", "origin", "horizon", "target_session", "model_id", "mode", "data_digest", "run_id"]
    return pd.concat(
        [
            company[same].assign(
                forecaster=name, serving=name == served, symbols=len(company), p_up=answer.up,
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
