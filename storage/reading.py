"""What the doors show: small reads of the snapshot that import nothing but duckdb.

Each takes an open snapshot (``with open_snapshot(home) as con``) and answers Rows: column names and tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import duckdb


class Rows(NamedTuple):
    columns: list[str]
    rows: list[tuple]


def ask(con: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> Rows:
    found = con.execute(sql, parameters) if parameters is not None else con.execute(sql)
    return Rows([column[0] for column in found.description], found.fetchall())


def latest_forecasts(con: duckdb.DuckDBPyConnection, symbols: Sequence[str] | None = None) -> Rows:
    """The newest served forecast of each symbol and horizon."""
    wanted = None if symbols is None else list(symbols)
    return ask(con, "FROM latest_forecasts WHERE $s::VARCHAR[] IS NULL OR list_contains($s::VARCHAR[], symbol)", {"s": wanted})


def symbol_forecast(con: duckdb.DuckDBPyConnection, symbol: str) -> Rows:
    """The symbol's newest forecasts by every forecaster, the one that served first."""
    return ask(
        con,
        """SELECT horizon, target_session, forecaster, serving, mode, origin, close,
            q05, q10, q25, q50, q75, q90, q95, p_up, scale, model_id, issued_at
        FROM store.forecasts
        WHERE symbol = $s AND origin = (SELECT max(origin) FROM store.forecasts WHERE symbol = $s)
        ORDER BY horizon, serving DESC, forecaster""",
        {"s": symbol},
    )


def symbol_accuracy(con: duckdb.DuckDBPyConnection, symbol: str) -> Rows:
    """How well the served forecasts of the symbol did."""
    return ask(con, "FROM forecast_accuracy WHERE symbol = ?", [symbol])


def symbol_history(con: duckdb.DuckDBPyConnection, symbol: str, sessions: int = 60) -> Rows:
    """The symbol's last ``sessions`` bars as traded and adjusted, oldest first."""
    return ask(
        con,
        """FROM (
            SELECT session, close, close_split_adjusted, close_total_return FROM prices_adjusted
            WHERE symbol = ? ORDER BY session DESC LIMIT ?
        ) ORDER BY session""",
        [symbol, sessions],
    )


def scoreboard(con: duckdb.DuckDBPyConnection, mode: str | None = None) -> Rows:
    """How well each forecaster did; ``mode`` live or backfill, None for both (in rows of their own)."""
    from storage.tallies import TALLIES, tally

    found = [row for row in tally("scoreboard", lambda sql, given: ask(con, sql, given)) if mode in (None, row["mode"])]
    found.sort(key=lambda row: (row["horizon"], row["forecaster"] != "served", row["pinball"]))
    found.sort(key=lambda row: row["mode"], reverse=True)
    return Rows(list(TALLIES["scoreboard"].columns), [tuple(row.values()) for row in found])


def models(con: duckdb.DuckDBPyConnection) -> Rows:
    """Every trained model, newest first."""
    return ask(con, "FROM models ORDER BY origin DESC, created_at DESC")


def evaluations(con: duckdb.DuckDBPyConnection, model_id: str) -> Rows:
    """The metrics of one model; ``model_id`` may be the first digits."""
    return ask(con, "FROM evaluations WHERE starts_with(model_id, ?)", [model_id])


def decisions(con: duckdb.DuckDBPyConnection, limit: int = 10) -> Rows:
    """The newest gate decisions, one row each."""
    return ask(
        con,
        """SELECT decision_id, origin, model_id, challenger, verdict, sentence, decided_at,
            count(code) AS checks, count(*) FILTER (WHERE check_verdict = 'pass') AS passed
        FROM gate_decisions GROUP BY ALL ORDER BY origin DESC, decided_at DESC LIMIT ?""",
        [limit],
    )


def decision_checks(con: duckdb.DuckDBPyConnection, decision_id: str) -> Rows:
    """The checks of one decision, in order."""
    return ask(
        con,
        """SELECT code, check_name, check_verdict, check_sentence, value, threshold FROM gate_decisions
        WHERE decision_id = ? AND code IS NOT NULL ORDER BY position""",
        [decision_id],
    )


def quarantine_summary(con: duckdb.DuckDBPyConnection) -> Rows:
    """Rows set aside by severity, reason and symbol, the most frequent first."""
    return ask(
        con,
        """SELECT severity, reason, symbol, count(*) AS n, min(session) AS first_session, max(session) AS last_session,
            any_value(message) AS example
        FROM quarantine GROUP BY severity, reason, symbol ORDER BY n DESC, reason, symbol""",
    )


def freshness(con: duckdb.DuckDBPyConnection) -> Rows:
    return ask(con, "FROM freshness ORDER BY sessions_behind DESC, symbol")


def requests_by_source(con: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, dict[str, Any]]:
    """For each source that was ever asked: requests_24h, last_success_at, last_failure_at, last_failure. A database of before
    the log was kept has none."""
    if not ask(con, "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'requests'").rows:
        return {}
    found = ask(
        con,
        """SELECT source,
            coalesce(sum(requests) FILTER (WHERE asked_at > $now - INTERVAL 24 HOUR), 0)::BIGINT AS requests_24h,
            max(asked_at) FILTER (WHERE answered > 0) AS last_success_at,
            max(asked_at) FILTER (WHERE failed > 0) AS last_failure_at,
            arg_max(detail, asked_at) FILTER (WHERE failed > 0) AS last_failure
        FROM store.requests GROUP BY source ORDER BY source""",
        {"now": now},
    )
    return {row[0]: dict(zip(found.columns[1:], row[1:], strict=True)) for row in found.rows}


def runs(con: duckdb.DuckDBPyConnection, limit: int = 10) -> Rows:
    """The newest runs."""
    return ask(con, "FROM runs ORDER BY finished_at DESC LIMIT ?", [limit])


def status_summary(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """What a person asks first, as plain values; a part that does not exist yet is None.

    published: run_id, published_at, digest, schema · last_run: a row of ``runs`` · serving: model_id, forecaster, reason,
    origin, since · freshness: symbols, first_session, last_session, symbols_behind, last_origin · counts: rows of tables.
    """
    return {
        "published": _first(ask(con, "FROM store.publication")),
        "last_run": _first(runs(con, 1)),
        "serving": _first(
            ask(
                con,
                """SELECT model_id, forecaster, reason, origin, decision_id, since
                FROM store.serving ORDER BY origin DESC, position DESC LIMIT 1""",
            )
        ),
        "freshness": _first(
            ask(
                con,
                """SELECT count(*) AS symbols, min(first_session) AS first_session, max(last_session) AS last_session,
                    count(*) FILTER (WHERE sessions_behind > 0) AS symbols_behind, max(last_origin) AS last_origin
                FROM freshness""",
            )
        ),
        "counts": _first(
            ask(
                con,
                """SELECT (SELECT count(*) FROM store.bars) AS bars, (SELECT count(*) FROM store.forecasts) AS forecasts,
                    (SELECT count(*) FROM store.scores) AS scores, (SELECT count(*) FROM store.models) AS models,
                    (SELECT count(*) FROM store.quarantine) AS quarantine""",
            )
        ),
    }


def _first(found: Rows) -> dict[str, Any] | None:
    return dict(zip(found.columns, found.rows[0], strict=True)) if found.rows else None
