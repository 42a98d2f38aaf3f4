"""What the doors read: light, from the snapshot, and a person's SQL in a child that can be killed."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from forecasting.errors import InputError, StorageError
from storage import data_model, reading
from storage.bars import append_bars, append_symbols
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.ledger import append_forecasts, score_settled
from storage.quarantine import append_quarantine
from storage.registry import append_serving
from storage.runs import Run, record_run, run_done, start_attempt
from storage.snapshot import open_snapshot, publish
from storage.views import all_views
from tests.storage.by_hand import MONDAY, TUESDAY, bars, forecasts

ROOT = Path(__file__).parents[2]
PUBLIC = (
    "rank_forecasts latest_ranks rank_scoreboard live_coverage "
    "latest_forecasts forecasts scoreboard forecast_accuracy prices prices_adjusted features_latest models gate_decisions "
    "evaluations evaluation_slices quarantine freshness runs actions macro universe quality quality_findings disagreements "
    "requests trials training_curves audits controls approvals drift "
    "prices_as_of prices_adjusted_as_of actions_as_of universe_as_of macro_as_of"
).split()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    """AAPL and IBM: bars of two sessions (IBM lacks the second), a forecast settled and one open, one bad row, one run."""
    home = Home(tmp_path_factory.mktemp("reading") / "home")
    db = Database(home)
    with hold_lease(home, db, "test") as lease:
        with db.writing(lease, "run1", None) as tx:
            start_attempt(tx, "run1", "daily", MONDAY)
        with db.writing(lease, "run1", "all") as tx:
            rows = bars(("AAPL", "2024-03-01", 100), ("AAPL", "2024-03-04", 101), ("IBM", "2024-03-01", 190))
            append_bars(tx, rows, "files", "as_traded", MONDAY)
            told = {"calendar": "XNYS", "currency": "USD", "basis": "as_traded", "source": "files"}
            append_symbols(tx, pd.DataFrame([{"symbol": s, **told} for s in ("AAPL", "IBM")]), MONDAY)
            for origin, target in (("2024-03-01", "2024-03-04"), ("2024-03-04", "2024-03-05")):
                append_forecasts(
                    tx, forecasts(*(("AAPL", origin, 1, target, name) for name in ("lstm", "ewma", "persistence")))
                )
            score_settled(tx, date(2024, 3, 4), "run1", MONDAY)
            bad = {"symbol": "IBM", "session": [None, None], "reason": "zero_close", "severity": "quarantine"}
            append_quarantine(tx, pd.DataFrame({**bad, "message": "close is 0", "row_json": '{"close": 0}'}), "files", MONDAY)
            append_serving(tx, date(2024, 3, 4), "m" * 64, "lstm", "beat every rival", None, MONDAY)
            run = Run(
                "run1",
                "daily",
                date(2024, 3, 4),
                "completed",
                None,
                "files",
                "AAPL,IBM",
                "s",
                "0.1",
                "d",
                "live",
                MONDAY,
                TUESDAY,
            )
            assert record_run(tx, run)
            assert not record_run(tx, run)
        publish(db, home, "run1", TUESDAY)
    return home


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


def test_run_sql__answers_json_values_up_to_the_limit(home):
    answer = reading.run_sql(home, "SELECT symbol, session, close, 1 / 0 AS nothing FROM prices ORDER BY ALL", limit=2)
    assert answer.columns == ["symbol", "session", "close", "nothing"]
    assert answer.rows == [("AAPL", "2024-03-01", 100.0, None), ("AAPL", "2024-03-04", 101.0, None)]
    assert answer.truncated
    assert not reading.run_sql(home, "FROM prices", limit=3).truncated


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE store.forecasts",
        "UPDATE store.forecasts SET q50 = 1",
        "COPY prices TO '/tmp/prices.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "ATTACH '/tmp/other.duckdb'",
        "SET lock_configuration = false",
        "LOAD httpfs",
        "SELEC 1",
    ],
)
def test_run_sql__refuses_what_is_not_reading(home, sql):
    with pytest.raises(InputError, match="the SQL was refused: "):
        reading.run_sql(home, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c WHERE (a.range * b.range + c.range) % 7 = 3",
        "SELECT length(repeat('a', 2000000000))",
        "SELECT list(range) FROM range(1000000000)",
    ],
)
def test_run_sql__stops_what_is_too_heavy(home, sql):
    began = time.monotonic()
    with pytest.raises(InputError, match="narrow it"):
        reading.run_sql(home, sql, timeout=2)
    assert time.monotonic() - began < 5


def test_run_sql__without_a_snapshot_says_what_to_type(tmp_path):
    with pytest.raises(StorageError, match="run `nextclose run`"):
        reading.run_sql(Home(tmp_path), "SELECT 1")


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
