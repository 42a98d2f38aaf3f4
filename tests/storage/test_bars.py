"""Prices as they became known: revisions beside the first value, any instant readable, adjustment at read time."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from storage.append import Appended
from storage.bars import (
    append_actions,
    append_bars,
    append_symbols,
    known_symbols,
    last_sessions,
    read_actions,
    read_bars,
)
from tests.references.adjustment import adjusted
from tests.storage.by_hand import MONDAY, TUESDAY, WEDNESDAY, actions, bars


def _store(db, lease, step, append, *rest):
    with db.writing(lease, "run1", step) as tx:
        return append(tx, *rest)


def _closes(db, **how) -> dict[tuple[str, str], float]:
    with db.reading() as con:
        frame = read_bars(con, **how)
    return {(s, str(d.date())): c for s, d, c in zip(frame["symbol"], frame["session"], frame["close"], strict=True)}


def test_read_bars__gives_what_was_known_then(db, lease):
    first = bars(("AAPL", "2024-03-01", 10), ("AAPL", "2024-03-04", 11))
    assert _store(db, lease, "mon", append_bars, first, "yahoo", "as_traded", MONDAY) == Appended(2, 0, 0)
    corrected = bars(("AAPL", "2024-03-04", 11.5), ("AAPL", "2024-03-05", 12))
    assert _store(db, lease, "tue", append_bars, corrected, "yahoo", "as_traded", TUESDAY) == Appended(1, 0, 1)
    back = bars(("AAPL", "2024-03-04", 11))
    assert _store(db, lease, "wed", append_bars, back, "yahoo", "as_traded", WEDNESDAY) == Appended(0, 0, 1)

    day1, day2, day3 = ("AAPL", "2024-03-01"), ("AAPL", "2024-03-04"), ("AAPL", "2024-03-05")
    assert _closes(db, as_of=MONDAY) == {day1: 10, day2: 11}
    assert _closes(db, as_of=TUESDAY) == {day1: 10, day2: 11.5, day3: 12}
    assert _closes(db) == {day1: 10, day2: 11, day3: 12}
    assert _closes(db, as_of=MONDAY - timedelta(seconds=1)) == {}
    assert _closes(db, until=date(2024, 3, 4)) == {day1: 10, day2: 11}
    assert _closes(db, since=date(2024, 3, 5)) == {day3: 12}
    assert _closes(db, symbols=["MSFT"]) == {}


def test_append_bars__a_difference_in_the_last_digits_is_no_revision(db, lease):
    _store(db, lease, "a", append_bars, bars(("AAPL", "2024-03-01", 100.0)), "yahoo", "as_traded", MONDAY)
    nearly = bars(("AAPL", "2024-03-01", 100.0)).assign(close=100.0 * (1 + 9e-7))
    assert _store(db, lease, "b", append_bars, nearly, "yahoo", "as_traded", TUESDAY) == Appended(0, 1, 0)
    beyond = bars(("AAPL", "2024-03-01", 100.0)).assign(close=100.0 * (1 + 2e-6))
    assert _store(db, lease, "c", append_bars, beyond, "yahoo", "as_traded", TUESDAY) == Appended(0, 0, 1)


def test_append_bars__volume_that_appears_or_goes_is_a_revision(db, lease):
    silent = bars(("AAPL", "2024-03-01", 100.0)).assign(volume=np.nan)
    _store(db, lease, "a", append_bars, silent, "yahoo", "as_traded", MONDAY)
    assert _store(db, lease, "b", append_bars, silent, "yahoo", "as_traded", MONDAY) == Appended(0, 1, 0)
    loud = bars(("AAPL", "2024-03-01", 100.0))
    assert _store(db, lease, "c", append_bars, loud, "yahoo", "as_traded", TUESDAY) == Appended(0, 0, 1)


def test_append_bars__a_clock_set_back_does_not_reorder_what_was_known(db, lease):
    _store(db, lease, "a", append_bars, bars(("AAPL", "2024-03-01", 10)), "yahoo", "as_traded", TUESDAY)
    _store(db, lease, "b", append_bars, bars(("AAPL", "2024-03-01", 11)), "yahoo", "as_traded", MONDAY)
    assert _closes(db) == _closes(db, as_of=TUESDAY) == {("AAPL", "2024-03-01"): 11}
    assert _closes(db, as_of=MONDAY) == {}


def test_read_actions__a_retracted_action_is_gone_from_then_on(db, lease):
    told = actions(("AAPL", "2024-03-04", "split", 4.0), ("AAPL", "2024-03-04", "dividend", 0.22))
    _store(db, lease, "a", append_actions, told, "yahoo", MONDAY)
    _store(db, lease, "b", append_actions, actions(("AAPL", "2024-03-04", "split", None)), "yahoo", TUESDAY)
    with db.reading() as con:
        assert list(read_actions(con)["kind"]) == ["dividend"]
        assert list(read_actions(con, as_of=MONDAY)["kind"]) == ["dividend", "split"]


def test_symbols__are_revised_the_same_way(db, lease):
    told = {"symbol": ["AAPL"], "calendar": ["XNYS"], "currency": ["USD"], "unit": [1.0], "basis": ["as_traded"]}
    _store(db, lease, "a", append_symbols, pd.DataFrame(told).assign(source="yahoo"), MONDAY)
    _store(db, lease, "b", append_symbols, pd.DataFrame(told).assign(source="files"), TUESDAY)
    with db.reading() as con:
        assert list(known_symbols(con)["source"]) == ["files"]


def test_last_sessions__per_symbol(db, lease):
    rows = bars(("AAPL", "2024-03-01", 10), ("AAPL", "2024-03-04", 11), ("MSFT", "2024-03-01", 20))
    _store(db, lease, "a", append_bars, rows, "yahoo", "as_traded", MONDAY)
    with db.reading() as con:
        assert last_sessions(con) == {"AAPL": date(2024, 3, 4), "MSFT": date(2024, 3, 1)}


def test_prices_adjusted__a_two_for_one_split_and_a_dividend_by_hand(db, lease):
    rows = bars(("AAPL", "2024-03-01", 100), ("AAPL", "2024-03-04", 50), ("AAPL", "2024-03-05", 49))
    _store(db, lease, "a", append_bars, rows, "yahoo", "as_traded", MONDAY)
    told = actions(("AAPL", "2024-03-04", "split", 2.0), ("AAPL", "2024-03-05", "dividend", 1.0))
    _store(db, lease, "b", append_actions, told, "yahoo", MONDAY)
    with db.reading() as con:
        found = con.execute(
            "SELECT close_split_adjusted, close_total_return, volume_split_adjusted FROM prices_adjusted ORDER BY session"
        ).fetchall()
    assert [row[0] for row in found] == [50, 50, 49]
    assert [row[1] for row in found] == pytest.approx([49, 49, 49])  # 50 less 1 / 50
    assert [row[2] for row in found] == [2000, 1000, 1000]


def test_prices_adjusted__agree_with_a_walk_over_every_event(db, lease):
    rng = np.random.default_rng(7)
    sessions = [str(d.date()) for d in pd.bdate_range("2023-01-02", periods=120)]
    expected, rows, told = {}, [], []
    for symbol in ("AAPL", "IBM", "MSFT"):
        kept = [s for s in sessions if rng.random() > 0.1]  # halts: some ex-dates have no bar
        closes = [(s, float(c)) for s, c in zip(kept, 50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(kept)))), strict=True)]
        events = [(s, "dividend", float(rng.uniform(0.1, 1))) for s in rng.choice(sessions, 6, replace=False)]
        events += [(s, "split", float(rng.choice([2.0, 3.0, 0.1]))) for s in rng.choice(sessions, 3, replace=False)]
        events += [(events[0][0], "split", 2.0)] if events[0][0] not in [e[0] for e in events[6:]] else []
        expected |= {(symbol, s): values for s, values in adjusted(closes, events).items()}
        rows += [(symbol, s, c) for s, c in closes]
        told += [(symbol, *event) for event in events]
    _store(db, lease, "a", append_bars, bars(*rows), "synthetic", "as_traded", MONDAY)
    _store(db, lease, "b", append_actions, actions(*told), "synthetic", MONDAY)
    with db.reading() as con:
        sql = "SELECT symbol, session::VARCHAR, close_split_adjusted, close_total_return FROM prices_adjusted"
        found = {(s, d): (split, total) for s, d, split, total in con.execute(sql).fetchall()}
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-12)


def test_prices_adjusted__leave_bars_alone_that_came_adjusted(db, lease):
    rows = bars(("SPY", "2024-03-01", 100), ("SPY", "2024-03-04", 50))
    _store(db, lease, "a", append_bars, rows, "files", "adjusted", MONDAY)
    _store(db, lease, "b", append_actions, actions(("SPY", "2024-03-04", "split", 2.0)), "yahoo", MONDAY)
    with db.reading() as con:
        sql = "SELECT close_split_adjusted, close_total_return FROM prices_adjusted ORDER BY session"
        assert con.execute(sql).fetchall() == [(100, 100), (50, 50)]
