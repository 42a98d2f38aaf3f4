"""The SQL of the pages' summaries, on the public views; where there is no view yet (who served, stages) on the tables.

``$since`` bounds the origins: the ledger is stored in the order of its origins, so that a page about a year reads a year.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from app.web.questions import FRESHNESS, LATEST
from storage.editions import Edition

ALL = 10_000_000  # rows: no bound but the memory that the edition may take

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
    SELECT symbol, origin, horizon, mode, pinball, forecaster FROM forecasts WHERE settled AND origin BETWEEN $since AND $until
)
SELECT
    r.forecaster, s.horizon, s.mode, date_trunc('month', s.origin)::DATE AS month, s.symbol,
    grouping(month) = 0 AS by_month, grouping(s.symbol) = 0 AS by_symbol,
    count(*) AS n, count(*) FILTER (WHERE s.forecaster = r.forecaster) AS own, sum(s.pinball) AS ours, sum(r.pinball) AS theirs
FROM served AS s
JOIN store.scores AS r ON r.symbol = s.symbol AND r.origin = s.origin AND r.horizon = s.horizon
WHERE r.origin BETWEEN $since AND $until
GROUP BY GROUPING SETS (
    (r.forecaster, s.horizon, s.mode),
    (r.forecaster, s.horizon, s.mode, month),
    (r.forecaster, s.horizon, s.mode, s.symbol)
)
ORDER BY s.horizon, r.forecaster, month, s.symbol"""

_SUMS = {
    **{f"below_{q[1:]}": f"(close_at_target <= {q})::INTEGER" for q in QUANTILES},
    "coverage_80": "inside_80::INTEGER", "coverage_90": "inside_90::INTEGER", "pinball": "pinball", "mae": "abs_error",
    "mae_persistence": "abs(close_at_target - close) / close", "direction_hit_rate": "direction_hit::INTEGER",
}  # fmt: skip

_MONTHS = f"""
SELECT horizon, mode, date_trunc('month', origin)::DATE AS month, count(*) AS n, count(DISTINCT origin) AS n_sessions,
    min(origin) AS first_origin, max(origin) AS last_origin, count(direction_hit) AS n_called,
    {", ".join(f"sum({what})::DOUBLE AS {name}" for name, what in _SUMS.items())}
FROM forecasts WHERE settled AND origin BETWEEN $since AND $until GROUP BY ALL ORDER BY month, horizon, mode"""

# As forecasting/judging/portfolio.py: the top fifth of the ranking bought, the bottom fifth sold, equal weights, held for the
# horizon, so that `horizon` such portfolios overlap. Trades are charged as if each change of the ranking changed everything.
_PAPER = """
WITH ranked AS (
    SELECT origin, horizon, mode, ln(close_at_target / close) AS came, ln(q50 / close) / nullif(scale, 0) AS signal,
        row_number() OVER (PARTITION BY origin, horizon, mode ORDER BY ln(q50 / close) / nullif(scale, 0), symbol) AS place,
        count(*) OVER (PARTITION BY origin, horizon, mode) AS n
    FROM forecasts WHERE settled AND scale > 0 AND origin BETWEEN $since AND $until
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


def rows(edition: Edition, sql: str, **given: Any) -> list[dict[str, Any]]:
    """The rows of one of the statements above, made once for the edition."""
    return edition.kept((sql, tuple(sorted(given.items()))), lambda: edition.ask(sql, given or None).dicts())


def fresh(edition: Edition) -> dict[str, dict[str, Any]]:
    """Symbol -> how far its prices and forecasts reach."""
    return edition.kept("fresh", lambda: {row["symbol"]: row for row in FRESHNESS.rows(edition, limit=ALL)})


def latest(edition: Edition) -> dict[str, list[dict[str, Any]]]:
    """Symbol -> its newest served forecasts by horizon."""

    def make() -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for row in LATEST.rows(edition, limit=ALL):
            found.setdefault(row["symbol"], []).append(row)
        return found

    return edition.kept("latest", make)


def closes(edition: Edition, since: date) -> dict[str, list[float]]:
    """Symbol -> its closes in today's shares from ``since`` on."""
    return {row["symbol"]: row["closes"] for row in rows(edition, _CLOSES, since=since)}


