"""All that is stored about one forecast: what was known then, who made it, why that one serves, what the others said, what
came true. Small reads of a snapshot that import nothing but duckdb.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from typing import Any

import duckdb

from forecasting.errors import InputError
from storage.append import current
from storage.bars import ACTION_KEY, BAR_KEY, known_by
from storage.reading import Rows, ask

BARS_SHOWN = 5
ACTION_DAYS = 366  # back from the origin: within the memory of most features
MOST_REVISED = 50  # rows named; all are counted
QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")

#: SQL of a forecast's id, as in the view ``forecasts``; storage/views/forecasts.sql says the same.
FORECAST_ID = "sha256(concat_ws('|', {0}symbol, {0}origin, {0}horizon, {0}forecaster))"


def id_of(forecast: dict[str, Any]) -> str:
    """The id of a row of the ledger, 64 hex digits: SHA-256 over its key."""
    key = "|".join(str(forecast[name]) for name in ("symbol", "origin", "horizon", "forecaster"))
    return hashlib.sha256(key.encode()).hexdigest()


def find_forecast(con: duckdb.DuckDBPyConnection, digits: str) -> dict[str, Any]:
    """The one forecast whose id begins with ``digits``; InputError where none does, or several."""
    wanted = digits.lower()
    if len(wanted) < 6 or not set(wanted) <= set("0123456789abcdef"):
        raise InputError(
            f"{digits!r:.80} is no forecast's id (6 to 64 hex digits, see forecast_id in the view forecasts); "
            "or name SYMBOL ORIGIN HORIZON"
        )
    found = _dicts(ask(con, f"SELECT * FROM store.forecasts WHERE starts_with({FORECAST_ID.format('')}, ?) LIMIT 2", [wanted]))
    if len(found) != 1:
        raise InputError(f"{'several' if found else 'no'} forecasts have an id that begins with {digits}; give more digits")
    return found[0]


def forecasts_from(
    con: duckdb.DuckDBPyConnection, symbol: str, origin: date, horizon: int | None = None
) -> list[dict[str, Any]]:
    """Every forecaster's forecast of the symbol from ``origin`` with its id and score, the serving one first at each horizon.

    Raises InputError that names the nearest origins where there is none.
    """
    rows = _dicts(
        ask(
            con,
            f"""SELECT {FORECAST_ID.format("f.")} AS forecast_id, f.*, s.close_at_target, s.pinball, s.abs_error, s.inside_80,
                s.inside_90, s.direction_hit
            FROM store.forecasts AS f LEFT JOIN store.scores AS s USING (symbol, origin, horizon, forecaster)
            WHERE symbol = $symbol AND origin = $origin::DATE
            ORDER BY horizon, serving DESC, forecaster""",
            {"symbol": symbol, "origin": str(origin)[:10]},
        )
    )
    if not rows:
        raise InputError(_none_from(con, symbol, origin))
    if horizon is None:
        return rows
    chosen = [row for row in rows if row["horizon"] == horizon]
    if not chosen:
        there = ", ".join(str(h) for h in sorted({row["horizon"] for row in rows}))
        raise InputError(f"no forecast of {symbol} from {origin} looks {horizon} sessions ahead; there are {there}")
    return chosen


def _none_from(con: duckdb.DuckDBPyConnection, symbol: str, origin: date) -> str:
    day = {"symbol": symbol, "day": str(origin)[:10]}
    before, after, any_symbol = con.execute(
        """SELECT max(origin) FILTER (WHERE origin < $day::DATE), min(origin) FILTER (WHERE origin > $day::DATE),
            (SELECT string_agg(symbol, ', ' ORDER BY symbol)
            FROM (SELECT DISTINCT symbol FROM store.forecasts ORDER BY symbol LIMIT 8))
        FROM store.forecasts WHERE symbol = $symbol""",
        day,
    ).fetchone()
    near = [str(day) for day in (before, after) if day is not None]
    if near:
        return f"nothing was forecast for {symbol} from {origin}; the nearest sessions are {' and '.join(near)}"
    if any_symbol:
        return f"nothing was ever forecast for {symbol}; there are forecasts of {any_symbol}"
    return "there are no forecasts yet; run `nextclose run` first"


def data_known(con: duckdb.DuckDBPyConnection, symbol: str, origin: date, as_of: datetime) -> dict[str, Any]:
    """What was known of the symbol at ``as_of``: its last bars, how many there were, its actions of the last year, the newest
    value of each macro series of before the end of the session's day (UTC), and what became known later of the same past."""
    day = {"symbol": symbol, "origin": str(origin)[:10]}
    known = known_by(as_of)
    past = "symbol = $symbol AND session <= $origin::DATE"
    bars = ask(
        con,
        f"SELECT session, open, high, low, close, volume, source, basis, revision, known_at FROM "
        f"({current('bars', BAR_KEY, past, known)}) ORDER BY session DESC LIMIT {BARS_SHOWN}",
        day,
    )
    count, first = con.execute(
        f"SELECT count(DISTINCT session), min(session) FROM store.bars WHERE {past} AND {known}", day
    ).fetchone()
    actions = ask(
        con,
        f"SELECT session, kind, value, source, known_at FROM ({current('actions', ACTION_KEY, past, known)}) "
        f"WHERE value IS NOT NULL AND session > $origin::DATE - {ACTION_DAYS} ORDER BY session",
        day,
    )
    macro = ask(
        con,
        f"""SELECT series, arg_max(about, (about, published_at)) AS about, arg_max(value, (about, published_at)) AS value,
            max(published_at) AS published_at
        FROM store.macro_values WHERE {known} AND published_at < $origin::DATE + 1 AND about <= $origin::DATE
        GROUP BY series ORDER BY series""",
        {"origin": day["origin"]},
    )
    changed, total = changed_since(con, [symbol], origin, as_of)
    return {
        "bars": _dicts(bars)[::-1], "sessions": count, "first_session": first, "actions": _dicts(actions),
        "macro": _dicts(macro), "changed_since": changed, "changed": total,
    }  # fmt: skip


