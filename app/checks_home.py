"""Checks of what is stored: database, commits, manifest, snapshot, models, freshness, backups, sources."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from app.doctor import Check, Patient, not_looked_at, ok, problem, warning

RUN = "type `nextclose run`"
OLD_BACKUP = timedelta(days=8)
NOTHING = "nothing is stored yet"


def check_database(patient: Patient) -> Check:
    """Does the file open, and is its schema this code's?"""
    from forecasting.errors import DatabaseLocked
    from storage.apart import opens_apart
    from storage.exchange import begun
    from storage.journal import log_changed
    from storage.lockfile import lock_holder
    from storage.migrate import known_migrations, schema_number

    home, name = patient.home, "database"
    if begun(home) and lock_holder(home) is None:
        return problem(name, "a restore or a repair was begun and did not end", f"{RUN}, which finishes it")
    if not home.database.exists():
        if home.manifest.exists() or home.snapshot.exists():
            return problem(name, f"{home.database} is missing", "type `nextclose recover`")
        return not_looked_at(name, NOTHING)
    holder = lock_holder(home)
    if holder is not None:
        return ok(name, f"in use by {holder}")
    if log_changed(home):
        return problem(name, f"{home.log.name} was changed since it was written", "type `nextclose recover`")
    if not opens_apart(home.database):
        return problem(name, f"{home.database.name} or its write-ahead log cannot be read", "type `nextclose recover`")
    from storage.connection import opened

    try:
        with opened(home.database, read_only=True, lock_wait=0.5) as con:
            number = schema_number(con)
            patient.memo["writes"] = con.execute("SELECT writes FROM store.lease WHERE name = 'writer'").fetchone()[0]
    except DatabaseLocked as error:
        return warning(name, str(error).partition(";")[0], "close it there; readers open snapshot.duckdb instead")
    newest = known_migrations()[-1].number
    if number < newest:
        return warning(name, f"schema {number}, this nextclose has {newest}", f"{RUN}: it is migrated, with a backup")
    return ok(name, f"schema {number}, {home.database.stat().st_size / 1e6:.1f} MB")


def check_commits(patient: Patient) -> Check:
    """Does the database have every commit that was acknowledged? A torn write-ahead log loses them without a word."""
    from storage.journal import lost

    if "writes" not in patient.memo:
        return not_looked_at("commits", "the database was not opened")
    missing = lost(patient.home, patient.memo["writes"])
    if missing:
        steps = ", ".join(sorted({commit.step for commit in missing if commit.step})[:5]) or "no step of a run"
        return problem("commits", f"{len(missing)} commits were lost: {steps}", "type `nextclose recover`")
    return ok("commits", f"{patient.memo['writes']} commits, none lost")


def check_digests(patient: Patient) -> Check:
    """Is the content of the database, the snapshot and the models what was published?"""
    from storage.exchange import begun
    from storage.verify import in_short, verify

    if not (patient.home.manifest.exists() or begun(patient.home)):
        return not_looked_at("digests", "nothing is published yet")
    findings = verify(patient.home, lock_wait=1.0)
    grave = [finding for finding in findings if finding.kind != "unpublished"]
    if grave:
        return problem("digests", in_short(grave), "type `nextclose recover`")
    if findings:
        return warning("digests", f"{len(findings)} parts are stored and not published", f"{RUN} to finish that run")
    return ok("digests", "everything is as it was left")


def check_snapshot(patient: Patient) -> Check:
    """Can readers open what was published?"""
    from storage.reading import ask
    from storage.snapshot import open_snapshot

    if not patient.home.snapshot.exists():
        return not_looked_at("snapshot", "nothing is published yet")
    with open_snapshot(patient.home) as con:
        forecasts = ask(con, "SELECT count(*) FROM latest_forecasts").rows[0][0]
    with patient.home.snapshot.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ok("snapshot", f"{forecasts} latest forecasts, SHA-256 {digest[:12]}")


