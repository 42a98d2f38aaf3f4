"""What was known then, in SQL: FROM prices_as_of(instant) and its sisters, and who was listed when."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from storage.bars import append_actions, append_bars, read_bars
from storage.quality import append_quality
from storage.universe import append_universe, read_universe
from tests.storage.by_hand import MONDAY, TUESDAY, actions, bars


@pytest.fixture
def revised(db, lease):
    """A close is corrected and a 2:1 split becomes known on Tuesday."""
    with db.writing(lease, "r1", "mon") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 100), ("AAPL", "2024-03-04", 50)), "yahoo", "as_traded", MONDAY)
    with db.writing(lease, "r2", "tue") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-04", 51)), "yahoo", "as_traded", TUESDAY)
        append_actions(tx, actions(("AAPL", "2024-03-04", "split", 2.0)), "yahoo", TUESDAY)
    return db


def _rows(db, sql, *parameters):
    with db.reading() as con:
        return con.execute(sql, list(parameters)).fetchall()


def test_prices_as_of__gives_the_values_of_the_instant(revised):
    closes = "SELECT close, revision FROM prices_as_of(?) ORDER BY session"
    assert _rows(revised, closes, MONDAY) == [(100.0, 0), (50.0, 0)]
    assert _rows(revised, closes, TUESDAY) == [(100.0, 0), (51.0, 1)]
    assert _rows(revised, closes, MONDAY - timedelta(seconds=1)) == []
    assert _rows(revised, "SELECT close FROM prices ORDER BY session") == [(100.0,), (51.0,)]


def test_prices_as_of__is_what_read_bars_reads(revised):
    with revised.reading() as con:
        sql = con.execute("SELECT symbol, session, close FROM prices_as_of(?) ORDER BY session", [MONDAY]).fetchall()
        frame = read_bars(con, as_of=MONDAY)
    assert sql == list(zip(frame["symbol"], frame["session"].dt.date, frame["close"], strict=True))


def test_prices_adjusted_as_of__a_split_that_became_known_later_changes_nothing_before(revised):
    adjusted = "SELECT close_split_adjusted, close_total_return, split_factor FROM prices_adjusted_as_of(?) ORDER BY session"
    assert _rows(revised, adjusted, MONDAY) == [(100.0, 100.0, 1.0), (50.0, 50.0, 1.0)]
    assert _rows(revised, adjusted, TUESDAY) == [(50.0, 50.0, 2.0), (51.0, 51.0, 1.0)]
    assert _rows(revised, "SELECT kind, value FROM actions_as_of(?)", MONDAY) == []
    assert _rows(revised, "SELECT kind, value FROM actions") == [("split", 2.0)]


def test_universe__one_who_left_is_there_on_the_days_before(db, lease):
    listed = pd.DataFrame({"symbol": ["AAA", "BBB"], "valid_from": pd.Timestamp("2020-01-02"), "valid_to": pd.NaT})
    with db.writing(lease, "r1", "mon") as tx:
        append_universe(tx, listed, MONDAY)
    listed.loc[1, "valid_to"] = pd.Timestamp("2024-02-01")
    with db.writing(lease, "r2", "tue") as tx:
        assert append_universe(tx, listed, TUESDAY).revised == 1
    with db.reading() as con:
        assert read_universe(con, date(2024, 2, 1))["symbol"].tolist() == ["AAA", "BBB"]
        assert read_universe(con, date(2024, 2, 2))["symbol"].tolist() == ["AAA"]
        assert read_universe(con, date(2024, 2, 2), as_of=MONDAY)["symbol"].tolist() == ["AAA", "BBB"]
        assert read_universe(con, date(2019, 12, 31)).empty
    assert _rows(db, "SELECT symbol, valid_to FROM universe") == [("AAA", None), ("BBB", date(2024, 2, 1))]
    assert _rows(db, "SELECT count(valid_to) FROM universe_as_of(?)", MONDAY) == [(0,)]


def test_quality__rows_that_nobody_explains_are_refused(db, lease):
    row = {"source": "files", "symbol": "AAA", "received": 5, "stored": 3, "unchanged": 0, "revised": 0, "merged": 0}
    lost = pd.DataFrame([row | {"outside": 0, "quarantined": 1, "warned": 0}])
    with pytest.raises(ValueError, match="AAA of files: 5 rows came, 4 are explained"), db.writing(lease, "r1", "a") as tx:
        append_quality(tx, lost, date(2024, 3, 4), MONDAY)
    with db.writing(lease, "r1", "a") as tx:
        append_quality(tx, lost.assign(quarantined=2), date(2024, 3, 4), MONDAY)
    assert _rows(db, "SELECT symbol, received, stored, quarantined FROM quality") == [("AAA", 5, 3, 2)]
