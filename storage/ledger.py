"""The ledger: forecasts as they were issued, and their scores once the target session settled. Append-only.

No code path updates or deletes a row here (tests/storage/test_ledger.py reads the sources for it). The first issue of a
(symbol, origin, horizon, forecaster) wins; a second one changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from storage.append import Appended, current
from storage.bars import ACTION_KEY, BAR_KEY, frame_of
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

LATE_DAYS = 7  # for so long a score waits for a source that changed most of what it had said
_LONG_PASSED = timedelta(days=90)  # after which nobody catches up what a symbol missed
FORECAST_KEY = ("symbol", "origin", "horizon", "forecaster")

# Outcomes are put into the units of the close at the origin: an as-traded close at the target times the shares that one
# share of the origin became by splits on the way. Bars that came adjusted are in the unit of the day on which they came, and
# each split or dividend since has moved all of them: what the origin's bar is by now says by how much.
# A symbol most of whose stored bars came with other values (``restated``) is scored when its source has made up its mind: the
# next time, or when the target session is LATE_DAYS ago.
# Losses are fractions of the close at the origin (so that symbols of any price add up):
# pinball loss of level t: max(t (y - q), (t - 1)(y - q)) / close, averaged over the seven levels.
_SCORE = f"""
WITH due AS (
    SELECT f.* FROM store.forecasts AS f
    ANTI JOIN store.scores AS s USING (symbol, origin, horizon, forecaster)
    WHERE f.target_session <= $origin::DATE AND (
        f.target_session <= $origin::DATE - INTERVAL {LATE_DAYS} DAY OR NOT list_contains($restated::VARCHAR[], f.symbol)
    )
),
bar AS (
    {current("bars", BAR_KEY, "session <= $origin::DATE AND session >= (SELECT min(origin) FROM due)")}
),
split AS (
    SELECT symbol, session, value FROM ({current("actions", ACTION_KEY, "kind = 'split'")}) WHERE value > 0
),
grown AS (
    SELECT d.symbol, d.origin, d.target_session, product(s.value) AS shares
    FROM (SELECT DISTINCT symbol, origin, target_session FROM due) AS d
    JOIN split AS s ON s.symbol = d.symbol AND s.session > d.origin AND s.session <= d.target_session
    GROUP BY ALL
),
settled AS (
    SELECT due.*, bar.close * CASE
        WHEN bar.basis = 'as_traded' THEN coalesce(grown.shares, 1)
        WHEN began.basis = 'adjusted' AND began.close <> due.close THEN due.close / began.close
        ELSE 1 END AS y
    FROM due
    JOIN bar ON bar.symbol = due.symbol AND bar.session = due.target_session
    LEFT JOIN bar AS began ON began.symbol = due.symbol AND began.session = due.origin
    LEFT JOIN grown ON grown.symbol = due.symbol AND grown.origin = due.origin AND grown.target_session = due.target_session
)
INSERT INTO store.scores BY NAME
SELECT
    symbol, origin, horizon, forecaster, target_session, y AS close_at_target,
    ( greatest(0.05 * (y - q05), -0.95 * (y - q05)) + greatest(0.10 * (y - q10), -0.90 * (y - q10))
    + greatest(0.25 * (y - q25), -0.75 * (y - q25)) + greatest(0.50 * (y - q50), -0.50 * (y - q50))
    + greatest(0.75 * (y - q75), -0.25 * (y - q75)) + greatest(0.90 * (y - q90), -0.10 * (y - q90))
    + greatest(0.95 * (y - q95), -0.05 * (y - q95)) ) / 7 / close AS pinball,
    abs(y - q50) / close AS abs_error,
    y BETWEEN q10 AND q90 AS inside_80,
    y BETWEEN q05 AND q95 AS inside_90,
    CASE WHEN y <> close AND p_up <> 0.5 THEN (p_up > 0.5) = (y > close) END AS direction_hit, -- no call, no hit
    abs(y - close) / close AS persistence_abs_error,
    $run_id AS run_id,
    $scored_at::TIMESTAMPTZ AS scored_at
