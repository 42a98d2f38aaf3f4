"""The ledger never changes, and scores are what a person would compute by hand."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storage.append import Appended
from storage.bars import append_actions, append_bars
from storage.ledger import append_forecasts, last_origins, origins_done, read_forecasts, score_settled
from storage.quarantine import append_quarantine
from storage.runs import Run, record_run
from tests.storage.by_hand import MONDAY, TUESDAY, actions, bars, forecasts

ROOT = Path(__file__).parents[2]
LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)


def _issue(db, lease, frame, step="forecast") -> Appended:
    with db.writing(lease, "run1", step) as tx:
        return append_forecasts(tx, frame)


def _prices(db, lease, frame, basis="as_traded", step="ingest"):
    with db.writing(lease, "run1", step) as tx:
        append_bars(tx, frame, "files", basis, MONDAY)


def _score(db, lease, origin, step) -> int:
    with db.writing(lease, "run1", step) as tx:
        return score_settled(tx, origin, "run1", TUESDAY)


def _scores(db, columns="symbol, forecaster, close_at_target") -> list[tuple]:
    with db.reading() as con:
        return con.execute(f"SELECT {columns} FROM store.scores ORDER BY symbol, origin, horizon, forecaster").fetchall()


def test_append_forecasts__the_first_issue_wins(db, lease):
    first = forecasts(("AAPL", "2024-03-01", 1, "2024-03-04", "lstm"))
    second = forecasts(
        ("AAPL", "2024-03-01", 1, "2024-03-04", "lstm"), ("AAPL", "2024-03-01", 5, "2024-03-08", "lstm"), centre=105
    )
    assert _issue(db, lease, first, "a") == Appended(1, 0, 0)
    assert _issue(db, lease, second, "b") == Appended(1, 1, 0)
    with db.reading() as con:
        assert list(read_forecasts(con, date(2024, 3, 1))["q50"]) == [100.0, 105.0]
        assert last_origins(con) == {"AAPL": date(2024, 3, 1)} and last_origins(con, until=date(2024, 2, 29)) == {}


def test_origin__is_done_for_a_symbol_that_has_a_forecast_or_was_left_out_of_a_completed_run(db, lease):
    """Run A of X, Y and Z left Z out on the 1st; run B of X alone is of the 4th; run C, not completed, did X on the 5th; a
    backfill of X and Y, which was not listed yet, went over the last days of February and stored nothing new."""

    def ran(run_id: str, first: str, last: str, *symbols: str, completed: str = "") -> None:
        with db.writing(lease, run_id, f"forecast/{first}..{last}") as tx:
            for day in sorted({first, last} if symbols else ()):
                append_forecasts(tx, forecasts(*((s, day, 1, "2024-03-12", "lstm") for s in symbols)))
            if completed:
                record_run(tx, Run(run_id, "daily", date(2024, 3, 4), "completed", None, "files", completed, "", "", "", "live",
                                   MONDAY, MONDAY))  # fmt: skip

    def between(symbols, first: date, last: date) -> list[date]:
        """X goes on at weekends; with others it does not."""
        every = pd.date_range(first, last, freq="D" if symbols == ["X"] else "B")
        return [day.date() for day in every]

    ran("W", "2024-02-27", "2024-02-28", "X")
    ran("A", "2024-03-01", "2024-03-01", "X", "Y", completed="X,Y,Z")
    ran("B", "2024-03-04", "2024-03-04", "X", completed="X")
    ran("C", "2024-03-05", "2024-03-05", "X")
    past, first, fourth, fifth = date(2024, 2, 27), date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 5)
    with db.reading() as con:
        assert last_origins(con) == {"X": fifth, "Y": first, "Z": first}
        assert last_origins(con, besides="C") == last_origins(con, until=fourth) == {"X": fourth, "Y": first, "Z": first}
        assert origins_done(con, ["X"], first, between) == [first, fourth, fifth] and origins_done(
            con, ["X"], fourth, between
        ) == [fourth, fifth]
        assert (
            origins_done(con, ["X", "Y", "Z"], first, between) == [first]
            and origins_done(con, ["X", "NEW"], first, between) == []
        )
        assert origins_done(con, ["X", "Y"], past, between) == [first]
    with db.writing(lease, "A", "store_prices") as tx:
        left = {"symbol": ["Z"], "session": [first], "reason": ["down"], "severity": ["refused"]}
        append_quarantine(tx, pd.DataFrame({**left, "message": ["-"], "row_json": [None]}), "files", MONDAY)
    with db.reading() as con:  # Z did not answer: for who counts such reasons as passing it was never done
        assert last_origins(con, passing=["down"]) == {"X": fifth, "Y": first} and last_origins(con, passing=["blocked"])["Z"]
        assert origins_done(con, ["X", "Z"], first, between) == [first]
        assert origins_done(con, ["X", "Z"], first, between, passing=["down"]) == []
        assert origins_done(con, ["X", "Y"], first, between, passing=["down"]) == [first]
    ran("backfill", "2024-02-27", "2024-02-28", "X", completed="X,Y")
    with db.reading() as con:
        assert origins_done(con, ["X", "Y"], past, between) == [past, date(2024, 2, 28), first]
        assert last_origins(con, until=date(2024, 2, 27)) == {"X": past, "Y": past}
    ran("weekend", "2024-03-08", "2024-03-11", completed="X,Y")
    with db.reading() as con:
        days = [str(day)[5:] for day in origins_done(con, ["X"], date(2024, 3, 8), between)]
        assert days == ["03-08", "03-11"]  # Saturday and Sunday were nobody's
        assert last_origins(con, until=date(2024, 3, 9))["Y"] == date(2024, 3, 8)


def test_score_settled__one_forecast_by_hand(db, lease):
    _issue(db, lease, forecasts(("AAPL", "2024-03-01", 1, "2024-03-04", "lstm")))  # quantiles 97 .. 103
    _prices(db, lease, bars(("AAPL", "2024-03-01", 100), ("AAPL", "2024-03-04", 102.5)))
    assert _score(db, lease, date(2024, 3, 4), "score") == 1
    columns = "close_at_target, pinball, abs_error, inside_80, inside_90, direction_hit, persistence_abs_error"
    ((close, pinball, error, in80, in90, hit, persistence),) = _scores(db, columns)
    losses = [0.05 * 5.5, 0.10 * 4.5, 0.25 * 3.5, 0.50 * 2.5, 0.75 * 1.5, 0.90 * 0.5, 0.05 * 0.5]
    assert (close, pinball) == (102.5, pytest.approx(sum(losses) / 7 / 100))
    assert (error, in80, in90, hit, persistence) == (pytest.approx(0.025), False, True, True, pytest.approx(0.025))


def test_score_settled__waits_for_the_bar_of_the_target_session_and_scores_once(db, lease):
    _issue(
        db, lease, forecasts(("AAPL", "2024-03-01", 1, "2024-03-04", "lstm"), ("AAPL", "2024-03-01", 5, "2024-03-08", "lstm"))
    )
    _prices(db, lease, bars(("AAPL", "2024-03-01", 100)))
    assert _score(db, lease, date(2024, 3, 4), "s1") == 0  # halted: no bar
    _prices(db, lease, bars(("AAPL", "2024-03-04", 101), ("AAPL", "2024-03-08", 99)), step="i2")
    assert _score(db, lease, date(2024, 3, 5), "s2") == 1  # the other target is after this origin
    assert _score(db, lease, date(2024, 3, 5), "s3") == 0
    assert _score(db, lease, date(2024, 3, 8), "s4") == 1
    assert _scores(db, "horizon, close_at_target") == [(1, 101.0), (5, 99.0)]


def test_score_settled__puts_the_outcome_into_the_shares_of_the_origin(db, lease):
    """4:1 on 5 March: the 26 of 8 March is 104 in the shares of 1 March, 26 in those of 5 March."""
    _issue(
        db,
        lease,
        pd.concat(
            [
                forecasts(("AAPL", "2024-03-01", 5, "2024-03-08", "lstm"), close=100, centre=100),
                forecasts(("AAPL", "2024-03-05", 3, "2024-03-08", "lstm"), close=25, centre=25),
                forecasts(("AAPL", "2024-03-01", 1, "2024-03-04", "lstm"), close=100, centre=100),
            ]
        ),
    )
    _prices(db, lease, bars(("AAPL", "2024-03-04", 101), ("AAPL", "2024-03-05", 25), ("AAPL", "2024-03-08", 26)))
    with db.writing(lease, "run1", "actions") as tx:
        told = actions(
            ("AAPL", "2024-03-05", "split", 4.0), ("AAPL", "2024-03-07", "dividend", 0.5), ("MSFT", "2024-03-06", "split", 9.0)
        )
        append_actions(tx, told, "files", MONDAY)
    assert _score(db, lease, date(2024, 3, 8), "score") == 3
    assert _scores(db, "origin::VARCHAR, horizon, close_at_target") == [
        ("2024-03-01", 1, 101.0),
        ("2024-03-01", 5, 104.0),
        ("2024-03-05", 3, 26.0),
    ]


def test_score_settled__takes_adjusted_bars_as_they_are(db, lease):
    _issue(db, lease, forecasts(("SPY", "2024-03-01", 1, "2024-03-04", "lstm")))
    _prices(db, lease, bars(("SPY", "2024-03-04", 101)), basis="adjusted")
    with db.writing(lease, "run1", "actions") as tx:
        append_actions(tx, actions(("SPY", "2024-03-04", "split", 4.0)), "files", MONDAY)
    _score(db, lease, date(2024, 3, 4), "score")
    assert _scores(db) == [("SPY", "lstm", 101.0)]


def test_score_settled__puts_what_was_adjusted_since_into_the_unit_of_the_origin(db, lease):
    """Forecast at 100; 4:1 on the way, after which the source gives 25 for the origin and 26 for the target: that is 104."""
    _issue(db, lease, forecasts(("SPY", "2024-03-01", 1, "2024-03-04", "lstm"), close=100, centre=100))
    _prices(db, lease, bars(("SPY", "2024-03-01", 100)), basis="adjusted")
    _prices(db, lease, bars(("SPY", "2024-03-01", 25), ("SPY", "2024-03-04", 26)), basis="adjusted", step="i2")
    _score(db, lease, date(2024, 3, 4), "score")
    assert _scores(db) == [("SPY", "lstm", 104.0)]


def test_score_settled__waits_a_week_for_a_source_to_make_up_its_mind(db, lease):
    """The bar of the 4th is one of many that came with other values: AAPL is scored a week later at the latest, IBM at once."""
    keys = [(symbol, "2024-03-01", 1, "2024-03-04", "lstm") for symbol in ("AAPL", "IBM")]
    _issue(db, lease, forecasts(*keys))
    _prices(db, lease, bars(("AAPL", "2024-03-04", 50), ("IBM", "2024-03-04", 101)))
    scored = []
    for day, restated in (("2024-03-04", ["AAPL"]), ("2024-03-10", ["AAPL"]), ("2024-03-11", ["AAPL"]), ("2024-03-12", [])):
        with db.writing(lease, "run1", day) as tx:
            scored.append(score_settled(tx, date.fromisoformat(day), "run1", TUESDAY, restated))
    assert scored == [1, 0, 1, 0]


def test_score_settled__no_direction_without_a_call_or_a_move(db, lease):
    rows = [("AAPL", "2024-03-01", 1, "2024-03-04", name) for name in ("lstm", "persistence")]
    _issue(db, lease, pd.concat([forecasts(rows[0], p_up=0.4), forecasts(rows[1], p_up=0.5)]))
    _issue(db, lease, forecasts(("IBM", "2024-03-01", 1, "2024-03-04", "lstm"), p_up=0.9), "b")
    _prices(db, lease, bars(("AAPL", "2024-03-04", 101), ("IBM", "2024-03-04", 100)))
    _score(db, lease, date(2024, 3, 4), "score")
    assert _scores(db, "symbol, forecaster, direction_hit") == [
        ("AAPL", "lstm", False),
        ("AAPL", "persistence", None),
        ("IBM", "lstm", None),
    ]


def test_scoreboard__agrees_with_plain_numpy(db, lease):
    rng = np.random.default_rng(3)
    rows, frames = [], []
    for origin, target in (("2024-03-01", "2024-03-04"), ("2024-03-04", "2024-03-05"), ("2024-03-05", "2024-03-06")):
        for symbol in ("AAPL", "IBM"):
            rows.append((symbol, target, 100 + float(rng.normal(0, 2))))
            for name in ("lstm", "ewma", "persistence"):
                frames.append(forecasts((symbol, origin, 1, target, name), centre=100 + float(rng.normal(0, 1))))
    issued = pd.concat(frames)
    _issue(db, lease, issued)
    _prices(db, lease, bars(*rows))
    assert _score(db, lease, date(2024, 3, 6), "score") == 18
    outcome = {(s, pd.Timestamp(t)): y for s, t, y in rows}
    losses: dict[str, list[float]] = {}
    for row in issued.itertuples():
        y = outcome[row.symbol, row.target_session]
        quantiles = (row.q05, row.q10, row.q25, row.q50, row.q75, row.q90, row.q95)
        loss = np.mean([max(t * (y - q), (t - 1) * (y - q)) for t, q in zip(LEVELS, quantiles, strict=True)]) / 100
        losses.setdefault(row.forecaster, []).append(loss)
    with db.reading() as con:
        sql = "SELECT forecaster, n, n_sessions, pinball, skill_vs_persistence, skill_vs_ewma FROM scoreboard"
        found = {row[0]: row[1:] for row in con.execute(sql).fetchall()}
    assert sorted(found) == ["ewma", "lstm", "persistence", "served"]
    assert found["lstm"] == found["served"]
    for name, values in losses.items():
        skills = [1 - np.sum(values) / np.sum(losses[rival]) for rival in ("persistence", "ewma")]
        assert found[name] == pytest.approx((6, 3, np.mean(values), *skills))


def test_ledger__no_code_updates_or_deletes_what_is_append_only():
    """Reads every source: only the lease, the attempts, the views' mark and the copy's label are changed in place."""
    allowed = {"store.lease", "store.attempts", "store.meta", "store.publication"}
    found = set()
    for folder in ("forecasting", "sources", "storage", "tasks", "flows", "app", "deployments"):
        for path in [*ROOT.glob(f"{folder}/**/*.py"), *ROOT.glob(f"{folder}/**/*.sql")]:
            text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
            found |= set(re.findall(r"UPDATE (store\.\w+|\{\w+\}|store\.\{\w+\}) SET", text, re.IGNORECASE))
            for verb in (
                r"DELETE FROM (\S+)",
                r"TRUNCATE (store\S+)",
                r"MERGE INTO (\S+)",
                r"INSERT OR (\w+)",
                r"ON (CONFLICT) ",
            ):
                found |= set(re.findall(verb, text))
    assert found == allowed
