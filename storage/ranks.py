"""The ledger of ranks: chances of each fifth as they were issued, and their scores once the universe settled. Append-only."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from storage.append import Appended
from storage.database import Tx

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

RANK_KEY = ("symbol", "origin", "horizon", "forecaster")
LATE_DAYS = 14  # a symbol whose bar is still missing by then was delisted or halted: the others are ranked without it

# A rank needs the whole company: symbols that one run ranked together are scored in one go, when all of them settled, or
# LATE_DAYS after the target session with four fifths of them. Outcomes are those of the ledger of prices, whatever the
# forecaster: the close at the target session in the units of the close at the origin, over the latter.
# Ranked probability score: mean over the fifths of (cumulated probability - whether the outcome lies at or below)^2, as in M6.
_SCORE = f"""
WITH unscored AS (
    SELECT r.* FROM store.rank_forecasts AS r ANTI JOIN store.rank_scores AS s USING (symbol, origin, horizon, forecaster)
    WHERE r.target_session <= $origin::DATE
),
scored AS (  -- companies; one of which some were scored waits for nobody any more
    SELECT DISTINCT r.run_id, r.origin, r.horizon, r.forecaster, r.target_session
    FROM store.rank_scores AS s JOIN store.rank_forecasts AS r USING (symbol, origin, horizon, forecaster)
    WHERE s.origin >= (SELECT min(origin) FROM unscored)
),
due AS (FROM unscored ANTI JOIN scored USING (run_id, origin, horizon, forecaster, target_session)),
outcome AS (
    SELECT symbol, origin, horizon, any_value(s.close_at_target / f.close ORDER BY forecaster) AS grew
    FROM store.scores AS s JOIN store.forecasts AS f USING (symbol, origin, horizon, forecaster)
    WHERE s.target_session <= $origin::DATE AND f.origin >= (SELECT min(origin) FROM due)
    GROUP BY ALL
),
settled AS (
    SELECT due.*, outcome.grew,
        count(*) OVER together AS company,
        count(outcome.grew) OVER together AS present
    FROM due LEFT JOIN outcome USING (symbol, origin, horizon)
    WINDOW together AS (PARTITION BY due.run_id, origin, horizon, forecaster, target_session)
),
ranked AS (
    SELECT *, floor((row_number() OVER (
            PARTITION BY run_id, origin, horizon, forecaster, target_session ORDER BY grew, symbol
        ) - 1) * 5 / present)::INTEGER + 1 AS fifth
    FROM settled
    WHERE grew IS NOT NULL AND (
        present = company
        OR (present >= greatest(5, 0.8 * company) AND target_session <= $origin::DATE - INTERVAL {LATE_DAYS} DAY)
    )
)
INSERT INTO store.rank_scores BY NAME
SELECT
    symbol, origin, horizon, forecaster, target_session, fifth,
    ( (p1 - (fifth <= 1)::INTEGER) ** 2 + (p1 + p2 - (fifth <= 2)::INTEGER) ** 2
    + (p1 + p2 + p3 - (fifth <= 3)::INTEGER) ** 2 + (p1 + p2 + p3 + p4 - (fifth <= 4)::INTEGER) ** 2 ) / 5 AS rps,
    $run_id AS run_id,
    $scored_at::TIMESTAMPTZ AS scored_at
FROM ranked
ORDER BY origin, symbol, horizon, forecaster
"""


def left_unranked(con: duckdb.DuckDBPyConnection, before: date, least: int) -> list[tuple[date, int, str]]:
    """What was forecast of at ``least`` so many symbols in the thirty days ``before`` a session, by runs that ended before
    they ranked it: origin, longest horizon, run_id; oldest first."""
    return con.execute(
        """SELECT f.origin, max(f.horizon), f.run_id FROM store.forecasts AS f
        WHERE f.serving AND f.origin >= $before::DATE - INTERVAL 30 DAY AND f.origin < $before::DATE
            AND NOT EXISTS (
                FROM store.steps AS s WHERE s.run_id = f.run_id AND starts_with(s.step, 'rank/')
                    AND f.origin >= TRY_CAST(split_part(s.step[6:], '..', 1) AS DATE)
                    AND f.origin <= TRY_CAST(split_part(s.step[6:], '..', 2) AS DATE)
            )
            AND NOT EXISTS (FROM store.rank_forecasts AS r WHERE r.run_id = f.run_id AND r.origin = f.origin)
        GROUP BY f.origin, f.run_id HAVING count(DISTINCT f.symbol) >= $least ORDER BY f.origin, f.run_id""",
        {"before": str(before)[:10], "least": least},
    ).fetchall()


def append_ranks(tx: Tx, frame: pd.DataFrame) -> Appended:
    """Store rank forecasts (the columns of ``store.rank_forecasts``); a key that was issued before stays as it was."""
    return tx.append("rank_forecasts", frame, RANK_KEY)


def score_ranks(tx: Tx, origin: date, run_id: str, scored_at: datetime) -> int:
    """Score every company of ranks whose target session is at or before ``origin`` and has settled; how many rows.

    Goes after ``storage.ledger.score_settled``, whose outcomes it ranks.
    """
    scored = tx.execute(_SCORE, {"origin": str(origin)[:10], "run_id": run_id, "scored_at": scored_at}).fetchone()[0]
    tx.receipt("rank_scores", scored)
    return scored
