"""What one simulated run does, and what is looked at after it: everything here runs in a child of the simulator."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.faults import points, weather


@dataclass(frozen=True)
class Attempt:
    """One start of the daily run."""

    now: datetime
    mood: str = "fair"
    times: int = 99  # calls of the provider that the mood lasts
    symbol: str = "AAA"
    fate: str = ""
    place: int = 0

    def __str__(self) -> str:
        fate = f", {self.fate} at write {self.place}" if self.fate else ""
        mood = f", provider: {self.mood} ({self.symbol}, {self.times} calls)" if self.mood != "fair" else ""
        return f"{self.now:%Y-%m-%d %H:%M} UTC{mood}{fate}"


def lived(home: Path, attempt: Attempt, plant: str | None = None, flow: str = "small") -> dict:
    """One start of the day at its instant, under its fate; its report in short, or its error."""
    from forecasting.errors import NextcloseError

    weather.MOOD = weather.Mood(attempt.mood, attempt.symbol, attempt.times)
    if plant:
        from tests.faults.planted import PLANTED

        PLANTED[plant]()
    if attempt.fate:
        points.watch(home, attempt.fate, attempt.place)
    try:
        report = FLOWS[flow](home, attempt.now)
    except NextcloseError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "code": 1}
    finally:
        points.WATCH.folder = ""
    return {key: report[key] for key in ("digest", "status", "run_id", "already_done", "origin")} | {
        "places": points.WATCH.passed
    }


def small(home: Path, now: datetime) -> dict:
    from tests.faults.small_day import small_day

    return small_day(home, now)


def daily(home: Path, now: datetime) -> dict:
    import flows.daily
    import flows.entry
    import tasks.opening
    import tasks.publishing
    from flows.parameters import Daily
    from tasks.policies import Policy

    for module in (flows.entry, tasks.opening, tasks.publishing):
        module.now_utc = lambda: now
    Policy.delay = lambda self, retry: 0.0
    return flows.daily.daily(Daily(home=str(home)))


FLOWS = {"small": small, "daily": daily}

#: What a day leaves, whoever ran it how often: without run ids, clocks, and what a half-failed attempt tells of itself.
SUBSTANCE = {
    "bars": "SELECT symbol, session, open, high, low, close, volume FROM prices",
    "forecasts": "SELECT symbol, origin, horizon, forecaster, q05, q50, q95, p_up, model_id, mode FROM store.forecasts",
    "scores": "SELECT symbol, origin, horizon, forecaster, close_at_target, pinball FROM store.scores",
}
_KEYS = {
    "bars": "symbol, session, revision",
    "actions": "symbol, session, kind, revision",
    "runs": "run_id",
    "steps": "run_id, step",
    "forecasts": "symbol, origin, horizon, forecaster",
    "scores": "symbol, origin, horizon, forecaster",
    "features": "symbol, session, feature, feature_set",
}


def looked_at(home: Path, instants: list[str], before: dict | None = None, calm: bool = False) -> dict:
    """Everything that the invariants are about, read from the database and from the snapshot, which is not read again where it
    is the very file that was looked at ``before``."""
    from storage.connection import opened
    from storage.home import Home
    from storage.snapshot import open_snapshot

    file = os.stat(Home(home).snapshot)
    mark = [file.st_ino, file.st_mtime_ns, file.st_size]
    if before is not None and before["published"]["file"] == mark:
        published = before["published"]
    else:
        with open_snapshot(Home(home)) as con:
            published = published_in(con) | {"file": mark}
    with opened(Home(home).database) as con:
        stored = stored_in(con, Home(home), instants)
    return {"published": published, "disorder": disorder_in(Home(home), stored["digest"]) if calm else []} | stored


def published_in(con: Any) -> dict:
    """What readers see: whether it is what it says, and of a complete run."""
    from storage.manifest import content_digest

    run_id, said = con.execute("SELECT run_id, digest FROM store.publication").fetchone()
    complete = con.execute("SELECT count(*) FROM store.runs WHERE run_id = ?", [run_id]).fetchone()[0] == 1
    return {
        "torn": said != content_digest(con),
        "digest": said,
        "whole": complete,
        "forecasts": _count(con, "forecasts"),
        "bars": _count(con, "bars"),
    }


def stored_in(con: Any, home: Any, instants: list[str]) -> dict:
    """What the writer's file holds: keys twice, rows without a step, marks of what must not change, commits that were lost."""
    from storage.bars import read_bars
    from storage.journal import lost
    from storage.manifest import content_digest

    twice = {t: con.execute(f"SELECT count(*) - count(DISTINCT ({k})) FROM store.{t}").fetchone()[0] for t, k in _KEYS.items()}
    orphans = {
        t: con.execute(f"SELECT count(*) FROM store.{t} ANTI JOIN store.steps USING (run_id)").fetchone()[0]
        for t in ("bars", "forecasts", "scores", "features")
    }
    issued = con.execute(
        "SELECT origin::VARCHAR, md5(string_agg(f::VARCHAR, chr(10) ORDER BY f::VARCHAR)), min(mode) || max(mode) "
        "FROM store.forecasts AS f GROUP BY 1 ORDER BY 1"
    ).fetchall()
    writes = con.execute("SELECT writes FROM store.lease").fetchone()[0]
    return {
        "twice": {t: n for t, n in twice.items() if n},
        "orphans": {t: n for t, n in orphans.items() if n},
        "issued": {origin: mark for origin, mark, _ in issued},
        "modes": {origin: mode for origin, _, mode in issued},
        "counts": {t: _count(con, t) for t in ("bars", "forecasts", "scores", "runs", "steps")},
        "substance": {name: _mark(sorted(con.execute(sql).fetchall(), key=str)) for name, sql in SUBSTANCE.items()},
        "digest": content_digest(con),
        "known": {i: _mark(_rows(read_bars(con, as_of=datetime.fromisoformat(i)))) for i in instants},
        "lost": len(lost(home, writes)),
    }


def disorder_in(home: Any, digest: str) -> list[str]:
    """What ``verify`` would say of manifest and snapshot, and what lies about that a killed run left."""
    from storage.manifest import read_manifest
    from storage.verify import _landing, _snapshot

    manifest = read_manifest(home)
    found = [str(finding) for finding in _snapshot(home, manifest["snapshot"]) + _landing(home)]
    if manifest["digest"] != digest:
        found.append("the manifest is of another content")
    return found + leftovers(home.path)


def leftovers(home: Path) -> list[str]:
    """Hidden files that a killed run left and nobody cleared away."""
    stay = (".lock", ".migration-lock", ".commits", ".nextclose.duckdb.turn")
    return [path.name for path in home.rglob(".*") if path.name not in stay]


def modules() -> dict:
    """What a process that did a day has loaded."""
    return {"modules": sorted(sys.modules)}


def recovered(home: Path, now: datetime) -> dict:
    from storage.home import Home
    from storage.repair import repair

    done = repair(Home(home), now)
    return {"lost": len(done.lost), "actions": done.actions}


def _count(con: Any, table: str) -> int:
    return con.execute(f"SELECT count(*) FROM store.{table}").fetchone()[0]


def _rows(frame: Any) -> tuple:
    """Its columns and a hash of each row, in order."""
    from pandas.util import hash_pandas_object

    return tuple(frame.columns), hash_pandas_object(frame).tolist()


def _mark(what: object) -> str:
    return hashlib.sha256(str(what).encode()).hexdigest()[:16]
