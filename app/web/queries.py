"""The SQL of the pages' summaries, on the public views; where there is no view yet (who served, stages) on the tables.

``$since`` bounds the origins: the ledger is stored in the order of its origins, so that a page about a year reads a year.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from storage.editions import Edition

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
LONG_AGO = date(1900, 1, 1)

_CLOSES = """
SELECT symbol, list(close_split_adjusted ORDER BY session) AS closes
FROM prices_adjusted WHERE session >= $since GROUP BY symbol"""

_SERVING = """
SELECT model_id, forecaster, min(origin) AS since, arg_max(reason, (origin, position)) AS reason
FROM store.serving GROUP BY model_id, forecaster"""

_CHAMPIONS = """
SELECT s.position, s.origin, s.model_id, s.forecaster, s.reason, s.decision_id, s.since,
    lead(s.origin) OVER (ORDER BY s.origin, s.position) AS until
FROM store.serving AS s ORDER BY s.origin DESC, s.position DESC"""

# One pass for all three cuts: each rival's loss on the rows that were served, beside the loss of what was served.
_SKILL = """
WITH served AS (
    SELECT symbol, origin, horizon, mode, pinball FROM forecasts WHERE settled AND origin >= $since
)
SELECT
    r.forecaster, s.horizon, s.mode, date_trunc('month', s.origin)::DATE AS month, s.symbol,
    grouping(month) = 0 AS by_month, grouping(s.symbol) = 0 AS by_symbol,
    count(*) AS n, count(DISTINCT s.origin) AS n_sessions,
    1 - sum(s.pinball) / nullif(sum(r.pinball), 0) AS skill
FROM served AS s
JOIN store.scores AS r ON r.symbol = s.symbol AND r.origin = s.origin AND r.horizon = s.horizon
WHERE r.origin >= $since
GROUP BY GROUPING SETS (
    (r.forecaster, s.horizon, s.mode),
    (r.forecaster, s.horizon, s.mode, month),
    (r.forecaster, s.horizon, s.mode, s.symbol)
)
ORDER BY s.horizon, r.forecaster, month, s.symbol"""

_BELOW = f"""
SELECT horizon, mode, count(*) AS n, count(DISTINCT origin) AS n_sessions, min(origin) AS first_origin, max(origin) AS last_origin,
    {", ".join(f"avg((close_at_target <= {q})::INTEGER) AS below_{q[1:]}" for q in QUANTILES)},
    avg(inside_80::INTEGER) AS coverage_80, avg(inside_90::INTEGER) AS coverage_90, avg(pinball) AS pinball, avg(abs_error) AS mae,
    avg(abs(close_at_target - close) / close) AS mae_persistence, avg(direction_hit::INTEGER) AS direction_hit_rate
FROM forecasts WHERE settled AND origin >= $since GROUP BY horizon, mode ORDER BY horizon, mode"""

_MONTHS = """
SELECT horizon, mode, date_trunc('month', origin)::DATE AS month, count(*) AS n, avg(inside_80::INTEGER) AS coverage_80,
    avg(inside_90::INTEGER) AS coverage_90, avg(abs_error) AS mae, avg(abs(close_at_target - close) / close) AS mae_persistence
