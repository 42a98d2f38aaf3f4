"""What a run tells the person or program that asked: read back from the database, so that a rerun tells the same."""

from __future__ import annotations

from typing import Any

from tasks.deciding import nothing_to_do
from tasks.planning import calendar_of_run
from tasks.plots import drawn
from tasks.run import Run

QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
_RULE = ("rule", "severity", "symbols", "rows", "example")


def report_of(run: Run) -> dict[str, Any]:
    """The run as plain values: run_id, flow, origin, final (the last session that is over), behind (by how many sessions),
    status, home, nothing_to_do, forecasts, serving, decision, drift, refused, quality, notes, not_trained, plots, digest."""
    from forecasting.sessions import sessions_between
    from storage.drift import findings_at
    from storage.ledger import read_forecasts
    from storage.manifest import content_digest
    from storage.quality import account_of, findings_by_rule
    from storage.quarantine import refused_by
    from storage.registry import current_serving, failed_training_of, latest_decision
    from storage.runs import run_done

    with run.db.reading() as con:
        row = run_done(con, run.run_id) or {}
        served = read_forecasts(con, run.origin)
        serving = current_serving(con, until=run.origin)
        decision, drift = latest_decision(con, until=run.origin), findings_at(con, run.origin)
        stored = {symbol: (reason, message) for symbol, reason, message in refused_by(con, run.run_id)}
        not_trained = failed_training_of(con, run.run_id)
        account, rules = account_of(con, run.run_id), findings_by_rule(con, run.run_id)
        digest = run.memo.get("digest") or content_digest(con)
    refused = stored | {r.symbol: (r.reason, r.message) for r in run.refusals.values()}
    service = None
    if serving is not None:
        service = {"forecaster": serving.forecaster, "model_id": serving.model_id, "since": str(serving.origin)}
        service["reason"] = serving.reason
    served = served[served["serving"] & served["symbol"].isin(run.symbols)]
    return {
        "run_id": run.run_id,
        "flow": run.flow,
        "origin": str(run.origin),
        "final": str(run.final),
        "behind": len(sessions_between(calendar_of_run(run), run.origin, run.final)) - 1,
        "status": row.get("status", "completed"),
        "already_done": run.already is not None,
        "nothing_to_do": _why_nothing(run),
        "home": str(run.home.path),
        "source": run.source_name,
        "symbols": list(run.symbols),
        "forecasts": [_forecast(record) for record in served.to_dict("records")],
        "serving": service,
        "decision": decision,
        "drift": drift,
        "refused": [{"symbol": s, "reason": reason, "message": text} for s, (reason, text) in sorted(refused.items())],
        "quality": {"rows": account, "rules": [dict(zip(_RULE, rule, strict=True)) for rule in rules]},
        "notes": list(run.notes),
        "not_trained": not_trained,
        "plots": drawn(run),
        "digest": digest,
    }  # fmt: skip


def _why_nothing(run: Run) -> str | None:
    """The sentence for a run that found its session done; None for one that did something."""
    if run.already is None:
        return None
    if run.origin != run.final:  # asked for, or all that a file holds: what day it is today says nothing
        return f"the session of {run.origin} was done before"
    return nothing_to_do(calendar_of_run(run), run.now, run.origin, run.settings.source.final_after_minutes)


def _forecast(record: dict[str, Any]) -> dict[str, Any]:
    texts = {name: record[name] for name in ("symbol", "forecaster", "model_id", "mode")}
    days = {name: str(record[name])[:10] for name in ("origin", "target_session")}
    numbers = {name: float(record[name]) for name in ("close", *QUANTILES, "p_up")}
    return {**texts, **days, "horizon": int(record["horizon"]), **numbers}
