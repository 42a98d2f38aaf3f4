"""What was issued can be made again to the bit, and where it cannot the reason is the true one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pytest

from app.cli import execute
from flows.ingest import ingest
from flows.parameters import Ingest
from storage.explain import changed_since, find_forecast, forecasts_from, id_of
from storage.home import Home
from storage.snapshot import open_snapshot
from tasks.reproducing import NUMBERS, as_it_was, contributions_of, reproduce
from tests.tiny import SYMBOLS, prices_file, tiny_bars

ORIGIN = date(2021, 3, 31)
MINUTES = 30


def rows(con) -> list[dict]:
    return [row for symbol in SYMBOLS for row in forecasts_from(con, symbol, ORIGIN)]


def test_reproduce__every_forecast_of_the_day_to_the_same_bits(finished):
    home = Home(finished[0])
    with open_snapshot(home) as con:
        issued = rows(con)
        then = as_it_was(con, home, issued[0], MINUTES)
        again = [reproduce(con, then, row) for row in issued]
    assert len(issued) == 3 * 3 * len(then.fitted.forecasters)
    assert then.digest == issued[0]["data_digest"]
    assert [(r.same, r.difference, r.reasons) for r in again] == [(True, 0.0, ())] * len(issued)


def test_contributions__of_an_issued_forecast_add_up_to_what_the_ledger_says(finished):
    home = Home(finished[0])
    with open_snapshot(home) as con:
        (row,) = [row for row in forecasts_from(con, "BBB", ORIGIN, 5) if row["forecaster"] == "lstm"]
        found = contributions_of(con, home, row, MINUTES)
        (other,) = [row for row in forecasts_from(con, "BBB", ORIGIN, 5) if row["forecaster"] == "ewma"]
        assert contributions_of(con, home, other, MINUTES) is None  # it reads no features
    assert [part.name for part in found.features] == ["ret", "range"]
    assert sum(part.median for part in found.parts) == pytest.approx(np.log(row["q50"] / row["close"]), abs=1e-12)
    assert sum(part.width for part in found.parts) == pytest.approx(np.log(row["q90"] / row["q10"]), abs=1e-12)


def test_forecast_id__is_in_the_view_and_finds_its_row(finished):
    with open_snapshot(Home(finished[0])) as con:
        names = ("forecast_id", "symbol", "origin", "horizon", "forecaster")
        for values in con.execute(f"SELECT {', '.join(names)} FROM forecasts").fetchall():
            row = dict(zip(names, values, strict=True))
            assert id_of(row) == row["forecast_id"]
            assert find_forecast(con, row["forecast_id"][:16])["symbol"] == row["symbol"]


@pytest.fixture
def revised(copied, tmp_path, monkeypatch):
    """A home in which, a week later, another file says that AAA's last close but two was a percent higher."""
    import flows.entry

    bars = tiny_bars()
    bars = bars[bars["session"] <= "2021-03-31"]
    day = (bars["symbol"] == "AAA") & (bars["session"] == "2021-03-29")
    bars.loc[day, ["close", "high"]] = bars.loc[day, ["close", "high"]] * 1.01
    path = prices_file(tmp_path / "revised.csv", bars[bars["symbol"] == "AAA"])
    monkeypatch.setattr(flows.entry, "now_utc", lambda: datetime(2031, 4, 7, tzinfo=UTC))
    ingest(Ingest(home=str(copied), symbols=["AAA"], source="files", source_options={"path": str(path), "basis": "as_traded"}))
    return Home(copied)


def test_reproduce__after_a_revision_still_gives_the_same_bits(revised):
    with open_snapshot(revised) as con:
        issued = [row for row in rows(con) if row["symbol"] == "AAA"]
        changed, count = changed_since(con, ["AAA"], ORIGIN, issued[0]["as_of"])
        assert count == 1 and (changed[0]["what"], str(changed[0]["session"])) == ("bar", "2021-03-29")
        assert changed[0]["since"] == pytest.approx(1.01 * changed[0]["then"])
        then = as_it_was(con, revised, issued[0], MINUTES)
        assert all(reproduce(con, then, row).same for row in issued)


def meddled(home, sql: str) -> Home:
    """The home with its snapshot changed behind everybody's back."""
    (home / "snapshot.duckdb").chmod(0o644)
    with duckdb.connect(str(home / "snapshot.duckdb")) as con:
        con.execute(sql)
    return Home(home)