FROM forecasts WHERE settled AND origin >= $since AND ($symbol::VARCHAR IS NULL OR symbol = $symbol)
GROUP BY ALL ORDER BY month, horizon, mode"""

# As forecasting/judging/portfolio.py: the top fifth of the ranking bought, the bottom fifth sold, equal weights, held for the
# horizon, so that `horizon` such portfolios overlap. Trades are charged as if each change of the ranking changed everything.
_PAPER = """
WITH ranked AS (
    SELECT origin, horizon, mode, ln(close_at_target / close) AS came, ln(q50 / close) / nullif(scale, 0) AS signal,
        row_number() OVER (PARTITION BY origin, horizon, mode ORDER BY ln(q50 / close) / nullif(scale, 0), symbol) AS place,
        count(*) OVER (PARTITION BY origin, horizon, mode) AS n
    FROM forecasts WHERE settled AND scale > 0 AND origin >= $since
)
SELECT origin, horizon, mode, any_value(n) AS symbols,
    (avg(exp(came) - 1) FILTER (WHERE place > n - greatest(1, n // 5))
     - avg(exp(came) - 1) FILTER (WHERE place <= greatest(1, n // 5))) / horizon AS earned
FROM ranked GROUP BY origin, horizon, mode
HAVING any_value(n) >= 5 AND max(signal) - min(signal) > 1e-12
ORDER BY horizon, mode, origin"""

_REVISIONS = """
SELECT session, close, revision, source, known_at FROM prices WHERE symbol = $symbol AND revision > 0
ORDER BY session DESC LIMIT 20"""

_QUALITY = """
SELECT source, count(DISTINCT symbol) AS symbols, sum(received)::BIGINT AS received, sum(stored)::BIGINT AS stored,
    sum(unchanged)::BIGINT AS unchanged, sum(revised)::BIGINT AS revised, sum(merged)::BIGINT AS merged,
    sum(outside)::BIGINT AS outside, sum(quarantined)::BIGINT AS quarantined, sum(warned)::BIGINT AS warned,
    max(known_at) AS known_at
FROM quality GROUP BY source ORDER BY source"""

_QUALITY_SYMBOLS = """
SELECT source, symbol, sum(received)::BIGINT AS received, sum(stored)::BIGINT AS stored, sum(revised)::BIGINT AS revised,
    sum(quarantined)::BIGINT AS quarantined, sum(warned)::BIGINT AS warned, max(known_at) AS known_at
FROM quality GROUP BY source, symbol ORDER BY quarantined DESC, warned DESC, revised DESC, symbol LIMIT 1000"""

_ASIDE = """
SELECT reason, severity, source, count(*) AS rows, count(DISTINCT symbol) AS symbols, min(session) AS first_session,
    max(session) AS last_session, any_value(message) AS example
FROM quarantine GROUP BY reason, severity, source ORDER BY rows DESC, reason LIMIT 200"""

_BUDGETS = """
SELECT source, sum(requests) FILTER (WHERE asked_at > $now::TIMESTAMPTZ - INTERVAL 24 HOUR)::BIGINT AS requests_24h,
    sum(requests)::BIGINT AS requests, max(asked_at) FILTER (WHERE answered > 0) AS last_success_at,
    max(asked_at) FILTER (WHERE failed > 0) AS last_failure_at,
    arg_max(detail, asked_at) FILTER (WHERE failed > 0) AS last_failure
FROM store.requests GROUP BY source ORDER BY source"""

_STAGES = """
SELECT stage, count(*) AS times, sum(seconds) AS seconds, max(peak_mb) AS peak_mb
FROM store.stage_times WHERE run_id = $run GROUP BY stage ORDER BY min(rowid)"""

_STEPS = 'SELECT step, "rows", digest, finished_at FROM store.steps WHERE run_id = $run ORDER BY finished_at, step LIMIT 1000'

_STAGES_OF_RUNS = """
SELECT run_id, stage, sum(seconds) AS seconds FROM store.stage_times GROUP BY run_id, stage"""

_CARD = "SELECT card_json FROM store.models WHERE model_id = $model"

_NEIGHBOURS = """
SELECT symbol FROM freshness ORDER BY symbol"""


def rows(edition: Edition, sql: str, **given: Any) -> list[dict[str, Any]]:
    """The rows of one of the statements above, made once for the edition."""
    return edition.kept((sql, tuple(sorted(given.items()))), lambda: edition.ask(sql, given or None).dicts())


def closes(edition: Edition, since: date) -> dict[str, list[float]]:
    """Symbol -> its closes in today's shares from ``since`` on."""
    return {row["symbol"]: row["closes"] for row in rows(edition, _CLOSES, since=since)}


def serving(edition: Edition) -> dict[tuple[str, str], dict[str, Any]]:
    """(model, forecaster) -> since when it serves, and why."""
    return {(row["model_id"], row["forecaster"]): row for row in rows(edition, _SERVING)}


def champions(edition: Edition) -> list[dict[str, Any]]:
    """Who served, the newest first; ``until`` is empty for the one that serves."""
    return rows(edition, _CHAMPIONS)


def skill(edition: Edition, since: date) -> list[dict[str, Any]]:
    return rows(edition, _SKILL, since=since)


def below(edition: Edition, since: date) -> list[dict[str, Any]]:
    """By horizon and mode: the share of outcomes at or below each quantile, and the usual scores."""
    return rows(edition, _BELOW, since=since)


def months(edition: Edition, since: date, symbol: str | None = None) -> list[dict[str, Any]]:
    if symbol is None:
        return rows(edition, _MONTHS, since=since, symbol=None)
    return edition.ask(_MONTHS, {"since": since, "symbol": symbol}).dicts()


def paper(edition: Edition, since: date) -> list[dict[str, Any]]:
    return rows(edition, _PAPER, since=since)


def revisions(edition: Edition, symbol: str) -> list[dict[str, Any]]:
    return edition.ask(_REVISIONS, {"symbol": symbol}).dicts()


def quality(edition: Edition) -> list[dict[str, Any]]:
    return rows(edition, _QUALITY)


def quality_by_symbol(edition: Edition) -> list[dict[str, Any]]:
    return rows(edition, _QUALITY_SYMBOLS)


def set_aside(edition: Edition) -> list[dict[str, Any]]:
    return rows(edition, _ASIDE)


def budgets(edition: Edition, now: Any) -> list[dict[str, Any]]:
    return edition.ask(_BUDGETS, {"now": now}).dicts()


def stages(edition: Edition, run: str) -> list[dict[str, Any]]:
    return edition.ask(_STAGES, {"run": run}).dicts()


def steps(edition: Edition, run: str) -> list[dict[str, Any]]:
    return edition.ask(_STEPS, {"run": run}).dicts()


def stages_of_runs(edition: Edition) -> dict[str, dict[str, float]]:
    """Run -> stage -> seconds."""
    found: dict[str, dict[str, float]] = {}
    for row in rows(edition, _STAGES_OF_RUNS):
        found.setdefault(row["run_id"], {})[row["stage"]] = row["seconds"] or 0.0
    return found


def card(edition: Edition, model: str) -> dict[str, Any]:
    """The model's card in full."""
    import json

    found = edition.ask(_CARD, {"model": model}).rows
    return json.loads(found[0][0]) if found else {}


def symbols(edition: Edition) -> list[str]:
    """Every symbol with prices."""
    return [row["symbol"] for row in rows(edition, _NEIGHBOURS)]
