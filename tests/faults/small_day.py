"""The smallest day there is: the real store, lease, landing files, ledger and publish under a forecaster of two lines.

A life of the simulator is many runs; with the network and every check of the real flow one takes two seconds, this a fifth of
one. It goes the way of the real steps: ask, land, store, forecast what was missed and the day itself, score, complete, publish,
each step done once. ``--flow daily`` of the simulator lives with the real flow.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import SourceError, StaleSymbol
from forecasting.sessions import add_sessions, closes_at, last_final_session, sessions_between
from storage.bars import append_bars, last_sessions, read_bars
from storage.database import Database
from storage.home import Home, disk_errors
from storage.landing import load_landing, save_landing
from storage.ledger import last_origins, score_settled
from storage.runs import Run, finish_attempt, record_run, run_done, start_attempt
from tasks.run import short_digest
from tests.faults.weather import WeatherSource
from tests.tiny import SYMBOLS

CALENDAR = "XNYS"
TRIES = 3
source = cache(WeatherSource)


def small_day(path: Path, now: datetime) -> dict[str, Any]:
    """Do the day, or find it done; the report in short."""
    home, origin = Home(path), last_final_session(CALENDAR, now)
    run_id = short_digest("small", str(origin))
    with disk_errors(home):
        db = Database(home)
        with db.lease(f"small day of {origin}") as lease:
            with db.kept_open():
                with db.reading() as con:
                    done = run_done(con, run_id) is not None
                if not done:
                    _do(db, lease, run_id, origin, now)
            digest = db.publish(run_id, now).digest if not done or not published(home, run_id) else content(db)
    return {"digest": digest, "status": "completed", "run_id": run_id, "already_done": done, "origin": str(origin)}


def _do(db: Database, lease: Any, run_id: str, origin: date, now: datetime) -> None:
    with db.writing(lease, run_id, None) as tx:
        attempt = start_attempt(tx, run_id, "small", now)
    landed = save_landing(db.home, _asked(db, run_id, origin))
    if db.step_done(run_id, "store_prices") is None:
        bars = load_landing(db.home, landed.digest)
        with db.writing(lease, run_id, "store_prices") as tx:
            append_bars(tx, bars, "weather", "as_traded", now)
    with db.reading() as con:
        done = sorted(last_origins(con, until=origin, besides=run_id).values())[:1]
    due = [origin] if not done else _days(add_sessions(CALENDAR, max(done), 1), origin)
    for day in due:
        if db.step_done(run_id, f"forecast/{day}") is None:
            with db.reading() as con:
                frame = forecasts(read_bars(con, until=day), day, now)
            import storage.ledger as ledger

            with db.writing(lease, run_id, f"forecast/{day}") as tx:
                ledger.append_forecasts(tx, frame)
        if db.step_done(run_id, f"score/{day}") is None:
            with db.writing(lease, run_id, f"score/{day}") as tx:
                score_settled(tx, day, run_id, now)
    with db.writing(lease, run_id, "complete") as tx:
        record_run(tx, Run(run_id, "small", origin, "completed", None, "weather", ",".join(SYMBOLS), "", "", landed.digest,
                           "live", now, now))  # fmt: skip
    with db.writing(lease, run_id, None) as tx:
        finish_attempt(tx, attempt, "completed", None, now)


def _asked(db: Database, run_id: str, origin: date) -> pd.DataFrame:
    """All bars since a few sessions before the last stored one; SourceError where one is missing after the last try."""
    with db.reading() as con:
        stored = last_sessions(con, besides=run_id)
    begin = add_sessions(CALENDAR, min(stored.values()), -4) if stored else None
    for attempt in range(TRIES):
        try:
            answer = source().fetch(SYMBOLS, begin, origin)
            for error in answer.failures.values():
                raise error
            bars = answer.bars.dropna()
            for symbol, own in bars.groupby("symbol")["session"]:
                if own.max() < pd.Timestamp(origin):
                    raise StaleSymbol(symbol, own.max().date(), origin)
            return bars
        except SourceError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def forecasts(bars: pd.DataFrame, day: date, now: datetime) -> pd.DataFrame:
    """The last close, a fan around it as wide as the last twenty returns."""
    target = add_sessions(CALENDAR, day, 1)
    rows = []
    for symbol, close in bars.groupby("symbol")["close"]:
        scale = float(np.std(np.diff(np.log(close.to_numpy()[-21:]))))
        fan = close.iloc[-1] * np.exp(scale * np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64]))
        rows.append((symbol, pd.Timestamp(day), 1, pd.Timestamp(target), float(close.iloc[-1]), scale, *fan))
    names = ["symbol", "origin", "horizon", "target_session", "close", "scale", "q05", "q10", "q25", "q50", "q75", "q90", "q95"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        forecaster="persistence", model_id="m" * 64, serving=True, p_up=0.5, data_digest="", issued_at=now, as_of=now,
        mode="live" if now < closes_at(CALENDAR, target) else "backfill",
    )  # fmt: skip


def published(home: Home, run_id: str) -> bool:
    """Whether what readers and the manifest have is of this run."""
    from forecasting.errors import DatabaseCorrupt
    from storage.manifest import read_manifest

    try:
        return home.snapshot.exists() and read_manifest(home)["run_id"] == run_id
    except DatabaseCorrupt:
        return False


def content(db: Database) -> str:
    from storage.manifest import content_digest

    with db.reading() as con:
        return content_digest(con)


def _days(first: date, last: date) -> list[date]:
    return [
        date(d.year, d.month, d.day) for d in sessions_between(CALENDAR, first, last).astype("datetime64[D]").astype(object)
    ]
