"""Rank forecasts are issued once, and scored when the whole company settled."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from storage.append import Appended
from storage.bars import append_bars
from storage.ledger import append_forecasts, score_settled
from storage.ranks import append_ranks, score_ranks
from tests.storage.by_hand import MONDAY, TUESDAY, bars, forecasts

SYMBOLS = ("A", "B", "C", "D", "E")
ORIGIN, TARGET = "2024-03-01", "2024-03-04"


def ranks(chances: dict[str, tuple[float, ...]], forecaster: str = "lstm") -> pd.DataFrame:
    """Chances p1 to p5 of each symbol, issued at ORIGIN for TARGET."""
    frame = pd.DataFrame([(symbol, *p) for symbol, p in chances.items()], columns=["symbol", "p1", "p2", "p3", "p4", "p5"])
    return frame.assign(
        origin=pd.Timestamp(ORIGIN), target_session=pd.Timestamp(TARGET), horizon=1, forecaster=forecaster, p_up=0.5,
        model_id="m" * 64, symbols=len(frame), mode="live", serving=forecaster == "lstm", data_digest="d", issued_at=MONDAY,
    )  # fmt: skip


def issue(db, lease, step: str, *frames: pd.DataFrame) -> Appended:
    with db.writing(lease, "run1", step) as tx:
        return append_ranks(tx, pd.concat(frames, ignore_index=True))


def settle(db, lease, step: str, closes: dict[str, float], session: str = TARGET) -> int:
    """The target session's bars come in; how many ranks were scored."""
    known = [(symbol, session, close) for symbol, close in closes.items()]
    with db.writing(lease, "run1", step) as tx:
        append_bars(tx, bars(*known), "files", "as_traded", MONDAY)
        score_settled(tx, date.fromisoformat(TARGET), "run1", TUESDAY)
        return score_ranks(tx, date.fromisoformat(TARGET), "run1", TUESDAY)


@pytest.fixture
def issued(db, lease):
    """Five symbols closed at 100 and were forecast; the forecaster is sure that A will be last, and knows nothing else."""
    with db.writing(lease, "run1", "forecast") as tx:
        append_forecasts(tx, forecasts(*[(s, ORIGIN, 1, TARGET, "lstm") for s in SYMBOLS]))
    sure = {s: (1.0, 0, 0, 0, 0) if s == "A" else (0.2, 0.2, 0.2, 0.2, 0.2) for s in SYMBOLS}
    equal = dict.fromkeys(SYMBOLS, (0.2, 0.2, 0.2, 0.2, 0.2))
    assert issue(db, lease, "ranks", ranks(sure), ranks(equal, "joint_bootstrap")) == Appended(10, 0, 0)
    return db


def test_append_ranks__the_first_issue_wins(issued, lease):
    other = ranks(dict.fromkeys(SYMBOLS, (0, 0, 0, 0, 1.0)))

    assert issue(issued, lease, "again", other) == Appended(0, 5, 0)


def test_score_ranks__by_hand(issued, lease):
    """A fell most, E rose most: A 95, B 99, C 100, D 101, E 110."""
    assert settle(issued, lease, "score", {"A": 95, "B": 99, "C": 100, "D": 101, "E": 110}) == 10

    with issued.reading() as con:
        rows = con.execute(
            "SELECT symbol, fifth, round(rps, 12), settled FROM rank_forecasts WHERE serving ORDER BY symbol"
        ).fetchall()
        board = con.execute(
            "SELECT forecaster, n, round(rps, 12), round(rps_uniform, 12), round(rps_bootstrap, 12) FROM rank_scoreboard"
        ).fetchall()
    assert rows == [("A", 1, 0.0, True), ("B", 2, 0.12, True), ("C", 3, 0.08, True), ("D", 4, 0.12, True), ("E", 5, 0.24, True)]
    assert board == [("lstm", 5, 0.112, 0.16, 0.16), ("joint_bootstrap", 5, 0.16, 0.16, 0.16)]  # (0.16 x 5 - 0.24) / 5 = 0.112


