"""Macro values as they became known: every vintage with its instant of publication, and what each session could see.

Rows are never changed. A value that comes for a stored (series, about, published_at) and differs is a revision, as for
prices: a further row with the next number and its own ``known_at``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from forecasting.sessions import DEFAULT_CALENDAR, FINAL_AFTER_MINUTES
from storage.append import Appended, current
from storage.bars import REVISION_TOLERANCE, frame_of, known_by
from storage.database import Tx

if TYPE_CHECKING:
    import pandas as pd

MACRO_KEY = ("series", "about", "published_at")


def append_macro(tx: Tx, frame: pd.DataFrame, source: str, known_at: datetime) -> Appended:
    """Store vintages (series, about, published_at in UTC without a time zone, value, dated_by)."""
    columns = ["series", "about", "published_at", "value", "dated_by"]
    rows = frame[columns].assign(source=source, known_at=known_at)
    return tx.append("macro_values", rows, MACRO_KEY, ("value",), REVISION_TOLERANCE)


def read_vintages(
    con: duckdb.DuckDBPyConnection, as_of: datetime | None = None, series: Iterable[str] | None = None
) -> pd.DataFrame:
    """Every vintage as known at ``as_of`` (None: now): series, about and published_at (datetime64[us], UTC), value, source,
    dated_by, in the order of the key."""
    where, parameters = "true", {}
    if series is not None:
        where, parameters = "series IN (SELECT unnest($series::VARCHAR[]))", {"series": list(series)}
    rows = current("macro_values", MACRO_KEY, where, known_by(as_of))
    columns = "series, about, published_at, value, source, dated_by"
    return frame_of(con, f"SELECT {columns} FROM ({rows}) ORDER BY series, about, published_at", parameters)


def read_macro(
    con: duckdb.DuckDBPyConnection,
    until: date | None = None,
    as_of: datetime | None = None,
    since: date | None = None,
    calendars: Iterable[str] = (DEFAULT_CALENDAR,),
    final_after_minutes: int = FINAL_AFTER_MINUTES,
) -> pd.DataFrame:
    """What the sessions of ``calendars`` could see: series, session, value, one row for each change, with
    since <= session <= until, in (series, session) order; of several calendars with a column ``calendar``.

    A value counts from the first session whose close plus ``final_after_minutes`` is not before its publication.
    """
    from forecasting.macro import as_known_at, best_dated

    vintages = best_dated(read_vintages(con, as_of))
    if vintages.empty:
        return vintages.assign(session=vintages["about"])[["series", "session", "value"]]
    last = until or vintages["published_at"].max().date() + timedelta(days=15)  # past any holidays
    first = min(vintages["published_at"].min().date() - timedelta(days=1), last)
    seen = as_known_at(vintages, tuple(calendars), first, last, final_after_minutes, as_of)
    return seen if since is None else seen[seen["session"] >= str(since)[:10]].reset_index(drop=True)


def newest_published(con: duckdb.DuckDBPyConnection, source: str, besides: str | None = None) -> dict[str, date]:
    """For each series the day of its newest vintage that ``source`` dated itself; what the run ``besides`` stored does not
    count."""
    found = con.execute(
        "SELECT series, max(published_at)::DATE FROM store.macro_values "
        "WHERE source = ? AND dated_by = 'source' AND run_id IS DISTINCT FROM ? GROUP BY series ORDER BY series",
        [source, besides],
    )
    return dict(found.fetchall())