def check_model(patient: Patient) -> Check:
    """Does a model serve, and is its folder what the registry recorded?"""
    from storage.model_folders import model_problem
    from storage.reading import ask
    from storage.snapshot import open_snapshot

    if not patient.home.snapshot.exists():
        return not_looked_at("model", "nothing is published yet")
    with open_snapshot(patient.home) as con:
        rows = ask(con, "SELECT model_id, forecaster, origin FROM store.serving ORDER BY position DESC LIMIT 1").rows
    if not rows:
        return warning("model", "none serves", f"{RUN}, or `nextclose retrain`")
    model_id, forecaster, origin = rows[0]
    found = model_problem(patient.home, model_id)
    if found is not None:
        return problem("model", found.partition(";")[0], "type `nextclose recover`, or `nextclose retrain`")
    return ok("model", f"{forecaster} of {model_id[:16]} serves since {origin}")


def check_freshness(patient: Patient) -> Check:
    """Was every symbol done at the last session that is over, by the calendar and not by when a run last succeeded?"""
    from forecasting.sessions import calendar_of, last_final_session, sessions_between
    from storage.ledger import last_origins
    from storage.snapshot import open_snapshot
    from tasks.deciding import last_for_all, pace_of
    from tasks.run import PASSING_KINDS

    if not patient.home.snapshot.exists():
        return not_looked_at("freshness", "nothing is published yet")
    with open_snapshot(patient.home) as con:
        origins = last_origins(con, patient.now.date(), passing=PASSING_KINDS - {"stale_symbol"})  # a halt is no fault of ours
    if not origins:
        return warning("freshness", "no forecast was made yet", RUN)
    named = patient.settings.universe.symbols if patient.settings.names_symbols else ()
    if never := sorted(set(named) - set(origins)):
        more = f" and {len(never) - 1} more" if len(never) > 1 else ""
        return warning("freshness", f"no run got to {never[0]}{more} yet", RUN)
    behindmost = min(named, key=origins.__getitem__, default=max(origins, key=origins.__getitem__))
    last = origins[behindmost]
    calendars = sorted({calendar_of(symbol) for symbol in patient.settings.universe.symbols})
    delay = patient.settings.source.final_after_minutes
    final = {name: last_final_session(name, patient.now, delay) for name in calendars}
    pace = pace_of(patient.settings.universe.symbols)
    behind = len(sessions_between(pace, last + timedelta(days=1), last_for_all(pace, final)))
    if behind > 0:
        whose = "" if last == max(origins.values()) else f" of {behindmost}"
        told = f"the last forecast{whose} is from {last}, {behind} sessions of {pace} are over since"
        return warning("freshness", told, RUN)
    return ok("freshness", f"forecasts from {last}, the last session of {pace} that is over")


def check_backups(patient: Patient) -> Check:
    """Is there a recent backup whose card is whole?"""
    from storage.backup import backups

    if not patient.home.database.exists():
        return not_looked_at("backups", NOTHING)
    kept = backups(patient.home.backups)
    if not kept:
        return warning(
            "backups", f"none in {patient.home.backups}", "type `nextclose backup`; `nextclose serve` makes one a night"
        )
    age = patient.now - kept[-1].created_at
    if age < timedelta(0):
        when = f"the newest is of {kept[-1].created_at:%Y-%m-%d %H:%M} UTC, which is still to come"
        return warning("backups", when, "set the clock, then type `nextclose backup`")
    if age > OLD_BACKUP:
        return warning("backups", f"the newest is {age.days} days old", "type `nextclose backup`")
    return ok("backups", f"{len(kept)}, the newest of {kept[-1].created_at:%Y-%m-%d %H:%M} UTC")


def check_sources(patient: Patient) -> Check:
    """How did the last requests to each configured source go?"""
    from storage.reading import requests_by_source
    from storage.snapshot import open_newest

    settings = patient.settings.source
    with open_newest(patient.home) as con:
        asked = {} if con is None else requests_by_source(con, patient.now)
    failing = []
    for name in (settings.name, *settings.then):
        one = asked.get(name)
        failed, answered = (one or {}).get("last_failure_at"), (one or {}).get("last_success_at")
        if isinstance(failed, datetime) and (answered is None or failed > answered):
            failing.append(f"{name} failed last at {failed:%Y-%m-%d %H:%M} UTC ({one['last_failure'] or 'no reason kept'})")
    if failing:
        return warning("sources", "; ".join(failing), "type `nextclose sources`")
    told = ", ".join(
        f"{name} {'answered last' if name in asked else 'not asked yet'}" for name in (settings.name, *settings.then)
    )
    return ok("sources", told)
