"""The end of a run: its row in the ledger of runs, and the snapshot that readers open."""

from __future__ import annotations

from tasks.clock import now_utc
from tasks.engine import step
from tasks.ingest import landed_digest
from tasks.opening import MAY_PASS, code_version
from tasks.policies import DATABASE
from tasks.run import AS_IT_SHOULD_BE, NOT_TRAINED, PASSING_KINDS, Receipt, Refusal, Run


@step(DATABASE)
def complete(run: Run) -> Receipt:
    """Store the run's row: what it worked on and how it ended. Its presence says that the day is done."""
    with run.burst():
        return _complete(run)


def _complete(run: Run) -> Receipt:
    import storage.runs as runs

    if run.already is not None or run.done("complete"):
        return Receipt(text="completed before")
    _recall_refusals(run)
    with run.db.writing(run.lease, run.run_id, "complete") as tx:
        runs.record_run(
            tx,
            runs.Run(
                run_id=run.run_id, flow=run.flow, origin=run.origin, status=_status(run),
                reason=_reason(run), source=run.source_name, symbols=",".join(run.symbols), settings_digest=run.settings.digest,
                code_version=code_version(), data_digest=landed_digest(run), mode=_mode(run),
                started_at=run.now, finished_at=now_utc(),
            ),
        )  # fmt: skip
    return Receipt(1, text=f"{len(run.symbols) - len(run.refusals)} of {len(run.symbols)} symbols")


def as_before(run: Run) -> None:
    """Let a run that found nothing to do be the one like it before it, so that it leaves no row of its own."""
    if run.last is not None:
        run.run_id, run.already = run.last["run_id"], run.last


@step(DATABASE)
def publish(run: Run) -> Receipt:
    """Put a snapshot of everything in place for readers, with its manifest; nothing to do where it is there already."""
    from storage.runs import record_stage_times

    with run.db.writing(run.lease, run.run_id, None) as tx:
        record_stage_times(tx, run.run_id, run.costs)
    if run.already is not None and (digest := run.db.published()) is not None:
        run.memo["digest"] = digest
        return Receipt(text="published before")
    published = run.db.publish(run.run_id, run.now)
    run.memo["digest"] = published.digest
    return Receipt(sum(published.rows.values()), text=f"{sum(published.rows.values()):,} rows, {published.size / 1e6:.1f} MB")


def _status(run: Run) -> str:
    """'degraded' where a symbol was left out that should have come, or a training that was due failed."""
    if NOT_TRAINED in run.memo:
        return "degraded"
    return "degraded" if any(refusal.reason not in AS_IT_SHOULD_BE for refusal in run.refusals.values()) else "completed"


def _recall_refusals(run: Run) -> None:
    """Symbols that an earlier attempt of this run left out, before it was killed."""
    from storage.quarantine import refused_by

    with run.db.reading() as con:
        for symbol, reason, message in refused_by(con, run.run_id):
            run.refusals.setdefault(symbol, Refusal(symbol, reason, message, passing=reason in PASSING_KINDS))


def _reason(run: Run) -> str | None:
    said = [refusal.message for _, refusal in sorted(run.refusals.items())]
    if NOT_TRAINED in run.memo:
        said.insert(0, run.memo[NOT_TRAINED])
    if not said:
        return None
    text = "; ".join(said)[:2000]
    return (MAY_PASS if run.live and any(r.passing for r in run.refusals.values()) else "") + text


def _mode(run: Run) -> str:
    from storage.ledger import read_forecasts

    with run.db.reading() as con:
        modes = read_forecasts(con, run.origin)["mode"]
    if modes.empty:
        return "none"
    return "live" if (modes == "live").any() else "backfill"
