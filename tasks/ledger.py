"""The ledger's days: the features of an origin, its forecasts, and the scores of what settled."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING

from forecasting.errors import DataError, UntrustedModel
from tasks.engine import step
from tasks.learning import model_of
from tasks.market import data_digest, macro_of, market_of
from tasks.policies import COMPUTE, DATABASE
from tasks.run import CLOSED, Receipt, Refusal, Run, refusal_of, refusal_rows, short_digest
from tasks.universe import silent_in

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.inputs import Inputs
    from forecasting.outlook import Refused
    from storage.registry import Serving

Sessions = tuple[date, ...]


@step(COMPUTE)
def store_features(run: Run, sessions: Sessions) -> Receipt:
    """Keep what the serving model was told about each symbol at each of ``sessions``."""
    import numpy as np
    import pandas as pd

    from storage.features import append_features

    name = f"store_features/{_span(sessions)}"
    if run.done(name):
        return Receipt(text="stored before")
    inputs = inputs_of(run, serving_at(run, sessions[0]).model_id)
    panel, names = inputs.panel, inputs.names
    wanted = np.isin(np.array(panel.symbols, dtype=object), np.array(run.symbols, dtype=object))[panel.symbol_index]
    here = np.flatnonzero(wanted & np.isin(panel.session, np.array(sessions, dtype="datetime64[D]")))
    frame = pd.DataFrame(
        {
            "symbol": np.repeat(np.array(panel.symbols, dtype=object)[panel.symbol_index[here]], len(names)),
            "session": np.repeat(panel.session[here].astype("datetime64[us]"), len(names)),
            "feature": np.tile(np.array(names, dtype=object), len(here)),
            "value": inputs.values[here].astype(np.float64).ravel(),
        }
    )
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = append_features(tx, frame, short_digest(names)).stored
    return Receipt(rows, text=f"{rows:,} values")


def stay_without(run: Run, sessions: Sessions) -> bool:
    """Whether past ``sessions`` get no forecast because the model that served then cannot be used any more; said in a note.
    The session of today is not let go like that: it fails for as long as nobody else serves."""
    if run.origin in sessions:
        return False
    try:
        model_of(run, serving_at(run, sessions[0]).model_id)
    except UntrustedModel as error:
        run.note(
            f"no forecasts for {_span(sessions)}, since who served then cannot be used: {error}; `nextclose backfill --start "
            f"{sessions[0]}` makes them once it can"
        )
        return True
    return False


@step(COMPUTE)
def forecast(run: Run, sessions: Sessions) -> Receipt:
    """Forecast every symbol from each of ``sessions`` with the serving model and its rivals; append to the ledger.

    One model serves all of ``sessions`` (see ``plan_days``). A forecast is ``live`` when it is issued before the close of
    its first target session, otherwise ``backfill``: its outcome was there to be known, even if this run did not look.
    """
    import pandas as pd

    from forecasting.outlook import outlook
    from forecasting.schemas import Forecasts
    from storage.ledger import append_forecasts
    from storage.quarantine import append_quarantine

    name = f"forecast/{_span(sessions)}"
    if run.done(name):
        return Receipt(text="forecast before")
    serving = serving_at(run, sessions[0])
    model, inputs, macro = model_of(run, serving.model_id), inputs_of(run, serving.model_id), macro_of(run)
    symbols = [symbol for symbol in run.symbols if symbol not in run.refusals]
    frame, refused = outlook(model, inputs, symbols, list(sessions), target_session)
    frame, refused, wild = _without_the_wild(frame, refused, serving.forecaster)
    late = {symbol: error for symbol, origin, error in refused if origin == run.origin}
    if late and not (frame["origin"] == pd.Timestamp(run.origin)).any():
        first = next(iter(late.values()))
        raise first if len(late) == 1 else DataError(f"none of {len(late)} symbols can be forecast from {run.origin}; {first}")
    silent = silent_in(run) if late else {}  # a flow that brings in no prices has not asked yet who still trades
    for symbol, error in late.items():  # on a day long past a symbol may simply not have begun yet
        run.refuse(_closed(symbol, run.origin) or silent.get(symbol) or refusal_of(symbol, error))
    used, origin = sorted({*model.market_symbols, *run.symbols}), frame["origin"].dt.date
    digests = {session: data_digest(inputs.panel, macro, used, session) for session in sessions}
    first = min(model.spec.horizons)
    frame = frame.assign(
        model_id=serving.model_id,
        serving=frame["forecaster"] == serving.forecaster,
        mode=[_mode(symbol, day, first, run.now) for symbol, day in zip(frame["symbol"], origin, strict=True)],
        data_digest=origin.map(digests),
        issued_at=run.now,
        as_of=run.now,
    )
    if len(frame):
        Forecasts.validate(frame)  # the door to the ledger: nothing that crosses, or is no number, is ever issued
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = append_forecasts(tx, frame).stored
        if late:
            rows_late = refusal_rows([run.refusals[symbol] for symbol in late], run.origin)
            append_quarantine(tx, rows_late, run.source_name or "stored", run.now)
    return Receipt(rows, text=f"{rows:,} forecasts" + (f"; wild answers of rivals: {wild}" if wild else ""))


def _closed(symbol: str, origin: date) -> Refusal | None:
    """Why it cannot have a forecast from ``origin``, where that is no session of its exchange."""
    from forecasting.sessions import calendar_of, is_session

    calendar = calendar_of(symbol)
    if is_session(calendar, origin):
        return None
    return Refusal(symbol, CLOSED, f"{symbol} gets no forecast from {origin}, which is no session of {calendar}")


def _without_the_wild(frame: pd.DataFrame, refused: list[Refused], serving: str) -> tuple[pd.DataFrame, list[Refused], int]:
    """A symbol whose served forecast is held back gets none at all, as every other that is refused. What a rival says stays, so
    that its record is no better than it is; how often one was wild is counted."""
    import pandas as pd

    from forecasting.errors import WildForecast

    wild = [(symbol, origin, error) for symbol, origin, error in refused if isinstance(error, WildForecast)]
    served = {(symbol, pd.Timestamp(origin)) for symbol, origin, error in wild if error.forecaster == serving}
    if served:
        gone = pd.MultiIndex.from_frame(frame[["symbol", "origin"]]).isin(served)
        frame = frame[~gone].reset_index(drop=True)
    of_rivals = [one for one in wild if one[2].forecaster != serving]
    return frame, [one for one in refused if one not in of_rivals], len(of_rivals)


@step(DATABASE)
def score(run: Run, sessions: Sessions) -> Receipt:
    """Score every forecast that settled by the last of ``sessions``, but not against bars restated when they came last, which
    may be wrong for just that evening: a score stays for ever."""
    from storage.ledger import score_settled
    from storage.quality import still_restated

    name = f"score/{_span(sessions)}"
    if run.done(name):
        return Receipt(text="scored before")
    with run.db.writing(run.lease, run.run_id, name) as tx:
        rows = score_settled(tx, sessions[-1], run.run_id, run.now, still_restated(tx.con, run.origin))
    return Receipt(rows, text=f"{rows:,} forecasts settled")


@cache
def target_session(symbol: str, origin: date, horizon: int) -> date:
    """The session of the symbol's exchange that is ``horizon`` sessions after ``origin``."""
    from forecasting.sessions import add_sessions, calendar_of

    return add_sessions(calendar_of(symbol), origin, horizon)


def _mode(symbol: str, origin: date, horizon: int, now: datetime) -> str:
    return "live" if now < _close_of(symbol, target_session(symbol, origin, horizon)) else "backfill"


@cache
def _close_of(symbol: str, session: date) -> datetime:
    from forecasting.sessions import calendar_of, closes_at

    return closes_at(calendar_of(symbol), session)


def serving_at(run: Run, session: date) -> Serving:
    """Who serves at ``session``: the last one chosen at or before it, so that no model knows what came after."""
    if ("serving", session) not in run.memo:
        from storage.registry import current_serving

        with run.db.reading() as con:
            serving = current_serving(con, until=session)
        if serving is None:
            raise DataError(f"no model was trained by {session}; run `nextclose retrain --origin {session}` first")
        run.memo["serving", session] = serving
    return run.memo["serving", session]


def inputs_of(run: Run, model_id: str) -> Inputs:
    if ("inputs", model_id) not in run.memo:
        run.memo["inputs", model_id] = model_of(run, model_id).inputs(market_of(run), macro_of(run))
    return run.memo["inputs", model_id]


def _span(sessions: Sessions) -> str:
    return f"{sessions[0]}..{sessions[-1]}"
