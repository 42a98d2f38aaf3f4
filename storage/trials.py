"""The trials of tuning: every specification that was tried, with its validation curve. Append-only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from storage.append import Appended
from storage.database import Tx

# A study's trial 0 is the specification that was in use, not one that was searched for. Where it had itself been found by
# an earlier study, the trials of that one stand behind everything found since.
_BEHIND = """
WITH RECURSIVE behind(study) AS (
    SELECT study FROM store.trials WHERE spec_digest = $digest AND number > 0
    UNION
    SELECT found.study
    FROM behind
    JOIN store.trials AS base ON base.study = behind.study AND base.number = 0
    JOIN store.trials AS found ON found.spec_digest = base.spec_digest AND found.number > 0
)
SELECT count(*) FROM store.trials SEMI JOIN behind USING (study) WHERE spec_digest IS NOT NULL
"""


def trials_behind(con: duckdb.DuckDBPyConnection, spec_digest: str) -> int:
    """How many specifications were tried to find this one: 1 where it was never searched for, else the trials of the studies
    that found it, and of those that found what these began with. A combination that no network can be built from is none.
    """
    return max(1, con.execute(_BEHIND, {"digest": spec_digest}).fetchone()[0])


def append_trial(
    tx: Tx,
    *,
    study: str,
    number: int,
    state: str,
    sampler: str,
    changes: Mapping[str, Any],
    spec: Mapping[str, Any] | None,
    spec_digest: str | None,
    loss: float | None,
    curve: list[list[float]],
    reason: str | None,
    data_digest: str,
    started_at: datetime,
    finished_at: datetime,
) -> Appended:
    """Store one trial; ``state`` is complete, pruned or failed, ``spec`` None where the changes do not go together."""
    import pandas as pd

    def text(value: object) -> str:
        return json.dumps(value, sort_keys=True, allow_nan=False)

    row = {
        "study": study, "number": number, "state": state, "sampler": sampler, "changes_json": text(dict(changes)),
        "spec_json": None if spec is None else text(dict(spec)), "spec_digest": spec_digest, "loss": loss,
        "curve_json": text(curve), "reason": reason, "data_digest": data_digest, "started_at": started_at,
        "finished_at": finished_at,
    }  # fmt: skip
    return tx.append("trials", pd.DataFrame({name: [value] for name, value in row.items()}), ("study", "number"))


def trials_of(con: duckdb.DuckDBPyConnection, study: str) -> list[dict[str, Any]]:
    """The trials of the studies whose name begins with ``study``, in order: study, number, state, sampler, changes, spec,
    spec_digest, loss, curve, reason, seconds."""
    found = con.execute(
        """SELECT study, number, state, sampler, changes_json AS changes, spec_json AS spec, spec_digest, loss,
            curve_json AS curve, reason, epoch(finished_at) - epoch(started_at) AS seconds
        FROM store.trials WHERE starts_with(study, ?) ORDER BY study, number""",
        [study],
    )
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    parsed = ("changes", "spec", "curve")
    return [row | {name: None if row[name] is None else json.loads(row[name]) for name in parsed} for row in rows]


def ranked(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Stored trials of one study in order of merit: study, sampler, base_loss, trials, and the best with its specification.

    ``best`` is None where no trial is complete. ``gain``: the share of the loss of trial 0, the specification in use, that a
    trial saves.
    """
    base = next((row["loss"] for row in rows if row["number"] == 0), None)
    complete = sorted((row for row in rows if row["state"] == "complete"), key=lambda row: (row["loss"], row["number"]))
    trials = [
        {name: row[name] for name in ("number", "state", "loss", "changes", "reason", "seconds")}
        | {"gain": 1 - row["loss"] / base if base and row["loss"] is not None else None}
        for row in [*complete, *(row for row in rows if row["state"] != "complete")]
    ]
    return {
        "study": rows[0]["study"], "sampler": rows[0]["sampler"], "base_loss": base, "trials": trials,
        "best": trials[0] | {"spec": complete[0]["spec"]} if complete else None,
    }  # fmt: skip
