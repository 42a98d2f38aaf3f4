"""The views scoreboard, forecast_accuracy and live_coverage for a ledger of any length, counted year by year.

The views join every score with its forecast, and so take memory and time as the ledger grows: at fifteen million forecasts
more than a reading process may have. Every number in them is a sum over origins or a quotient of such sums, so that a year
can be counted after the other and the years added; a test holds the outcome against the views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

#: ask(sql, parameters) -> (column names, rows)
Ask = Callable[[str, Mapping[str, Any]], tuple[Sequence[str], Sequence[tuple]]]

_SCORED = """
WITH scored AS (
    SELECT s.*, f.mode, f.serving, f.model_id, f.q05, f.q10, f.q25, f.q75, f.q90, f.q95
    FROM store.scores AS s
    JOIN store.forecasts AS f
        ON f.symbol = s.symbol AND f.origin = s.origin AND f.horizon = s.horizon AND f.forecaster = s.forecaster
    WHERE s.origin BETWEEN $since AND $until AND f.origin BETWEEN $since AND $until
)"""

_HITS = """
    sum(inside_80::INTEGER)::DOUBLE AS coverage_80, sum(inside_90::INTEGER)::DOUBLE AS coverage_90,
    sum(direction_hit::INTEGER)::DOUBLE AS direction_hit_rate, count(direction_hit) AS called"""

_SCOREBOARD = (
    _SCORED
    + """,
rivals AS (
    SELECT symbol, origin, horizon,
        max(pinball) FILTER (WHERE forecaster = 'persistence') AS persistence,
        max(pinball) FILTER (WHERE forecaster = 'ewma') AS ewma
    FROM store.scores
    WHERE origin BETWEEN $since AND $until AND forecaster IN ('persistence', 'ewma') GROUP BY symbol, origin, horizon
),
compared AS (SELECT n.*, r.persistence, r.ewma FROM scored AS n LEFT JOIN rivals AS r USING (symbol, origin, horizon)),
named AS (SELECT forecaster AS who, * FROM compared UNION ALL SELECT 'served', * FROM compared WHERE serving)
SELECT
    who AS forecaster, horizon, mode, count(*) AS n, count(DISTINCT origin) AS n_sessions, min(origin) AS first_origin,
    max(origin) AS last_origin, sum(pinball) AS pinball, sum(abs_error) AS mae,
    sum(pinball) FILTER (WHERE persistence IS NOT NULL) AS beside_persistence, sum(persistence) AS of_persistence,
    sum(pinball) FILTER (WHERE ewma IS NOT NULL) AS beside_ewma, sum(ewma) AS of_ewma,"""
    + _HITS
    + "\nFROM named GROUP BY who, horizon, mode"
)

_ACCURACY = (
    _SCORED
    + """
SELECT symbol, horizon, mode, count(*) AS n, sum(pinball) AS pinball, sum(abs_error) AS mae,
    sum(persistence_abs_error) AS mae_persistence, min(origin) AS first_origin, max(origin) AS last_origin,"""
    + _HITS
    + "\nFROM scored WHERE serving GROUP BY symbol, horizon, mode"
)

_COVERAGE = (
    _SCORED
    + """,
each_origin AS (
    SELECT model_id, forecaster, horizon, mode, origin, count(*) AS n,
        sum((close_at_target BETWEEN q25 AND q75)::INTEGER)::DOUBLE AS "50",
        sum((close_at_target BETWEEN q10 AND q90)::INTEGER)::DOUBLE AS "80",
        sum((close_at_target BETWEEN q05 AND q95)::INTEGER)::DOUBLE AS "90"
    FROM scored GROUP BY ALL
),
long AS (UNPIVOT each_origin ON "50", "80", "90" INTO NAME level VALUE inside)
SELECT
    model_id, forecaster, horizon, mode, level::INTEGER AS level, sum(inside) AS inside, sum(n)::BIGINT AS n,
    count(*) AS n_sessions, sum(inside / n) AS shares, sum((inside / n) * (inside / n)) AS squares,
    min(origin) AS first_origin, max(origin) AS last_origin
