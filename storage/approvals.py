"""What people were asked about who serves, and what they said: append-only, beside the gate's own decisions.

    pending       passed the gate and waits for a yes, while whoever served before goes on
    approved      passed the gate, and a person put it in service
    rejected      passed the gate, and a person said no
    overridden    put in service by a person although the gate did not open
    chosen        a rival that a person put in service
    rolled_back   in service again, because a person took what came after it out

The newest row of a decision is its state.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import duckdb

from forecasting.errors import InputError
from storage.append import Appended, one_row
from storage.database import Tx
from storage.registry import Serving


def append_approval(
    tx: Tx,
    *,
    origin: date,
    model_id: str,
    forecaster: str,
    decision_id: str | None,
    state: str,
    by_whom: str | None,
    reason: str,
    answered_at: datetime,
) -> Appended:
    """Store what was asked or said about a forecaster of a model folder; see the module's text for ``state``."""
    position = tx.con.execute("SELECT coalesce(max(position), 0) + 1 FROM store.approvals").fetchone()[0]
    row = one_row(
        position=position, origin=origin, model_id=model_id, forecaster=forecaster, decision_id=decision_id, state=state,
        by_whom=by_whom, reason=reason, answered_at=answered_at,
    )  # fmt: skip
    return tx.append("approvals", row, ("position",))


def last_word(con: duckdb.DuckDBPyConnection, decision_id: str) -> str | None:
    """The state of a decision on the network with people; None where nobody was asked and nobody said anything."""
    row = con.execute(
        "SELECT state FROM store.approvals WHERE decision_id = ? AND forecaster = 'lstm' ORDER BY position DESC LIMIT 1",
        [decision_id],
    ).fetchone()
    return None if row is None else row[0]


def model_called(con: duckdb.DuckDBPyConnection, digits: str) -> str:
    """The id of the registered model that begins with ``digits``; InputError where that is none or several."""
    found = con.execute(
        "SELECT DISTINCT model_id FROM store.models WHERE starts_with(model_id, ?)", [digits.lower()]
    ).fetchall()
    if len(found) != 1:
        raise InputError(f"{len(found)} models begin with {digits!r:.70}; `nextclose models` lists them")
    return found[0][0]


def decision_on(con: duckdb.DuckDBPyConnection, model_id: str) -> dict[str, Any] | None:
    """The newest gate decision on a model: decision_id, origin, challenger, verdict, sentence, failed (the codes of the checks
    that failed); None where it was never judged."""
    row = con.execute(
        """SELECT decision_id, origin, challenger, verdict, sentence,
            (SELECT coalesce(list(code ORDER BY position), []) FROM store.checks AS c
             WHERE c.decision_id = d.decision_id AND c.verdict = 'fail') AS failed
        FROM store.decisions AS d WHERE model_id = ? ORDER BY decided_at DESC, decision_id LIMIT 1""",
        [model_id],
    ).fetchone()
    names = ("decision_id", "origin", "challenger", "verdict", "sentence", "failed")
    return None if row is None else dict(zip(names, row, strict=True))


def challengers_before(con: duckdb.DuckDBPyConnection, origin: date, besides: str) -> int:
    """How many other models were judged at ``origin``: each was a try on the same sessions."""
    return con.execute(
        "SELECT count(DISTINCT model_id) FROM store.decisions WHERE origin = ?::DATE AND model_id <> ?",
        [str(origin)[:10], besides],
    ).fetchone()[0]


def served_before(con: duckdb.DuckDBPyConnection) -> Serving | None:
    """Who served before the one that serves now; None where there was nobody.

    Read as a pile: whoever comes into service is put on top, and when one that lies below serves again, what lay above it is
    gone. So each rollback goes one step further back, and never returns to what was taken out of service.
    """
    found = con.execute(
        "SELECT position, origin, model_id, forecaster, reason, decision_id, since FROM store.serving ORDER BY origin, position"
    ).fetchall()
    pile: list[Serving] = []
    for row in map(lambda r: Serving(*r), found):
        keys = [(below.model_id, below.forecaster) for below in pile]
        key = (row.model_id, row.forecaster)
        pile = [*pile[: keys.index(key)], row] if key in keys else [*pile, row]
    return pile[-2] if len(pile) > 1 else None
