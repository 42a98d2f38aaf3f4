"""The model registry: model folders named by the hash of their content, and the rows that decide who serves.

A folder holds ``weights.npz`` (plain arrays, never pickled) and ``card.json``. Its name is the SHA-256 over the SHA-256 of
its two files, so a truncated, changed, exchanged or extra file is noticed before a byte of it is interpreted.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from forecasting.errors import UntrustedModel
from storage.append import Appended
from storage.database import Tx
from storage.home import Home, fsync

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_FILES = ("card.json", "weights.npz")


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


def save_model(home: Home, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> str:
    """Write the model folder and return its id (64 hex digits). The same content gives the same id and one folder."""
    files = {"card.json": card_text(card).encode(), "weights.npz": _pack(arrays)}
    model_id = _identity(files)
    folder = home.models / model_id
    home.models.mkdir(parents=True, exist_ok=True)
    for leftover in home.models.glob(".new-*"):  # of a run that was killed; only the lease's holder writes here
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists() and model_problem(home, model_id) is None:
        return model_id
    fresh = Path(tempfile.mkdtemp(dir=home.models, prefix=".new-"))
    try:
        for name, data in files.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        fsync(fresh)
        if folder.exists():  # damaged; what was just trained is what it should hold
            os.rename(folder, Path(tempfile.mkdtemp(dir=home.models, prefix=".damaged-")) / model_id)
        os.rename(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    fsync(home.models)
    return model_id


def load_model(home: Home, model_id: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the card of ``model_id``; UntrustedModel where the folder is not what its name says."""
    import numpy as np

    files = _read(home, model_id)
    with np.load(io.BytesIO(files["weights.npz"]), allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    return arrays, json.loads(files["card.json"])


def model_problem(home: Home, model_id: str) -> str | None:
    """One line on what is wrong with a model folder, None where it is what the registry recorded."""
    try:
        _read(home, model_id)
    except UntrustedModel as error:
        return str(error)
    return None


def _read(home: Home, model_id: str) -> dict[str, bytes]:
    """The two files' bytes, checked against the name before anything is parsed."""
    folder = home.models / model_id
    advice = "run `nextclose recover`, which takes it from a backup, or `nextclose retrain`"
    if len(model_id) != 64 or not set(model_id) <= set("0123456789abcdef"):
        raise UntrustedModel(f"{model_id!r:.80} is not a model id (64 hex digits)")
    try:
        found = sorted(entry.name for entry in folder.iterdir())
        if found != sorted(_FILES) or any((folder / name).is_symlink() for name in _FILES):
            raise UntrustedModel(f"model {model_id[:16]} holds {found}, not {list(_FILES)}; {advice}")
        files = {name: (folder / name).read_bytes() for name in _FILES}
    except OSError as error:
        raise UntrustedModel(f"model {model_id[:16]} cannot be read ({error.strerror}: {folder}); {advice}") from error
    if _identity(files) != model_id:
        raise UntrustedModel(f"model {model_id[:16]} was changed or exchanged since it was trained; {advice}")
    return files


def _identity(files: Mapping[str, bytes]) -> str:
    parts = [f"{name} {hashlib.sha256(files[name]).hexdigest()}" for name in _FILES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as .npz bytes that depend on nothing but the arrays (np.savez is not promised to)."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)
    return buffer.getvalue()


def card_text(card: Mapping[str, Any]) -> str:
    """The card as JSON with sorted keys; numbers that are not finite become null, dates ISO text."""
    return json.dumps(_plain(card), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value


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


def one_row(**columns: Any) -> pd.DataFrame:
    """A frame of one row, for an append."""
    import pandas as pd

    return pd.DataFrame({name: [value] for name, value in columns.items()})