def test_score_ranks__waits_for_the_whole_company_and_scores_once(issued, lease):
    assert settle(issued, lease, "early", {"A": 95, "B": 99, "C": 100, "D": 101}) == 0  # E's bar is late
    assert settle(issued, lease, "late", {"E": 110}) == 10
    assert settle(issued, lease, "again", {"E": 110}) == 0


def test_score_ranks__after_two_weeks_the_others_are_ranked_without_one_that_is_gone(issued, lease):
    six = ranks({s: (0.2,) * 5 for s in (*SYMBOLS, "F")}, "other")
    issue(issued, lease, "six", six)
    with issued.writing(lease, "run1", "forecast F") as tx:
        append_forecasts(tx, forecasts(("F", ORIGIN, 1, TARGET, "lstm")))
    assert settle(issued, lease, "five", {"A": 95, "B": 99, "C": 100, "D": 101, "E": 110}) == 10  # not the six
    with issued.writing(lease, "run1", "weeks later") as tx:
        assert score_ranks(tx, date(2024, 3, 17), "run1", TUESDAY) == 0
        assert score_ranks(tx, date(2024, 3, 18), "run1", TUESDAY) == 5

    with issued.reading() as con:
        fifths = con.execute("SELECT symbol, fifth FROM rank_forecasts WHERE forecaster = 'other' ORDER BY symbol").fetchall()
    assert fifths == [("A", 1), ("B", 2), ("C", 3), ("D", 4), ("E", 5), ("F", None)]


@pytest.mark.parametrize("settled_between", [False, True])
def test_score_ranks__companies_of_two_runs_are_two(issued, lease, settled_between):
    """The first run got five symbols; F to J came two hours later and were ranked among themselves, before or after the first
    five were scored. All of them fell more than the first five."""
    first = {"A": 95, "B": 99, "C": 100, "D": 101, "E": 110}
    late = dict(zip("FGHIJ", (50, 60, 70, 80, 90), strict=True))
    if settled_between:
        assert settle(issued, lease, "score", first) == 10
    with issued.writing(lease, "run2", "forecast") as tx:
        append_forecasts(tx, forecasts(*[(s, ORIGIN, 1, TARGET, "lstm") for s in late]))
        append_ranks(tx, ranks(dict.fromkeys(late, (0.2,) * 5)))
    assert settle(issued, lease, "late", late if settled_between else first | late) == (5 if settled_between else 15)
    with issued.reading() as con:
        fifths = con.execute("SELECT symbol, fifth FROM rank_forecasts WHERE forecaster = 'lstm' ORDER BY symbol").fetchall()
    assert fifths == list(zip("ABCDEFGHIJ", [1, 2, 3, 4, 5] * 2, strict=True))


def test_latest_ranks__likeliest_winner_first(issued):
    with issued.reading() as con:
        assert [row[0] for row in con.execute("SELECT symbol FROM latest_ranks").fetchall()] == ["B", "C", "D", "E", "A"]


def test_live_coverage__live_and_backfill_apart(db, lease):
    """Quantiles 97 .. 103; closes at 100, 102.5 and 104: the 50 % interval 99 .. 101 holds one, 80 % one, 90 % two of three."""
    with db.writing(lease, "run1", "forecast") as tx:
        append_forecasts(tx, forecasts(*[(s, ORIGIN, 1, TARGET, "lstm") for s in "ABC"]))
        append_forecasts(tx, forecasts(("A", "2024-02-29", 1, ORIGIN, "lstm"), mode="backfill"))
    settle(db, lease, "before", {"A": 100}, ORIGIN)
    settle(db, lease, "score", {"A": 100, "B": 102.5, "C": 104})

    with db.reading() as con:
        found = con.execute(
            "SELECT mode, interval, round(share, 6), n, n_sessions, round(missing, 6) FROM live_coverage ORDER BY ALL"
        ).fetchall()
    assert found == [
        ("backfill", 0.5, 1.0, 1, 1, 0.5), ("backfill", 0.8, 1.0, 1, 1, 0.2), ("backfill", 0.9, 1.0, 1, 1, 0.1),
        ("live", 0.5, 0.333333, 3, 1, -0.166667), ("live", 0.8, 0.333333, 3, 1, -0.466667),
        ("live", 0.9, 0.666667, 3, 1, -0.233333),
    ]  # fmt: skip
