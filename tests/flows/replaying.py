"""Days that really were, one after the other: the ingest flow's steps with the clock set to each evening."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flows.prices import bring_in_prices
from storage.bars import read_actions, read_bars
from storage.database import Database
from storage.home import Home
from tasks.opening import Asked, open_run
from tasks.publishing import complete
from tasks.run import Run
from tasks.settings import settings_of


def ingest_at(home: Path, now: datetime, path: Path, **options: Any) -> Run:
    """Take in the file at ``now``, as ``nextclose ingest --prices`` does; the run as it ended."""
    asked = Asked("ingest", source="files", source_options={"path": str(path), **options}, every_time=True)
    with open_run(asked, Home(home), settings_of({}), now) as run:
        bring_in_prices(run)
        complete(run)
    return run


def known(home: Path, as_of: datetime | None = None) -> tuple[int, str]:
    """(bars, digest of bars and actions) as known at ``as_of``; equal digests mean equal bits."""
    with Database(Home(home)).reading() as con:
        bars, actions = read_bars(con, as_of=as_of), read_actions(con, as_of=as_of)
    digest = hashlib.sha256()
    for frame in (bars, actions):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return len(bars), digest.hexdigest()


def answer(home: Path, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(sql, parameters).fetchall()
