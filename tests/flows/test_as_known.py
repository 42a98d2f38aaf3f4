"""What was known then can be read now: a past day replayed from the store gives the ledger's forecasts bit for bit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from flows.daily import daily
from flows.parameters import Daily
from forecasting.models import rebuild
from forecasting.outlook import QUANTILE_COLUMNS, outlook
from forecasting.panel import Panel
from forecasting.sessions import sessions_between
from storage.bars import append_actions, append_bars, read_actions, read_bars
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.ledger import read_forecasts
from storage.model_folders import load_model
from storage.registry import current_serving
from tasks.ledger import target_session
from tests.tiny import SYMBOLS

ORIGIN = date(2021, 3, 31)


def replayed(home: Home, as_of: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forecasts of ORIGIN made from what was known at ``as_of``, and those in the ledger."""
    with Database(home).reading() as con:
        bars, actions = read_bars(con, until=ORIGIN, as_of=as_of), read_actions(con, until=ORIGIN, as_of=as_of)
        serving, ledger = current_serving(con, until=ORIGIN), read_forecasts(con, ORIGIN)
    sessions = sessions_between("XNYS", bars["session"].min().date(), ORIGIN)
    panel = Panel.from_frames(bars.drop(columns="basis"), actions, sessions)
    model = rebuild(*load_model(home, serving.model_id))
    frame, _ = outlook(model, model.inputs(panel), SYMBOLS, (ORIGIN,), target_session)
    order = ["symbol", "horizon", "forecaster"]
    return frame.sort_values(order, ignore_index=True), ledger.sort_values(order, ignore_index=True)


def same_bits(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    columns = [*QUANTILE_COLUMNS, "p_up", "scale", "close"]
    return np.array_equal(one[columns].to_numpy(), two[columns].to_numpy())


def test_replay__of_a_day_before_history_was_restated_gives_the_ledgers_bits(copied):
    """K14: a close of two weeks before the origin is corrected a day later, and a split of back then becomes known."""
    home = Home(copied)
    issued = datetime.now(UTC)
    fresh, ledger = replayed(home, issued)
    assert len(ledger) == 81 and same_bits(fresh, ledger)

    later, db = issued + timedelta(days=1), Database(home)
    with hold_lease(home, db, "test") as lease, db.writing(lease, "restated", "bars") as tx:
        bars = read_bars(tx.con, symbols=["AAA"], until=ORIGIN).drop(columns="basis")
        bars.loc[bars["session"] == "2021-03-17", ["high", "close"]] *= 1.1
        assert append_bars(tx, bars, "synthetic", "as_traded", later).revised == 1
        split = pd.DataFrame({"symbol": ["BBB"], "session": pd.to_datetime(["2021-03-10"]), "kind": ["split"], "value": [2.0]})
        append_actions(tx, split, "synthetic", later)

    then, _ = replayed(home, issued)
    now, _ = replayed(home, later)
    assert same_bits(then, ledger)

    def changed(of_network: bool) -> list[str]:
        some, issued_then = (f[(f.forecaster == "lstm") == of_network] for f in (now, ledger))
        return [s for s in SYMBOLS if not same_bits(some[some.symbol == s], issued_then[issued_then.symbol == s])]

    assert changed(of_network=False) == ["AAA", "BBB"]  # what is known now would have given others for exactly these two
    assert changed(of_network=True) == ["AAA", "BBB", "CCC"]  # the width is corrected by what all of them missed


def test_ledger__keeps_the_first_forecast_of_a_session_when_the_day_is_asked_for_again(copied):
    """A run with a newer model at the same origin adds nothing to what was issued."""
    with Database(Home(copied)).reading() as con:
        before = read_forecasts(con, ORIGIN)
    daily(Daily(home=str(copied), origin=str(ORIGIN), retrain=True))
    with Database(Home(copied)).reading() as con:
        pd.testing.assert_frame_equal(read_forecasts(con, ORIGIN), before)
