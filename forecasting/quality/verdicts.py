"""What is wrong with delivered prices, in words for people and programs: findings and a verdict. Imports nothing heavy.

reject                 nothing of what came can be used
quarantine             some rows or symbols were set aside with a reason, the others go on
accept with warning    all rows can be used, something about them is odd
accept                 nothing to say
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

Severity = Literal["warn", "quarantine", "reject"]
Verdict = Literal["accept", "accept with warning", "quarantine", "reject"]
SEVERITIES: tuple[Severity, ...] = ("warn", "quarantine", "reject")
VERDICTS: tuple[Verdict, ...] = ("accept", "accept with warning", "quarantine", "reject")


@dataclass(frozen=True)
class Finding:
    """One rule against one symbol. ``sessions``: the bad rows' trading dates, ascending (for a gap: those that are missing);
    empty where the finding is not about dated rows. ``symbol`` is '' where it is not known whose rows they are."""

    rule: str
    severity: Severity
    symbol: str
    sessions: tuple[date, ...]
    message: str
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.symbol or 'file'}{_span(self.sessions)}: {self.message} ({self.rule})"


def verdict_of(findings: Iterable[Finding], symbols: Sequence[str] | None = None) -> Verdict:
    """The verdict over what came. ``symbols``: all that came; where some of them are free of a 'reject', the others go on, so
    that the whole is a 'quarantine'. Without it one rejected symbol rejects the whole."""
    findings = tuple(findings)
    worst = max((SEVERITIES.index(f.severity) for f in findings), default=-1)
    if worst < 2:
        return VERDICTS[worst + 1]
    rejected = {f.symbol for f in findings if f.severity == "reject"}
    return "reject" if "" in rejected or symbols is None or set(symbols) <= rejected else "quarantine"


def _span(sessions: Sequence[date]) -> str:
    if not sessions:
        return ""
    if len(sessions) <= 3:
        return " " + ", ".join(map(str, sessions))
    return f" {sessions[0]} .. {sessions[-1]} ({len(sessions)} sessions)"