def changed_since(
    con: duckdb.DuckDBPyConnection, symbols: list[str], origin: date, as_of: datetime
) -> tuple[list[dict[str, Any]], int]:
    """The bars and actions up to ``origin`` that became known only after ``as_of``, and how many there are: symbol, session,
    what (bar, split, dividend), then (close or value known at ``as_of``; None: nothing), since (the value of later)."""
    where = "symbol IN (SELECT unnest($symbols::VARCHAR[])) AND session <= $origin::DATE"
    known, later = known_by(as_of), f"known_at > TIMESTAMPTZ '{as_of.isoformat()}'"
    found = con.execute(
        f"""WITH late AS (
            SELECT symbol, session, 'bar' AS what, close AS since FROM ({current("bars", BAR_KEY, where)}) WHERE {later}
            UNION ALL
            SELECT symbol, session, kind, value FROM ({current("actions", ACTION_KEY, where)}) WHERE {later}
        ),
        then_known AS (
            SELECT symbol, session, 'bar' AS what, close AS value FROM ({current("bars", BAR_KEY, where, known)})
            UNION ALL
            SELECT symbol, session, kind, value FROM ({current("actions", ACTION_KEY, where, known)})
        )
        SELECT symbol, session, what, value AS "then", since, count(*) OVER () AS total
        FROM late LEFT JOIN then_known USING (symbol, session, what)
        ORDER BY session DESC, symbol, what LIMIT {MOST_REVISED}""",
        {"symbols": symbols, "origin": str(origin)[:10]},
    )
    rows = found.fetchall()
    names = ("symbol", "session", "what", "then", "since")
    return [dict(zip(names, row[:-1], strict=True)) for row in rows], rows[0][-1] if rows else 0


def features_told(con: duckdb.DuckDBPyConnection, symbol: str, origin: date, run_id: str) -> list[dict[str, Any]]:
    """The feature values that the model was told (feature, value); of another run where ``run_id`` stored none itself."""
    found = ask(
        con,
        """SELECT feature, value FROM store.features WHERE symbol = $symbol AND session = $origin::DATE
        QUALIFY rank() OVER (ORDER BY run_id <> $run_id, feature_set) = 1 ORDER BY rowid""",
        {"symbol": symbol, "origin": str(origin)[:10], "run_id": run_id},
    )
    return _dicts(found)


