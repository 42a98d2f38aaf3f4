"""A training that fails, or a model that cannot be used any more, does not take the day with it where somebody serves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flows.backfill import backfill
from flows.daily import daily
from flows.parameters import Backfill, Daily, Retrain
from flows.retrain import retrain
from forecasting.errors import RivalFileError, TimedOut, UntrustedModel
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tasks.learning import _loaded
from tasks.prefect_events import GATE_CLOSED, Fact, facts_of
from tests.tiny import SYMBOLS


def rows(home, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return ask(con, sql).rows


def serving(home) -> tuple[str, str]:
    return rows(home, "SELECT model_id, forecaster FROM store.serving ORDER BY origin DESC, position DESC LIMIT 1")[0]


@pytest.mark.parametrize(
    "error", [TimedOut("train", 14400), MemoryError("12 GB wanted"), RivalFileError("mine.py", "fit: boom", "mend it")]
)
def test_daily__whose_training_fails_goes_on_with_who_serves(copied, monkeypatch, error):
    import flows.challenge

    def fails(run, origin) -> None:
        raise error

    day = "2021-04-06"
    served = serving(copied)
    with monkeypatch.context() as patch:
        patch.setattr(flows.challenge, "train", fails)
        report = daily(Daily(home=str(copied), origin=day, retrain=True))
    assert report["status"] == "degraded" and report["not_trained"].startswith(f"no model could be trained at {day}: ")
    assert str(error) in report["not_trained"] and report["notes"][0].endswith(f"of model {served[0][:16]} serves on")
    assert {f["symbol"] for f in report["forecasts"]} == set(SYMBOLS) and serving(copied) == served
    assert Fact(GATE_CLOSED, report["not_trained"]) in facts_of("daily", report)
    again = daily(Daily(home=str(copied), origin=day, retrain=True))
    assert again["already_done"] and again["digest"] == report["digest"]


def test_training__that_failed_is_not_tried_again_every_evening(copied, monkeypatch):
    """Due every third session, two of rest: it fails on the 6th, waits on the 7th, and is tried on the 8th or by hand."""
    import flows.challenge

    tried = []

    def fails(run, origin) -> None:
        tried.append(str(origin))
        raise MemoryError("12 GB wanted")

    with (copied / "settings.toml").open("a") as file:
        file.write("\n[retraining]\nafter_sessions = 2\nagain_after_sessions = 2\n")
    with monkeypatch.context() as patch:
        patch.setattr(flows.challenge, "train", fails)
        reports = [daily(Daily(home=str(copied), origin=f"2021-04-0{day}")) for day in (6, 7)]
        assert tried == ["2021-04-06"] and [report["status"] for report in reports] == ["degraded", "completed"]
        waits = "a training is due; the last one failed, the next is tried from 2021-04-08 on, by `nextclose retrain` at once"
        assert waits in reports[1]["notes"] and len(reports[1]["forecasts"]) == len(reports[0]["forecasts"])
        with pytest.raises(MemoryError):
            retrain(Retrain(home=str(copied), origin="2021-04-07", force=False))
    mended = daily(Daily(home=str(copied), origin="2021-04-08"))
    assert mended["decision"]["origin"] == "2021-04-08" and mended["not_trained"] is None


def test_training__of_which_the_process_dies_does_not_take_every_evening_with_it(copied):
    """As where memory is short and the kernel kills: three runs of the day die in it, the fourth goes on without."""
    dies = (
        "import os, sys; import flows.challenge; from flows.daily import daily; from flows.parameters import Daily; "
        "flows.challenge.train = lambda run, origin: os._exit(9); "
        "daily(Daily(home=sys.argv[1], origin='2021-04-06', retrain=True))"
    )
    ends = [subprocess.run([sys.executable, "-c", dies, str(copied)], check=False).returncode for _ in range(3)]
    report = daily(Daily(home=str(copied), origin="2021-04-06", retrain=True))
    assert ends == [9, 9, 9] and len(report["forecasts"]) > 0
    assert "the last 3 runs died on the way; where that was for want of memory" in report["not_trained"]


def test_daily__after_a_damaged_champion_and_a_new_one_leaves_the_missed_sessions_out(copied):
    """The champion is damaged after 31 March; nothing runs until 7 April, when a new one is trained before the day."""
    model = serving(copied)[0]
    card = copied / "models" / model / "card.json"
    whole = card.read_bytes()
    card.chmod(0o644)
    card.write_bytes(whole.replace(b"{", b"[", 1))
    _loaded.cache_clear()
    with pytest.raises(UntrustedModel):
        daily(Daily(home=str(copied), origin="2021-04-07"))
    new = retrain(Retrain(home=str(copied), origin="2021-04-07"))
    report = daily(Daily(home=str(copied), origin="2021-04-07"))
    assert report["serving"]["model_id"] == new["serving"]["model_id"] != model
    assert any(note.startswith("no forecasts for 2021-04-01..2021-04-06, since who served then") for note in report["notes"])
    assert rows(copied, "SELECT DISTINCT origin::VARCHAR FROM store.forecasts WHERE origin > DATE '2021-04-01'") == [
        ("2021-04-07",)
    ]
    card.write_bytes(whole)
    backfill(Backfill(home=str(copied), start="2021-04-01", end="2021-04-07"))
    made = "SELECT DISTINCT origin::VARCHAR AS o, mode, model_id FROM store.forecasts WHERE origin > '2021-04-01' ORDER BY o"
    assert rows(copied, made)[:2] == [("2021-04-05", "backfill", model), ("2021-04-06", "backfill", model)]
