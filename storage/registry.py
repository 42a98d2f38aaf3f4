"""The model registry's rows: which models there are, how they were judged, and who serves. Their folders: model_folders.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from storage.append import Appended, one_row
from storage.database import Tx
from storage.model_folders import card_text

if TYPE_CHECKING:
    import pandas as pd


class Check(Protocol):
    """One check of the gate, as forecasting/judging/gate.py makes them."""

    code: str
    name: str
    verdict: str
    sentence: str
    value: float | None
    threshold: float | None


@dataclass(frozen=True)
class Serving:
    """Who serves: a forecaster of a model folder, since when and why."""

    position: int
    origin: date
    model_id: str
    forecaster: str
    reason: str
    decision_id: str | None
    since: datetime


def append_model(
    tx: Tx,
    model_id: str,
    origin: date,
    kind: str,
    card: Mapping[str, Any],
    train_end: date | None,
    valid_end: date | None,
    test_end: date | None,
    data_digest: str | None,
    created_at: datetime,
) -> Appended:
    """Register a saved model; ``card['spec']`` is kept beside the whole card."""
    return tx.append(
        "models",
        one_row(
            model_id=model_id, origin=origin, kind=kind, spec_json=card_text(card.get("spec", {})), card_json=card_text(card),
            train_end=train_end, valid_end=valid_end, test_end=test_end, data_digest=data_digest, created_at=created_at,
        ),
        ("model_id",),
    )  # fmt: skip


def append_evaluations(tx: Tx, frame: pd.DataFrame) -> Appended:
    """Store metrics (model_id, forecaster, horizon, metric, value, n_rows, n_sessions, span_start, span_end)."""
    rows = frame.assign(run_id=tx.run_id)
    return tx.append("evaluations", rows, ("model_id", "run_id", "forecaster", "horizon", "metric"))


def append_decision(
    tx: Tx,
    model_id: str,
    origin: date,
    challenger: str,
    verdict: str,
    sentence: str,
    checks: Iterable[Check],
    thresholds_digest: str | None,
    decided_at: datetime,
) -> str:
    """Store a gate decision with its checks; returns its id, which depends on run, model, origin and challenger alone."""
    import pandas as pd

    identity = "\n".join((str(tx.run_id), model_id, str(origin)[:10], challenger))
    decision_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    tx.append(
        "decisions",
        one_row(
            decision_id=decision_id, model_id=model_id, origin=origin, challenger=challenger, verdict=verdict,
            sentence=sentence, thresholds_digest=thresholds_digest, decided_at=decided_at,
        ),
        ("decision_id",),
    )  # fmt: skip
    rows = [
        (decision_id, position, c.code, c.name, c.verdict, c.sentence, c.value, c.threshold)
        for position, c in enumerate(checks, 1)
    ]
    if rows:
        names = ["decision_id", "position", "code", "name", "verdict", "sentence", "value", "threshold"]
        tx.append("checks", pd.DataFrame(rows, columns=names), ("decision_id", "position"))
    return decision_id


def append_serving(
    tx: Tx, origin: date, model_id: str, forecaster: str, reason: str, decision_id: str | None, since: datetime
) -> Serving:
    """Put (model_id, forecaster) in service from now on; nothing is stored where the latest row already says the same."""
    latest = current_serving(tx.con)
    said = (origin, model_id, forecaster, decision_id)
    if latest is not None and (latest.origin, latest.model_id, latest.forecaster, latest.decision_id) == said:
        return latest
    # Not the latest's position and one: a model of a past origin, trained to replay it, may have been put in since.
    position = tx.con.execute("SELECT coalesce(max(position), 0) + 1 FROM store.serving").fetchone()[0]
    row = Serving(position, origin, model_id, forecaster, reason, decision_id, since)
    tx.append("serving", one_row(**vars(row)), ("position",))
    return row


def current_serving(con: duckdb.DuckDBPyConnection, until: date | None = None) -> Serving | None:
    """Who serves now (or, with ``until``, served then): the row of the latest origin; None before the first decision.

    A model trained later for an earlier origin, to replay the past, does not take over from one of a later origin.
    """
    row = con.execute(
        "SELECT position, origin, model_id, forecaster, reason, decision_id, since FROM store.serving "
        "WHERE $until::DATE IS NULL OR origin <= $until::DATE ORDER BY origin DESC, position DESC LIMIT 1",
        {"until": None if until is None else str(until)[:10]},
    ).fetchone()
    return None if row is None else Serving(*row)


def serving_origins(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> list[date]:
    """The origins from which somebody began to serve, oldest first, as it was when the run ``besides`` first began."""
    found = con.execute(
        "SELECT DISTINCT origin FROM store.serving "
        "WHERE since < coalesce((SELECT min(started_at) FROM store.attempts WHERE run_id = ?), 'infinity') ORDER BY origin",
        [besides],
    )
    return [row[0] for row in found.fetchall()]


def trained_origins(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> list[date]:
    """The origins at which models were trained and judged, oldest first; without those of the run ``besides``.

    One whose run ended before the gate does not count: nobody would serve, and none be trained, until it is old.
    """
    found = con.execute(
        "SELECT DISTINCT m.origin FROM store.models AS m SEMI JOIN store.decisions AS d ON d.model_id = m.model_id "
        "WHERE m.run_id IS DISTINCT FROM ? ORDER BY m.origin",
        [besides],
    )
    return [row[0] for row in found.fetchall()]


def failed_trainings(con: duckdb.DuckDBPyConnection, besides: str | None = None) -> list[date]:
    """The origins at which a training that was due failed, oldest first; without those of the run ``besides``."""
    found = con.execute(
        "SELECT DISTINCT origin FROM store.failed_trainings WHERE run_id IS DISTINCT FROM ? ORDER BY origin", [besides]
    )
    return [row[0] for row in found.fetchall()]


def append_failed_training(tx: Tx, origin: date, reason: str, known_at: datetime) -> Appended:
    """Note that a training of ``origin`` failed in this run; the first reason stays."""
    row = one_row(run_id=tx.run_id, origin=origin, reason=reason, known_at=known_at)
    return tx.append("failed_trainings", row, ("run_id", "origin"))


def failed_training_of(con: duckdb.DuckDBPyConnection, run_id: str, origin: date | None = None) -> str | None:
    """Why a training failed in the run: of ``origin``, or the last one; None where none did."""
    row = con.execute(
        "SELECT reason FROM store.failed_trainings WHERE run_id = $run AND ($origin::DATE IS NULL OR origin = $origin::DATE) "
        "ORDER BY origin DESC LIMIT 1",
        {"run": run_id, "origin": origin},
    ).fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True)
class Trained:
    """A registered model: its id and its card as JSON; whether the gate ever decided on it."""

    model_id: str
    card_json: str
    judged: bool


def newest_model_at(con: duckdb.DuckDBPyConnection, origin: date, besides: str | None = None) -> Trained | None:
    """The model of ``origin`` that was registered last; None where there is none. Without those of the run ``besides``."""
    row = con.execute(
        """SELECT model_id, card_json, EXISTS (FROM store.decisions AS d WHERE d.model_id = m.model_id)
        FROM store.models AS m WHERE origin = ?::DATE AND run_id IS DISTINCT FROM ?
        ORDER BY created_at DESC, model_id LIMIT 1""",
        [str(origin)[:10], besides],
    ).fetchone()
    return None if row is None else Trained(*row)


def model_trained_by(con: duckdb.DuckDBPyConnection, run_id: str, origin: date) -> str | None:
    """The id of the model that the run registered for ``origin``, or None."""
    row = con.execute(
        "SELECT model_id FROM store.models WHERE run_id = ? AND origin = ?::DATE", [run_id, str(origin)[:10]]
    ).fetchone()
    return None if row is None else row[0]


def latest_decision(con: duckdb.DuckDBPyConnection, until: date | None = None) -> dict[str, Any] | None:
    """The newest gate decision up to origin ``until`` as plain values, with its checks in order and what people said of it
    last (approval); None before the first."""
    names = ("decision_id", "model_id", "origin", "challenger", "verdict", "sentence", "approval")
    row = con.execute(
        f"SELECT {', '.join(names[:-1])}, (SELECT arg_max(state, position) FROM store.approvals AS a "
        "WHERE a.decision_id = d.decision_id AND a.forecaster = 'lstm') "
        "FROM store.decisions AS d WHERE $until::DATE IS NULL OR origin <= $until::DATE "
        "ORDER BY origin DESC, decided_at DESC LIMIT 1",
        {"until": None if until is None else str(until)[:10]},
    ).fetchone()
    if row is None:
        return None
    columns = ("code", "name", "verdict", "sentence", "value", "threshold")
    checks = con.execute(
        f"SELECT {', '.join(columns)} FROM store.checks WHERE decision_id = ? ORDER BY position", [row[0]]
    ).fetchall()
    decision = dict(zip(names, row, strict=True))
    return decision | {"origin": str(decision["origin"]), "checks": [dict(zip(columns, c, strict=True)) for c in checks]}
