"""What the newest run of each source found in what it brought in. Imports nothing but duckdb."""

from __future__ import annotations

from typing import Any

import duckdb

from forecasting.quality.verdicts import Finding, verdict_of
from storage.reading import ask

_ACCOUNTS = """
    SELECT source, symbol, received, stored, unchanged, revised, merged, outside, quarantined, warned FROM quality
    QUALIFY row_number() OVER (PARTITION BY source, symbol ORDER BY known_at DESC, run_id DESC) = 1
    ORDER BY source, symbol"""

# The sessions of what was set aside are those of its rows; of rows that were kept the first and the last is known.
_FINDINGS = """
    WITH newest AS (
        SELECT source, symbol, run_id FROM quality
        QUALIFY row_number() OVER (PARTITION BY source, symbol ORDER BY known_at DESC, run_id DESC) = 1
    ),
    aside AS (
        SELECT run_id, source, symbol, reason, list(DISTINCT session ORDER BY session) AS sessions
        FROM store.quarantine WHERE session IS NOT NULL GROUP BY ALL
    )
    SELECT f.source, f.rule, f.severity, f.symbol, f.message, f.rows,
        coalesce(a.sessions, list_distinct([f.first_session, f.last_session])) AS sessions
    FROM quality_findings f
    JOIN newest n USING (run_id, source, symbol)
    LEFT JOIN aside a ON a.run_id = f.run_id AND a.source = f.source AND a.symbol = f.symbol AND a.reason = f.rule
    ORDER BY f.source, f.symbol, f.rule"""


def quality_report(con: duckdb.DuckDBPyConnection, place: str) -> list[dict[str, Any]]:
    """One entry a source: path (``place`` and the source), verdict, findings, and the newest account of each symbol."""
    accounts, findings = ask(con, _ACCOUNTS), ask(con, _FINDINGS)
    rows = [dict(zip(accounts.columns, row, strict=True)) for row in accounts.rows]
    found: dict[str, list[Finding]] = {}
    for source, rule, severity, symbol, message, count, sessions in findings.rows:
        days = tuple(sorted(day for day in sessions if day is not None))
        found.setdefault(source, []).append(Finding(rule, severity, symbol, days, message or "", count))
    report = []
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [{k: v for k, v in row.items() if k != "source"} for row in rows if row["source"] == source]
        said = found.get(source, [])
        verdict = verdict_of(said, [row["symbol"] for row in own])
        report.append({"path": f"{place}: {source}", "verdict": verdict, "findings": said, "accounts": own, "notes": ()})
    return report
