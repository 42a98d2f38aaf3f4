"""A published store of any size without a run: made-up prices, forecasts, scores, models and all else that the pages show.

Everything is computed in SQL from hashes, so the same arguments give the same rows. The forecasts are honest ones of a random
walk, wider or narrower by forecaster; they say nothing about the product's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from storage.database import Database, Tx
from storage.home import Home
from storage.lease import hold_lease
from storage.snapshot import publish

FORECASTERS = (
    "lstm",
    "persistence",
    "drift",
    "ewma",
    "har",
    "ridge",
    "historical",
    "linear_quantile",
    "seasonal",
)
HORIZONS = (1, 5, 20)
MODELS = ("a1" * 32, "b2" * 32)
RUN = "beef" * 4
_Z = {
    "q05": -1.6449,
    "q10": -1.2816,
    "q25": -0.6745,
    "q50": 0.0,
    "q75": 0.6745,
    "q90": 1.2816,
    "q95": 1.6449,
}
_CHUNK = 250  # origins written in one transaction, as a daily run would in 250 of them


@dataclass(frozen=True)
class Shape:
    """``origins``: the last sessions from which forecasts were made, of ``sessions`` stored."""

    symbols: int = 500
    sessions: int = 300
    origins: int = 60
    forecasters: tuple[str, ...] = FORECASTERS
    last: date = date(2026, 11, 18)
    mode: str = "live"
    hostile: bool = False  # text of sources and rules holds markup and formulas


def make_store(home: Home, shape: Shape | None = None, memory_mb: int = 4096) -> Home:
    """Write the store into an empty home and publish it."""
    shape = shape or Shape()
    home.ensure_writable()
    db = Database(home, memory_mb=memory_mb)
    now = datetime.combine(shape.last, datetime.min.time(), UTC) + timedelta(hours=22)
    with hold_lease(home, db, "made") as lease:
        with db.kept_open():
            with db.writing(lease, RUN, "bars") as tx:
                _bars(tx, shape, now)
            for begin in range(0, shape.origins, _CHUNK):
                with db.writing(lease, RUN, f"forecasts/{begin}") as tx:
                    _forecasts(
                        tx,
                        shape,
                        shape.sessions - shape.origins + begin,
                        min(_CHUNK, shape.origins - begin),
                        now,
                    )
            with db.writing(lease, RUN, "rest") as tx:
                _models(tx, shape, now)
                _rest(tx, shape, now)
        publish(db, home, RUN, now)
    return home


def next_day(home: Home, shape: Shape, published_at: datetime | None = None) -> None:
    """Publish again with one more run in the ledger, as the next day does."""
    db = Database(home)
    now = published_at or datetime.combine(shape.last, datetime.min.time(), UTC) + timedelta(days=1, hours=22)
    with hold_lease(home, db, "made") as lease:
        run = f"{int(now.timestamp() * 1000):016x}"
        with db.writing(lease, run, "complete") as tx:
            _run(tx, run, "daily", shape.last, now)
        publish(db, home, run, now)


def symbol_name(i: int) -> str:
    """S000, S001, ...; every fiftieth as one of another exchange."""
    return f"S{i:03d}.L" if i % 50 == 49 else f"S{i:03d}"


_NORMAL = "sqrt(-2 * ln((hash({0}, 'u') % 1000003 + 1) / 1000004)) * cos(2 * pi() * (hash({0}, 'v') % 1000003) / 1000003)"


def _market(tx: Tx, shape: Shape) -> None:
    """The temporary tables that everything is made from: symbols, sessions, and a random walk of closes."""
    names = ", ".join(f"('{symbol_name(i)}', {i})" for i in range(shape.symbols))
    tx.execute(f"CREATE TEMP TABLE named AS SELECT * FROM (VALUES {names}) AS n(symbol, nth)")
    tx.execute(_days(shape))
    tx.execute(
        f"""CREATE TEMP TABLE walked AS
        SELECT symbol, nth, i, session, 0.008 + 0.014 * (hash(symbol) % 1000) / 1000 AS scale,
            round(greatest(2, 20 + hash(symbol, 'p') % 400) * exp(sum(scale * {_NORMAL.format("symbol, i")}) OVER w),
            2) AS close
        FROM named, days WINDOW w AS (PARTITION BY symbol ORDER BY i)"""
    )


def _bars(tx: Tx, shape: Shape, now: datetime) -> None:
    _market(tx, shape)
    tx.execute(
        """INSERT INTO store.bars BY NAME
        SELECT symbol, session, close * 0.998 AS open, close * 1.008 AS high, close * 0.991 AS low, close,
            1e6 + hash(symbol, i) % 5000000 AS volume, 'made' AS source, 'as_traded' AS basis, 0 AS revision,
            ?::TIMESTAMPTZ AS known_at, ? AS run_id
        FROM walked WHERE NOT (nth = 3 AND session > ?::DATE - 6) ORDER BY symbol, session""",
        [now, RUN, shape.last],
    )
    tx.execute(
        """INSERT INTO store.symbols BY NAME
        SELECT symbol, CASE WHEN symbol LIKE '%.L' THEN 'XLON' ELSE 'XNYS' END AS calendar,
            CASE WHEN symbol LIKE '%.L' THEN 'GBP' ELSE 'USD' END AS currency, 'as_traded' AS basis, 'made' AS source,
            0 AS revision, ?::TIMESTAMPTZ AS known_at, 1.0 AS unit FROM named ORDER BY symbol""",
        [now],
    )
    tx.execute(
        """INSERT INTO store.actions BY NAME
        SELECT symbol, session, 'dividend' AS kind, 0.42 AS value, 'made' AS source, 0 AS revision, ?::TIMESTAMPTZ AS known_at,
            ? AS run_id FROM walked WHERE nth % 7 = 0 AND i % 63 = 40 ORDER BY symbol, session""",
        [now, RUN],
    )


def _days(shape: Shape) -> str:
    """Weekdays up to the last one, numbered from 0."""
    begin = shape.last - timedelta(days=shape.sessions * 7 // 5 + 10)
    return f"""CREATE TEMP TABLE days AS
        SELECT row_number() OVER (ORDER BY d) - 1 AS i, d::DATE AS session
        FROM (SELECT d FROM range(DATE '{begin}', DATE '{shape.last}' + 1, INTERVAL 1 DAY) AS r(d) WHERE isodow(d) < 6
              ORDER BY d DESC LIMIT {shape.sessions})"""


def _forecasts(tx: Tx, shape: Shape, first: int, count: int, now: datetime) -> None:
    _market(tx, shape)
    wider = "WHEN 'seasonal' THEN 1.6 WHEN 'historical' THEN 1.2 WHEN 'persistence' THEN 1.1"
    width = f"CASE f.forecaster {wider} ELSE 1 + 0.05 * (f.place % 3) END"
    quantiles = ", ".join(
        f"w.close * exp(0.0003 * f.place * h.horizon + w.scale * sqrt(h.horizon) * {width} * ({z})) AS {q}"
        for q, z in _Z.items()
    )
    who = ", ".join(f"('{name}', {i})" for i, name in enumerate(shape.forecasters))
    ahead = ", ".join(f"({h})" for h in HORIZONS)
    tx.execute(
        f"""CREATE OR REPLACE TEMP TABLE said AS
        SELECT w.symbol, w.session AS origin, h.horizon, f.forecaster,
            coalesce(d.session, (w.session + h.horizon * 7 // 5 + 1)::DATE) AS target_session,
            CASE WHEN w.i < {shape.sessions} - {shape.origins} // 2 THEN '{MODELS[0]}' ELSE '{MODELS[1]}' END AS model_id,
            f.forecaster = CASE WHEN w.nth % 100 = 7 THEN 'ewma' ELSE 'lstm' END AS serving, '{shape.mode}' AS mode,
            w.close, w.scale * sqrt(h.horizon) AS scale, {quantiles},
            0.5 + 0.02 * f.place - 0.1 * ((hash(w.symbol, w.i, h.horizon) % 100) / 100 - 0.5) AS p_up,
            t.close AS came
        FROM walked AS w, (VALUES {who}) AS f(forecaster, place), (VALUES {ahead}) AS h(horizon)
        LEFT JOIN days AS d ON d.i = w.i + h.horizon
        LEFT JOIN walked AS t ON t.symbol = w.symbol AND t.i = w.i + h.horizon
        WHERE w.i >= {first} AND w.i < {first + count} AND NOT (w.nth = 3 AND w.session > DATE '{shape.last}' - 6)"""
    )
    tx.execute(
        """INSERT INTO store.forecasts BY NAME
        SELECT * EXCLUDE (came), 'made' AS data_digest, ? AS run_id, origin::TIMESTAMPTZ + INTERVAL 22 HOUR AS issued_at,
            origin::TIMESTAMPTZ + INTERVAL 22 HOUR AS as_of
        FROM said ORDER BY origin, symbol, horizon, forecaster""",
        [RUN],
    )
    loss = " + ".join(f"greatest({int(q[1:]) / 100} * (came - {q}), {int(q[1:]) / 100 - 1} * (came - {q}))" for q in _Z)
    tx.execute(
        f"""INSERT INTO store.scores BY NAME
        SELECT symbol, origin, horizon, forecaster, target_session, came AS close_at_target, ({loss}) / 7 / close AS pinball,
            abs(came - q50) / close AS abs_error, came BETWEEN q10 AND q90 AS inside_80, came BETWEEN q05 AND q95 AS inside_90,
            CASE WHEN came <> close AND p_up <> 0.5 THEN (p_up > 0.5) = (came > close) END AS direction_hit,
            abs(came - close) / close AS persistence_abs_error, ? AS run_id, ?::TIMESTAMPTZ AS scored_at
        FROM said WHERE came IS NOT NULL ORDER BY origin, symbol, horizon, forecaster""",
        [RUN, now],
    )


def _models(tx: Tx, shape: Shape, now: datetime) -> None:
    spec = {
        "units": [32],
        "members": 2,
        "lookback": 60,
        "features": ["ret", "range", "volume_surprise"],
        "seed": 7,
        "dropout": 0.3,
    }
    for nth, model in enumerate(MODELS):
        origin = shape.last - timedelta(days=400 - 300 * nth)
        curve = {
            "updates": [0, 30, 60, 90],
            "train_loss": [None, 0.5, 0.47, 0.46],
            "valid_loss": [0.3, 0.26, 0.25, 0.255],
            "kept": 2,
        }
        card = {
            "spec": spec | {"dropout": 0.3 - 0.1 * nth},
            "history": [curve, curve],
            "market_symbols": ["S000", "S001"],
            "code_version": "0",
        }
        tx.execute(
            "INSERT INTO store.models VALUES (?, ?, 'lstm', ?, ?, ?, ?, ?, 'made', ?, ?)",
            [model, origin, json.dumps(card["spec"]), json.dumps(card), origin - timedelta(days=900),
            origin - timedelta(days=600),
             origin, RUN, now],
        )  # fmt: skip
        verdict = ("promoted", "refused")[nth]
        said = f"lstm is {verdict}: G03 skill +2.{nth}% at 1, +1.9% at 5 sessions"
        if shape.hostile:
            said += ' <script>alert(1)</script><img src=x onerror="alert(2)">'
        tx.execute(
            "INSERT INTO store.decisions VALUES (?, ?, ?, ?, 'lstm', ?, ?, 'd', ?)",
            [f"dec0{nth}" * 3, model, RUN, origin, verdict, said, now],
        )
        for position, (code, name) in enumerate((("G01", "finite"), ("G02", "sessions"), ("G03", "rivals"))):
            bad = nth == 1 and code == "G03"
            tx.execute(
                "INSERT INTO store.checks VALUES (?, ?, ?, ?, ?, ?, 0.5, 0.4)",
                [f"dec0{nth}" * 3, position, code, name, "fail" if bad else "pass",
                f"{code} {name} {'is not' if bad else 'is'} as it should be"],
            )  # fmt: skip
        tx.execute(
            f"""INSERT INTO store.evaluations BY NAME
            SELECT ? AS model_id, ? AS run_id, forecaster, horizon, metric, 0.01 * horizon + 0.0001 * (hash(forecaster,
                metric) % 40)
                - {0.001 * nth} AS value, 1000 AS n_rows, 200 AS n_sessions, ?::DATE - 300 AS span_start, ?::DATE AS span_end
            FROM (SELECT unnest(?) AS forecaster), (SELECT unnest([1, 5, 20]) AS horizon),
                (SELECT unnest(['pinball', 'mae', 'rmse', 'coverage_80', 'direction']) AS metric)""",
            [model, RUN, origin, origin, list(shape.forecasters)],
        )
        tx.execute(
            "INSERT INTO store.serving VALUES (?, ?, ?, 'lstm', ?, ?, ?)",
            [nth + 1, origin, model, "it passed the gate", f"dec0{nth}" * 3, now],
        )
    for number, (loss, dropout) in enumerate(((0.981, 0.3), (0.975, 0.2), (0.979, 0.4), (0.99, 0.5))):
        changes = (
            {}
            if number == 0
            else {
                "dropout": dropout,
                "units": [16 * number],
                "learning_rate": 0.001 * number,
            }
        )
        tx.execute(
            "INSERT INTO store.trials VALUES ('study-1', ?, 'complete', 'tpe', ?, '{}', ?, ?, '[]', NULL, 'made', ?, ?, ?)",
            [
                number,
                json.dumps(changes),
                f"s{number}",
                loss,
                RUN,
                now,
                now + timedelta(seconds=30 + number),
            ],
        )
    tx.execute(
        "INSERT INTO store.drift VALUES (?, ?, ?, 'skill', 'ewma', 5, 0.02, 0.0, 'steady', 'none', 'the skill holds', ?)",
        [RUN, shape.last, MODELS[1], now],
    )


def _rest(tx: Tx, shape: Shape, now: datetime) -> None:
    _market(tx, shape)
    bad = "=1+2<script>alert(3)</script>" if shape.hostile else "the close moved by more than half"
    tx.execute(
        """INSERT INTO store.quality BY NAME
        SELECT ? AS run_id, ?::DATE AS origin, 'made' AS source, symbol, 302 AS received, 300 AS stored, 0 AS unchanged,
            0 AS revised,
            1 AS merged, 0 AS outside, 1 AS quarantined, nth % 2 AS warned, ?::TIMESTAMPTZ AS known_at FROM named""",
        [RUN, shape.last, now],
    )
    tx.execute(
        """INSERT INTO store.quarantine BY NAME
        SELECT 'r' || symbol AS row_id, symbol, ?::DATE - 30 AS session, 'large_move' AS reason, 'quarantine' AS severity,
            ? AS message,
            '{}' AS row_json, 'made' AS source, ?::TIMESTAMPTZ AS known_at, ? AS run_id FROM named WHERE nth % 5 = 0""",
        [shape.last, bad, now, RUN],
    )
    tx.execute(
        """INSERT INTO store.findings BY NAME
        SELECT ? AS run_id, ?::DATE AS origin, 'made' AS source, symbol, 'zero_volume' AS rule, 'warn' AS severity, 2 AS rows,
            ?::DATE - 60 AS first_session, ?::DATE - 50 AS last_session, ? AS message, ?::TIMESTAMPTZ AS known_at
        FROM named WHERE nth % 2 = 1""",
        [RUN, shape.last, shape.last, shape.last, bad, now],
    )
    tx.execute(
        """INSERT INTO store.disagreements BY NAME
        SELECT ? AS run_id, symbol, ?::DATE - 3 AS session, 'close' AS field, 'made' AS first_source, 10.0 AS first_value,
            'other' AS second_source, 10.4 AS second_value, 0.04 AS difference, 'warn' AS verdict, ?::TIMESTAMPTZ AS known_at
        FROM named WHERE nth % 20 = 0""",
        [RUN, shape.last, now],
    )
    tx.execute(
        "INSERT INTO store.requests VALUES ('alpha_vantage', ?, 21, 9.5, 20, 1, 'rate_limited', ?)",
        [now, bad],
    )
    tx.execute(
        """INSERT INTO store.features BY NAME
        SELECT symbol, ?::DATE AS session, 'set' AS feature_set, feature, (hash(symbol, feature) % 400) / 100.0 - 2 AS value,
            ? AS run_id FROM named, (SELECT unnest(['ret', 'range', 'volume_surprise']) AS feature)""",
        [shape.last, RUN],
    )
    tx.execute(
        f"""INSERT INTO store.rank_forecasts BY NAME
        SELECT symbol, session AS origin, horizon, 'lstm' AS forecaster, session + horizon * 7 // 5 + 1 AS target_session,
            '{MODELS[1]}' AS model_id, {shape.symbols} AS symbols, 0.2 - tilt AS p1, 0.2 - tilt / 2 AS p2, 0.2 AS p3,
            0.2 + tilt / 2 AS p4, 0.2 + tilt AS p5, 0.5 + tilt AS p_up, true AS serving, '{shape.mode}' AS mode,
            'made' AS data_digest,
            '{RUN}' AS run_id, ?::TIMESTAMPTZ AS issued_at
        FROM (SELECT *, 0.1 * ((hash(symbol, horizon) % 100) / 50 - 1) AS tilt FROM walked, (VALUES (5), (20)) AS h(horizon)
              WHERE session = ?::DATE)""",
        [now, shape.last],
    )
    for stage, seconds in (
        ("fetch_prices", 41.0),
        ("store_prices", 12.0),
        ("train", 96.0),
        ("forecast", 4.1),
        ("publish", 1.1),
    ):
        tx.execute(
            "INSERT INTO store.stage_times VALUES (?, ?, ?, 900.0)",
            [RUN, stage, seconds],
        )
    _run(tx, RUN, "daily", shape.last, now)


def _run(tx: Tx, run: str, flow: str, origin: date, now: datetime) -> None:
    tx.execute(
        "INSERT INTO store.runs VALUES (?, ?, ?, 'completed', NULL, 'made', 'S000,S001', 's', '0', 'made', 'live', ?, ?)",
        [run, flow, origin, now, now + timedelta(seconds=154)],
    )


__all__ = ["MODELS", "RUN", "Shape", "make_store", "next_day", "symbol_name"]
