"""A file of the last days mostly shows no action: its adjusted closes equal its closes, which says nothing about its basis."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from storage.database import Database
from storage.home import Home
from tests.flows.replaying import ingest_at

HEAD = "symbol,date,open,high,low,close,volume,adj_close\n"


def evening(day: int) -> datetime:
    return datetime(2021, 4, day, 22, 30, tzinfo=UTC)


def written(path: Path, *rows: tuple[str, float, float]) -> Path:
    path.write_text(HEAD + "".join(f"AAA,{d},{c},{c + 1},{c - 1},{c},1000,{a}\n" for d, c, a in rows), encoding="utf-8")
    return path


def test_ingest__a_file_without_any_action_goes_on_in_the_stored_basis(tmp_path):
    home = tmp_path / "home"
    first = [("2021-04-05", 100.0, 99.5), ("2021-04-06", 101.0, 100.5), ("2021-04-07", 102.25, 102.25)]  # 0.50 paid on the 7th
    ingest_at(home, evening(7), written(tmp_path / "1.csv", *first))
    quiet = [("2021-04-07", 102.25, 102.25), ("2021-04-08", 103.25, 103.25)]
    run = ingest_at(home, evening(8), written(tmp_path / "2.csv", *quiet))
    assert run.refusals == {}
    with Database(Home(home)).reading() as con:
        assert con.execute("SELECT session::VARCHAR, close, basis FROM prices ORDER BY 1").fetchall()[-2:] == [
            ("2021-04-07", 102.25, "as_traded"),
            ("2021-04-08", 103.25, "as_traded"),
        ]


def test_ingest__a_file_that_is_adjusted_does_not(tmp_path):
    home = tmp_path / "home"
    first = [("2021-04-05", 100.0, 99.5), ("2021-04-06", 101.0, 100.5), ("2021-04-07", 102.25, 102.25)]
    ingest_at(home, evening(7), written(tmp_path / "1.csv", *first))
    plain = tmp_path / "2.csv"
    plain.write_text("symbol,date,open,high,low,close,volume\nAAA,2021-04-08,51,52,50,51,1000\nBBB,2021-04-08,5,6,4,5,10\n")
    run = ingest_at(home, evening(8), plain)
    assert {symbol: refusal.reason for symbol, refusal in run.refusals.items()} == {"AAA": "other_basis"}
