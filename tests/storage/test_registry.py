"""Which models there are, how they were judged, and who serves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from storage.model_folders import save_model
from storage.registry import append_decision, append_evaluations, append_model, append_serving, current_serving
from tests.storage.by_hand import MONDAY, TUESDAY
from tests.storage.test_model_folders import ARRAYS, CARD


@dataclass
class Check:
    code: str = "G02"
    name: str = "better than rivals"
    verdict: str = "fail"
    sentence: str = "MASE 1.04 against 1.00"
    value: float | None = 1.04
    threshold: float | None = 1.0


def test_decisions_and_serving__tell_who_serves_and_why(home, db, lease):
    model_id = save_model(home, ARRAYS, CARD)
    day1, day2 = date(2024, 3, 4), date(2024, 3, 5)
    decisions = []
    for _attempt in range(2):  # as a killed run does it again
        with db.writing(lease, "run1", "gate") as tx:
            append_model(tx, model_id, day1, "global", CARD, day1, day1, day1, "d" * 64, MONDAY)
            metrics = {"forecaster": ["lstm"], "horizon": [1], "metric": ["pinball"], "value": [0.01], "n_rows": [10]}
            append_evaluations(tx, pd.DataFrame({"model_id": [model_id], **metrics, "n_sessions": [5], "span_start": [day1]}))
            decisions.append(append_decision(tx, model_id, day1, "lstm", "refused", "G02 ...", [Check()], "t", MONDAY))
            append_serving(tx, day1, model_id, "ewma", "best rival", decisions[-1], MONDAY)
    with db.writing(lease, "run2", "gate") as tx:
        append_serving(tx, day2, model_id, "lstm", "beat all", None, TUESDAY)
    assert decisions[0] == decisions[1]
    with db.reading() as con:
        now, then = current_serving(con), current_serving(con, until=day1)
        assert (now.position, now.forecaster, then.position, then.forecaster) == (2, "lstm", 1, "ewma")
        assert current_serving(con, until=date(2024, 3, 1)) is None
        assert con.execute("SELECT verdict, serving, forecaster FROM models").fetchall() == [("refused", True, "lstm")]
        assert con.execute("SELECT code, check_verdict, value FROM gate_decisions").fetchall() == [("G02", "fail", 1.04)]
        assert con.execute("SELECT metric, value FROM evaluations").fetchall() == [("pinball", 0.01)]
