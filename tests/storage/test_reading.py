"""What the doors read: light, from the snapshot."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from storage import data_model, reading
from storage.home import Home
from storage.runs import run_done
from storage.snapshot import open_snapshot
from storage.views import all_views

ROOT = Path(__file__).parents[2]
PUBLIC = (
    "rank_forecasts latest_ranks rank_scoreboard live_coverage "
    "latest_forecasts forecasts scoreboard forecast_accuracy prices prices_adjusted features_latest models gate_decisions "
    "evaluations evaluation_slices quarantine freshness runs actions macro universe quality quality_findings disagreements "
    "requests trials training_curves audits controls approvals drift failed_trainings "
    "prices_as_of prices_adjusted_as_of actions_as_of universe_as_of macro_as_of"
).split()


@pytest.fixture
def home(published) -> Home:
    return published


def _dicts(rows: reading.Rows) -> list[dict]:
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def test_reads__answer_columns_and_rows(home):
    with open_snapshot(home) as con:
        (latest,) = _dicts(reading.latest_forecasts(con))
        assert (latest["symbol"], latest["origin"], latest["forecaster"]) == ("AAPL", date(2024, 3, 4), "lstm")
        assert reading.latest_forecasts(con, ["IBM"]).rows == []
        assert [row["forecaster"] for row in _dicts(reading.symbol_forecast(con, "AAPL"))] == ["lstm", "ewma", "persistence"]
        assert {row["forecaster"]: row["n"] for row in _dicts(reading.scoreboard(con, "live"))} == {
            "served": 1, "lstm": 1, "ewma": 1, "persistence": 1,
        }  # fmt: skip
        assert reading.scoreboard(con, "backfill").rows == []
        assert [row["n"] for row in _dicts(reading.symbol_accuracy(con, "AAPL"))] == [1]
        assert [row[0] for row in reading.symbol_history(con, "AAPL").rows] == [date(2024, 3, 1), date(2024, 3, 4)]
        assert reading.models(con).rows == reading.decisions(con).rows == reading.evaluations(con, "m").rows == []
        assert [(r["symbol"], r["sessions_behind"]) for r in _dicts(reading.freshness(con))] == [("IBM", 1), ("AAPL", 0)]
        assert [(r["reason"], r["n"]) for r in _dicts(reading.quarantine_summary(con))] == [("zero_close", 1)]
        (run,) = _dicts(reading.runs(con))
        assert (run["status"], run["steps"], run["attempts"], run["seconds"]) == ("completed", 1, 1, 86400)
        assert run_done(con, "run1")["symbols"] == "AAPL,IBM"
        assert run_done(con, "run2") is None


def test_status_summary__says_what_a_person_asks_first(home):
    with open_snapshot(home) as con:
        status = reading.status_summary(con)
    assert status["serving"]["forecaster"] == "lstm"
    assert status["serving"]["reason"] == "beat every rival"
    assert status["last_run"]["origin"] == date(2024, 3, 4)
    assert status["freshness"] == {
        "symbols": 2,
        "first_session": date(2024, 3, 1),
        "last_session": date(2024, 3, 4),
        "symbols_behind": 1,
        "last_origin": date(2024, 3, 4),
    }
    assert status["counts"] == {"bars": 3, "forecasts": 6, "scores": 3, "models": 0, "quarantine": 1}


def test_reading__loads_neither_pandas_nor_numpy(home):
    script = (
        "import sys; from storage.home import Home; from storage.snapshot import open_snapshot; from storage import reading\n"
        f"with open_snapshot(Home({str(home.path)!r})) as con: reading.status_summary(con), reading.scoreboard(con)\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'tensorflow', 'prefect', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_views__are_the_promised_ones_and_every_column_is_explained(home):
    assert sorted(view.name for view in all_views()) == sorted(PUBLIC)
    with open_snapshot(home) as con:
        for view in all_views():
            called = f"{view.name}(TIMESTAMPTZ 'infinity')" if view.parameters else view.name
            columns = [row[0] for row in con.execute(f"DESCRIBE FROM {called}").fetchall()]
            assert list(view.columns) == columns or sorted(view.columns) == sorted(columns), view.name
            if view.parameters:
                continue
            sql = "SELECT count(*) FROM duckdb_columns() WHERE table_name = ? AND schema_name = 'main' AND comment IS NOT NULL"
            assert con.execute(sql, [view.name]).fetchone() == (len(columns),), view.name


def test_data_model__document_is_current():
    expected = data_model.document()
    assert data_model.DOCUMENT.read_text(encoding="utf-8") == expected, "run `python -m storage.data_model`"
