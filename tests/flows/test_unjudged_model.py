"""A model whose run ended before the gate spoke must not stand in the way of the days after it."""

from __future__ import annotations

import pytest

from flows.daily import daily
from flows.parameters import Daily
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tasks.gating import gate
from tests.tiny import tiny_home


def test_daily__after_a_day_that_ended_between_training_and_gate_trains_and_forecasts(tmp_path, monkeypatch):
    home = tiny_home(tmp_path / "home")

    def ends(run, origin):
        raise RuntimeError("the process of that day died here")

    with monkeypatch.context() as patch:
        patch.setattr(gate, "fn", ends)
        with pytest.raises(RuntimeError, match="died here"):
            daily(Daily(home=str(home), origin="2021-03-31"))
    report = daily(Daily(home=str(home), origin="2021-04-05"))
    assert {f["origin"] for f in report["forecasts"]} == {"2021-04-05"}
    with open_snapshot(Home(home)) as con:
        models = ask(con, "SELECT DISTINCT origin::VARCHAR FROM store.models ORDER BY 1").rows
        judged = ask(con, "SELECT DISTINCT origin::VARCHAR FROM store.decisions").rows
    assert models == [("2021-03-31",), ("2021-04-05",)] and judged == [("2021-04-05",)]
