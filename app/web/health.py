"""What the page about the data shows: what came in, what was set aside and why, budgets, freshness against the calendar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.web import queries
from app.web.calendars import Lag
from app.web.questions import DISAGREEMENTS, FINDINGS, QUARANTINE
from sources.catalogue import CATALOGUE
from storage.editions import Edition

_LATE_SHOWN = 200


def health(edition: Edition, lags: list[Lag], now: datetime) -> dict[str, Any]:
    """Everything the page shows."""
    fresh = list(queries.fresh(edition).values())
    late = [row for row in fresh if row["sessions_behind"]]
    behind = [
        row
        for row in fresh
        if row["last_origin"] is not None and row["last_session"] and row["last_origin"] < row["last_session"]
    ]
    return {
        "lags": lags, "symbols": len(fresh), "late": late[:_LATE_SHOWN], "late_count": len(late),
        "no_forecast": [row["symbol"] for row in fresh if row["last_origin"] is None], "behind": behind[:_LATE_SHOWN],
        "sources": queries.quality(edition), "by_symbol": queries.quality_by_symbol(edition),
        "aside": queries.set_aside(edition),
        "findings": FINDINGS.rows(edition, limit=200), "quarantine": QUARANTINE.rows(edition, limit=100),
        "disagreements": DISAGREEMENTS.rows(edition, limit=200), "budgets": budgets(edition, now),
    }  # fmt: skip


def budgets(edition: Edition, now: datetime) -> list[dict[str, Any]]:
    """Each source that was ever asked: requests of the last 24 hours, and what is left of those that it allows."""
    limits: Mapping[str, int | None] = {about.name: about.per_day for about in CATALOGUE}
    rows = []
    for row in queries.budgets(edition, now):
        limit, spent = limits.get(row["source"]), row["requests_24h"] or 0
        rows.append({**row, "requests_24h": spent, "limit": limit, "left": None if limit is None else max(0, limit - spent)})
    return rows


def verdict(edition: Edition, lags: list[Lag]) -> dict[str, Any]:
    """In one word for machines: ok or stale, with what it rests on."""
    late = [lag for lag in lags if lag.sessions > 1]
    newest = max((lag.newest for lag in lags), default=None)
    status = "empty" if not lags else "stale" if late else "ok"
    return {
        "status": status, "edition": edition.id, "published_at": edition.published_at, "run_id": edition.run_id,
        "newest_session": newest, "sessions_behind": max((lag.sessions for lag in lags), default=0),
        "calendars": [
            {"calendar": lag.calendar, "newest_session": lag.newest, "expected_session": lag.expected,
             "sessions_behind": lag.sessions, "exact": lag.exact}
            for lag in lags
        ],
    }  # fmt: skip