def serving(edition: Edition, model_id: str, forecaster: str) -> dict[str, Any]:
    """Since when this forecaster of the model serves, and why; both None where nothing says so."""
    found = (row for row in rows(edition, _SERVING) if (row["model_id"], row["forecaster"]) == (model_id, forecaster))
    return next(found, {"since": None, "reason": None})


def champions(edition: Edition) -> list[dict[str, Any]]:
    """Who served, the newest first; ``until`` is empty for the one that serves."""
    return rows(edition, _CHAMPIONS)


def skill(edition: Edition, since: date) -> list[dict[str, Any]]:
    """Cells of forecaster, horizon and mode, whole, by month and by symbol: n and skill, 1 - ours / theirs; None of who
    served on all of its rows and so would be compared with itself."""
    cells: dict[tuple, dict[str, Any]] = {}
    for row in _by_year(edition, _SKILL, since):
        key = tuple(row[name] for name in ("forecaster", "horizon", "mode", "month", "symbol"))
        cell = cells.setdefault(key, {**row, "n": 0, "own": 0, "ours": 0.0, "theirs": 0.0})
        for name in ("n", "own", "ours", "theirs"):
            cell[name] += row[name]
    return [{**cell, "skill": _skill(cell)} for cell in cells.values()]


def _skill(cell: dict[str, Any]) -> float | None:
    return 1 - cell["ours"] / cell["theirs"] if cell["theirs"] and cell["own"] < cell["n"] else None


def below(edition: Edition, since: date) -> list[dict[str, Any]]:
    """By horizon and mode: the share of outcomes at or below each quantile, and the usual scores."""
    whole: dict[tuple, dict[str, Any]] = {}
    for row in _by_year(edition, _MONTHS, since):
        kept = whole.setdefault(
            (row["horizon"], row["mode"]), {**row, "n": 0, "n_sessions": 0, "n_called": 0} | dict.fromkeys(_SUMS, 0.0)
        )
        for name in ("n", "n_sessions", "n_called", *_SUMS):
            kept[name] += row[name] or 0
        kept["first_origin"] = min(kept["first_origin"], row["first_origin"])
        kept["last_origin"] = max(kept["last_origin"], row["last_origin"])
    return [_means(row) for _, row in sorted(whole.items())]


def months(edition: Edition, since: date) -> list[dict[str, Any]]:
    """The same by month."""
    return [_means(row) for row in _by_year(edition, _MONTHS, since)]


def _means(row: dict[str, Any]) -> dict[str, Any]:
    of = {name: row["n_called"] if name == "direction_hit_rate" else row["n"] for name in _SUMS}
    return {**row, **{name: row[name] / of[name] if of[name] and row[name] is not None else None for name in _SUMS}}


def paper(edition: Edition, since: date) -> list[dict[str, Any]]:
    return sorted(_by_year(edition, _PAPER, since), key=lambda row: (row["horizon"], row["mode"], row["origin"]))


def _by_year(edition: Edition, sql: str, since: date) -> list[dict[str, Any]]:
    """The rows of a statement for each calendar year from ``since`` on, one after the other: what a join of millions of
    forecasts takes of memory is bounded by a year, and a longer reach uses what a shorter one has counted."""
    first, newest = edition.kept("origins", lambda: edition.ask("SELECT min(origin), max(origin) FROM forecasts").rows[0])
    if first is None:
        return []
    found = []
    for year in range(max(first, since).year, newest.year + 1):
        begin, end = max(date(year, 1, 1), since), date(year, 12, 31)
        if begin <= first:
            begin = date(year, 1, 1)
        found += rows(edition, sql, since=begin, until=end)
    return found


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
    return list(fresh(edition))