def test_reproduce__says_that_the_data_are_others_where_a_row_was_changed_in_place(copied):
    home = meddled(copied, "UPDATE store.bars SET close = close * 1.001 WHERE symbol = 'BBB' AND session = '2021-03-30'")
    with open_snapshot(home) as con:
        (row,) = [row for row in forecasts_from(con, "BBB", ORIGIN, 1) if row["forecaster"] == "ewma"]
        found = reproduce(con, as_it_was(con, home, row, MINUTES), row)
    assert not found.same and not found.data_as_recorded and 1e-6 < found.difference < 0.1
    assert found.reasons[0].code == "data" and "nextclose verify" in found.reasons[0].sentence


def test_reproduce__says_unexplained_where_only_the_ledger_was_changed(copied):
    home = meddled(copied, "UPDATE store.forecasts SET q50 = q50 * 1.01 WHERE forecaster = 'ewma' AND horizon = 5")
    with open_snapshot(home) as con:
        (row,) = [row for row in forecasts_from(con, "AAA", ORIGIN, 5) if row["forecaster"] == "ewma"]
        found = reproduce(con, as_it_was(con, home, row, MINUTES), row)
    assert not found.same and found.data_as_recorded and [r.code for r in found.reasons] == ["unexplained"]
    assert found.difference == pytest.approx(0.01 / 1.01)


def test_reproduce__of_a_difference_in_the_last_digits_suspects_the_processor(copied):
    home = meddled(copied, "UPDATE store.forecasts SET q50 = q50 * (1 + 5e-9) WHERE forecaster = 'ewma' AND horizon = 5")
    with open_snapshot(home) as con:
        (row,) = [row for row in forecasts_from(con, "AAA", ORIGIN, 5) if row["forecaster"] == "ewma"]
        found = reproduce(con, as_it_was(con, home, row, MINUTES), row)
    assert not found.same and [r.code for r in found.reasons] == ["processor"] and 4e-9 < found.difference < 6e-9


def test_reproduce__names_the_instructions_of_the_processor_where_they_are_others(copied, monkeypatch):
    monkeypatch.setattr("forecasting.lstm.machine.known_instructions", lambda: ("X86_V2",))
    with open_snapshot(Home(copied)) as con:
        (row,) = [row for row in forecasts_from(con, "AAA", ORIGIN, 5) if row["forecaster"] == "ewma"]
        then = as_it_was(con, Home(copied), row, MINUTES)
        assert reproduce(con, then, row).reasons == ()  # the same bits need no reason
        processor, rest = then.fitted.card["machine_class"].split("/", 1)
        then.fitted.card["machine_class"] = f"{processor.split('-')[0]}-avx512/{rest}"
        found = reproduce(con, then, row | {"q50": row["q50"] * (1 + 5e-9)})
    assert [r.code for r in found.reasons] == ["machine"] and found.reasons[0].sentence.endswith(
        f"; {processor.split('-')[0]}-avx512 then, {processor.split('-')[0]}-sse now"
    )


def test_command__answers_with_codes_that_mean_something(copied, capsys):
    home = ["--home", str(copied)]
    assert execute(["reproduce", "AAA", "2021-03-31", "5", "ewma", *home]) == 0
    assert "the same bits, 10 numbers, from the recorded data" in capsys.readouterr().out
    assert execute(["reproduce", "AAA", "2021-03-31", "--json", *home]) == 0  # every horizon of whoever served
    answer = json.loads(capsys.readouterr().out)["forecasts"]
    assert [one["horizon"] for one in answer] == [1, 5, 20] and all(one["same_bits"] for one in answer)
    assert set(answer[0]["stored"]) == set(NUMBERS) and np.isfinite(list(answer[0]["again"].values())).all()
    assert execute(["reproduce", answer[0]["forecast_id"][:12], *home]) == 0
    assert execute(["reproduce", "AAA", "2021-04-01", *home]) == 2
    assert "nearest sessions are 2021-03-31" in capsys.readouterr().err
    meddled(copied, "UPDATE store.forecasts SET q05 = q05 * 0.99 WHERE symbol = 'AAA'")
    assert execute(["reproduce", "AAA", "2021-03-31", "1", "ewma", *home]) == 12
    assert "not the same bits" in capsys.readouterr().out
    shutil.rmtree(copied / "models")
    assert execute(["reproduce", "AAA", "2021-03-31", "1", "ewma", *home]) == 8