def model_of_forecast(con: duckdb.DuckDBPyConnection, model_id: str) -> dict[str, Any]:
    """The model's row with its card in full, the gate's decision with its checks, and its scores on the judged span."""
    model = _first(ask(con, "SELECT * EXCLUDE (spec_json) FROM store.models WHERE model_id = ?", [model_id])) or {}
    card = json.loads(model.pop("card_json", "{}"))
    decision = _first(
        ask(con, "SELECT * FROM store.decisions WHERE model_id = ? ORDER BY decided_at DESC, decision_id LIMIT 1", [model_id])
    )
    checks = []
    if decision is not None:
        names = "code, name, verdict, sentence, value, threshold"
        checks = _dicts(
            ask(con, f"SELECT {names} FROM store.checks WHERE decision_id = ? ORDER BY position", [decision["decision_id"]])
        )
    scores = ask(
        con,
        """SELECT forecaster, horizon, metric, value, n_sessions FROM store.evaluations
        WHERE model_id = ? AND metric IN ('pinball', 'coverage_50', 'coverage_80', 'coverage_90')
        ORDER BY horizon, forecaster, metric""",
        [model_id],
    )
    return {"model": model, "card": card, "decision": decision, "checks": checks, "evaluations": _dicts(scores)}


def served_because(con: duckdb.DuckDBPyConnection, origin: date, model_id: str, forecaster: str) -> dict[str, Any] | None:
    """The newest row up to ``origin`` that put this forecaster into service: origin, reason, decision_id, since."""
    return _first(
        ask(
            con,
            """SELECT origin, reason, decision_id, since FROM store.serving
            WHERE origin <= ?::DATE AND model_id = ? AND forecaster = ? ORDER BY origin DESC, position DESC LIMIT 1""",
            [str(origin)[:10], model_id, forecaster],
        )
    )


def run_of(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, Any] | None:
    """The stored row of a run; None where it never came to its end."""
    return _first(ask(con, "SELECT * FROM store.runs WHERE run_id = ?", [run_id]))


def ranks_of(con: duckdb.DuckDBPyConnection, symbol: str, origin: date) -> list[dict[str, Any]]:
    """The chances of each fifth of the universe that were issued for the symbol, and the fifth that came true."""
    if not _keeps_ranks(con):
        return []
    return _dicts(
        ask(
            con,
            """SELECT r.forecaster, r.horizon, r.symbols, r.p1, r.p2, r.p3, r.p4, r.p5, s.fifth, s.rps
            FROM store.rank_forecasts AS r LEFT JOIN store.rank_scores AS s USING (symbol, origin, horizon, forecaster)
            WHERE symbol = ? AND origin = ?::DATE ORDER BY horizon, forecaster""",
            [symbol, str(origin)[:10]],
        )
    )


def ranks_issued(con: duckdb.DuckDBPyConnection, symbol: str, origin: date, horizon: int) -> list[dict[str, Any]]:
    """The rows of the ledger of ranks for the symbol, origin and horizon, that of whoever served first."""
    if not _keeps_ranks(con):
        return []
    return _dicts(
        ask(
            con,
            """SELECT * FROM store.rank_forecasts WHERE symbol = ? AND origin = ?::DATE AND horizon = ?
            ORDER BY serving DESC, forecaster""",
            [symbol, str(origin)[:10], horizon],
        )
    )


def _keeps_ranks(con: duckdb.DuckDBPyConnection) -> bool:
    """False in a database of before ranks were kept."""
    found = ask(con, "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'rank_forecasts'")
    return bool(found.rows)


def everything_about(con: duckdb.DuckDBPyConnection, symbol: str, origin: date, horizon: int | None = None) -> dict[str, Any]:
    """All of the above about the forecast that was served for the symbol from ``origin`` (the shortest horizon where none is
    named): forecast_id, forecast, forecasts (of every forecaster at the horizon), serving, data, features, model, ranks."""
    rows = forecasts_from(con, symbol, origin, horizon)
    rows = [row for row in rows if row["horizon"] == rows[0]["horizon"]]
    served = rows[0]
    model = model_of_forecast(con, served["model_id"])
    model["evaluations"] = [score for score in model["evaluations"] if score["horizon"] == served["horizon"]]
    return {
        "forecast_id": served["forecast_id"],
        "forecast": served,
        "forecasts": rows,
        "serving": served_because(con, origin, served["model_id"], served["forecaster"]),
        "data": data_known(con, symbol, origin, served["as_of"] or served["issued_at"]),
        "features": features_told(con, symbol, origin, served["run_id"]),
        "model": model,
        "ranks": ranks_of(con, symbol, origin),
    }


def _dicts(found: Rows) -> list[dict[str, Any]]:
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def _first(found: Rows) -> dict[str, Any] | None:
    rows = _dicts(found)
    return rows[0] if rows else None