FROM settled
ORDER BY origin, symbol, horizon, forecaster
"""


Between = Callable[[Collection[str], date, date], Iterable[date]]

# What completed runs went over, by the names of their steps ('forecast/2021-04-01..2021-04-08'): what one left out was left out
# with a reason, and what was issued before is not issued again, so that its rows do not say where it was. But a symbol that a
# run left out for a reason that passes ($passing) was not done by it; where its bar was late, not at that session. Runs without
# such symbols, nearly all, are taken together where they are of the same list. What was left out before $kept counts as done.
_WENT_OVER = r"""
WITH kept_out AS (
    SELECT run_id, symbol, max(session) AS session, bool_or(reason <> 'stale_symbol') AS whole FROM store.quarantine
    WHERE severity = 'refused' AND list_contains($passing::VARCHAR[], reason) AND session >= $kept::DATE GROUP BY run_id, symbol
),
named AS (
    SELECT CASE WHEN run_id IN (SELECT run_id FROM kept_out) THEN run_id END AS kept_run, runs.symbols,
        regexp_extract_all(steps.step, '\d{4}-\d{2}-\d{2}') AS days
    FROM store.steps JOIN store.runs USING (run_id)
    WHERE starts_with(steps.step, 'forecast/') AND run_id IS DISTINCT FROM $besides
),
went_over AS (SELECT DISTINCT kept_run, symbols, days[1]::DATE AS first, days[-1]::DATE AS last FROM named),
issued AS (SELECT symbol, origin FROM store.forecasts WHERE run_id IS DISTINCT FROM $besides)"""

_LAST_DONE = f"""
{_WENT_OVER},
bound AS (SELECT coalesce($until::DATE, DATE '9999-12-31') AS until),
together AS (
    SELECT kept_run, symbols, min(first) AS first, max(CASE WHEN last <= until THEN last ELSE first END) AS origin
    FROM went_over, bound WHERE first <= until GROUP BY kept_run, symbols
),
each AS (
    SELECT symbol, max(origin) AS last FROM issued, bound WHERE origin <= until GROUP BY symbol
    UNION ALL SELECT t.symbol, CASE WHEN k.session = t.origin THEN t.origin - 1 ELSE t.origin END FROM (
        SELECT kept_run, unnest(string_split(symbols, ',')) AS symbol, first, origin FROM together
    ) AS t LEFT JOIN kept_out AS k ON k.run_id = t.kept_run AND k.symbol = t.symbol
    WHERE k.whole IS NULL OR (NOT k.whole AND (k.session <> t.origin OR t.first < t.origin))
)
SELECT symbol, max(last) FROM each GROUP BY symbol
"""

_SPANS = f"{_WENT_OVER} SELECT kept_run, symbols, greatest(first, $kept::DATE), last FROM went_over WHERE last >= $kept::DATE"

_ALL_DONE = f"""
{_WENT_OVER},
wanted AS (SELECT unnest($symbols::VARCHAR[]) AS symbol),
texts AS (SELECT unnest($texts::VARCHAR[]) AS text, unnest(range(len($texts::VARCHAR[]))) AS which),
together AS (
    SELECT which, symbol FROM (SELECT which, unnest(string_split(text, ',')) AS symbol FROM texts)
    SEMI JOIN wanted USING (symbol)
),
over AS (
    SELECT DISTINCT unnest($runs::VARCHAR[]) AS kept_run, unnest($which::BIGINT[]) AS which, unnest($days::DATE[]) AS origin
),
each AS (
    SELECT symbol, origin FROM issued SEMI JOIN wanted USING (symbol) WHERE origin >= $kept::DATE
    UNION SELECT t.symbol, t.origin
    FROM (SELECT kept_run, symbol, origin FROM over JOIN together USING (which)) AS t
    ANTI JOIN kept_out AS k ON k.run_id = t.kept_run AND k.symbol = t.symbol AND (k.whole OR k.session = t.origin)
)
SELECT origin FROM each GROUP BY origin HAVING count(*) = len($symbols::VARCHAR[]) ORDER BY origin
"""


def append_forecasts(tx: Tx, frame: pd.DataFrame) -> Appended:
    """Store forecasts (the columns of ``store.forecasts``); a key that was issued before stays as it was."""
    return tx.append("forecasts", frame, FORECAST_KEY)


def score_settled(tx: Tx, origin: date, run_id: str, scored_at: datetime, restated: Collection[str] = ()) -> int:
    """Score every unscored forecast whose target session is at or before ``origin`` and has a bar; how many were. Those of
    ``restated`` symbols wait for a while."""
    wanted = {"origin": str(origin)[:10], "run_id": run_id, "scored_at": scored_at, "restated": sorted(restated)}
    scored = tx.execute(_SCORE, wanted).fetchone()[0]
    tx.receipt("scores", scored)
    return scored


def last_origins(
    con: duckdb.DuckDBPyConnection, until: date | None = None, besides: str | None = None, passing: Collection[str] = ()
) -> dict[str, date]:
    """For each symbol the last origin (at or before ``until``) at which it was done: it has a forecast from there, or a
    completed run that was to forecast it went over that day and left it out, but not for one of the reasons ``passing`` within
    the last months. The run ``besides`` does not count."""
    kept = until - _LONG_PASSED if until else date.min
    wanted = {"until": until, "besides": besides, "passing": sorted(passing), "kept": kept}
    return dict(con.execute(_LAST_DONE, wanted).fetchall())


def origins_done(
    con: duckdb.DuckDBPyConnection,
    symbols: Collection[str],
    since: date,
    between: Between,
    besides: str | None = None,
    passing: Collection[str] = (),
) -> list[date]:
    """The origins from ``since`` at which each of ``symbols`` was done, in the sense of ``last_origins``; oldest first.

    ``between``: the sessions that a run of some symbols goes over from one day to another, both included.
    """
    given = {"kept": since, "besides": besides, "passing": sorted(passing)}
    spans = con.execute(_SPANS, given).fetchall()
    texts = {text: number for number, text in enumerate(dict.fromkeys(text for _, text, _, _ in spans))}
    lists = {text: text.split(",") for text in texts}
    over = [(run, texts[text], day) for run, text, first, last in spans for day in between(lists[text], first, last)]
    runs, which, days = ([row[place] for row in over] for place in range(3))
    wanted = {"symbols": sorted(set(symbols)), "texts": list(texts), "runs": runs, "which": which, "days": days}
    return [row[0] for row in con.execute(_ALL_DONE, given | wanted).fetchall()]


def read_forecasts(con: duckdb.DuckDBPyConnection, origin: date) -> pd.DataFrame:
    """All forecasters' forecasts of one origin, in (symbol, horizon, forecaster) order."""
    return frame_of(
        con,
        "SELECT * FROM store.forecasts WHERE origin = $origin::DATE ORDER BY symbol, horizon, forecaster",
        {"origin": str(origin)[:10]},
    )