FROM long GROUP BY model_id, forecaster, horizon, mode, level"""
)


class Tally(NamedTuple):
    """``key``: what a row is of; ``finish``: from its sums to what the view says."""

    sql: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    finish: Callable[[dict[str, Any]], dict[str, Any]]


def tally(view: str, ask: Ask) -> list[dict[str, Any]]:
    """The rows of a view of ``TALLIES``, in no order."""
    one = TALLIES[view]
    whole: dict[tuple, dict[str, Any]] = {}
    for begin, end in _years(ask):
        columns, rows = ask(one.sql, {"since": begin, "until": end})
        for row in rows:
            told = dict(zip(columns, row, strict=True))
            key = tuple(told[name] for name in one.key)
            whole[key] = _added(whole[key], told, one.key) if key in whole else told
    return [{name: row.get(name) for name in one.columns} for row in map(one.finish, whole.values())]


def _years(ask: Ask) -> Iterator[tuple[date, date]]:
    first, last = ask("SELECT min(origin), max(origin) FROM store.scores", {})[1][0]
    for year in range(first.year, last.year + 1) if first is not None else ():
        yield date(year, 1, 1), date(year, 12, 31)


def _added(a: dict[str, Any], b: dict[str, Any], key: tuple[str, ...]) -> dict[str, Any]:
    found = dict(a)
    for name, value in b.items():
        if name in key or value is None:
            continue
        if a[name] is None:
            found[name] = value
        elif name in ("first_origin", "last_origin"):
            found[name] = (min if name == "first_origin" else max)(a[name], value)
        else:
            found[name] = a[name] + value
    return found


def _over(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


def _skill(ours: float | None, theirs: float | None) -> float | None:
    found = _over(ours, theirs)
    return None if found is None else 1 - found


def _hits(row: dict[str, Any]) -> dict[str, Any]:
    means = {name: _over(row[name], row["n"]) for name in ("pinball", "mae", "coverage_80", "coverage_90")}
    return {**row, **means, "direction_hit_rate": _over(row["direction_hit_rate"], row["called"])}


def _scored(row: dict[str, Any]) -> dict[str, Any]:
    skills = {f"skill_vs_{name}": _skill(row[f"beside_{name}"], row[f"of_{name}"]) for name in ("persistence", "ewma")}
    return {**_hits(row), **skills}


def _accurate(row: dict[str, Any]) -> dict[str, Any]:
    return {**_hits(row), "mae_persistence": _over(row["mae_persistence"], row["n"])}


def _covered(row: dict[str, Any]) -> dict[str, Any]:
    n, sessions, interval = row["n"], row["n_sessions"], row["level"] / 100
    share, apart = row["inside"] / n, max(1.0, sessions / row["horizon"])
    spread = max(row["squares"] - row["shares"] ** 2 / sessions, 0.0) / (sessions - 1) if sessions > 1 else None
    return {
        **row, "interval": interval, "share": share, "missing": share - interval, "independent_sessions": apart,
        "standard_error": None if spread is None else math.sqrt(spread / apart),
    }  # fmt: skip


_COUNTED = ("n", "n_sessions", "first_origin", "last_origin")
_MEANS = ("coverage_80", "coverage_90", "direction_hit_rate")
TALLIES = {
    "scoreboard": Tally(
        _SCOREBOARD, ("forecaster", "horizon", "mode"),
        ("forecaster", "horizon", "mode", *_COUNTED, "pinball", "skill_vs_persistence", "skill_vs_ewma", "mae", *_MEANS),
        _scored,
    ),
    "forecast_accuracy": Tally(
        _ACCURACY, ("symbol", "horizon", "mode"),
        ("symbol", "horizon", "mode", "n", "pinball", "mae", "mae_persistence", *_MEANS, "first_origin", "last_origin"),
        _accurate,
    ),
    "live_coverage": Tally(
        _COVERAGE, ("model_id", "forecaster", "horizon", "mode", "level"),
        ("model_id", "forecaster", "horizon", "mode", "interval", "share", "missing", "n", "n_sessions", "independent_sessions",
         "standard_error", "first_origin", "last_origin"), _covered,
    ),
}  # fmt: skip
