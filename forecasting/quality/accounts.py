"""From what the rules set aside and remarked to findings, and an account of every row that adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.quality import agreement
from forecasting.quality.cleaning import REASONS
from forecasting.quality.verdicts import SEVERITIES, VERDICTS, Finding, Severity, Verdict, verdict_of

if TYPE_CHECKING:
    from forecasting.errors import SourceError
    from forecasting.quality.action_rules import CleanedActions
    from forecasting.quality.cleaning import Cleaned, Warned

__all__ = [
    "SEVERITIES", "VERDICTS", "Account", "Finding", "Severity", "Verdict", "accounts_of", "disagreement_findings",
    "findings_of", "in_order", "rules", "severity_of", "text_of", "verdict_of",
]  # fmt: skip

#: What a source says of a delivered row that it could not read as a bar; the codes of cleaning go first.
ROW_REASONS: dict[str, tuple[Severity, str]] = {
    "unreadable": ("reject", "the file cannot be read as prices"),
    "wrong_width": ("quarantine", "the line has more or fewer cells than the header"),
    "null_bar": ("quarantine", "the source names the session and gives no price"),
    "other_currency": ("quarantine", "the row is in another currency than the symbol's other rows"),
    "superseded": ("warn", "a later file says the same session differently; the later one was kept"),
    "repeated_header": ("warn", "the header line came again inside the data; it is no row"),
    "action_without_bar": ("warn", "a split or dividend is told for a day without a bar"),
}

_MISSING = ("gap", "long_gap", "calendar_disagrees")  # their sessions are those that are not there


#: What can only be said of rows beside those that are stored.
STORE_REASONS: dict[str, tuple[Severity, str]] = {
    "restated": ("warn", "most of the stored history came again with other values, as after a split; both are kept"),
}


@dataclass(frozen=True)
class Account:
    """Where the rows of a symbol went. Every row that came is in exactly one of kept, merged, outside and quarantined;
    ``warned`` counts those kept ones about which something is odd. Once stored, the kept ones are stored (a session that was
    not known before), unchanged, or revised. ValueError where the numbers do not add up."""

    symbol: str
    received: int
    merged: int = 0
    quarantined: int = 0
    warned: int = 0
    outside: int = 0
    stored: int | None = None
    unchanged: int = 0
    revised: int = 0

    def __post_init__(self) -> None:
        went = None if self.stored is None else self.stored + self.unchanged + self.revised
        if self.kept < 0 or self.warned > self.kept or went not in (None, self.kept):
            raise ValueError(f"rows without a reason: {self}")

    @property
    def kept(self) -> int:
        return self.received - self.merged - self.quarantined - self.outside


@cache
def rules() -> dict[str, tuple[str, str]]:
    """Every code that a finding about prices can have: (severity, what is wrong), in order of importance."""
    return {**ROW_REASONS, **REASONS, **agreement.REASONS, **STORE_REASONS}


def severity_of(code: str) -> Severity:
    """How bad a rule is; 'quarantine' for one that is not known here."""
    return rules().get(code, ("quarantine", ""))[0]  # type: ignore[return-value]


def text_of(code: str) -> str:
    """What the rule says is wrong, '' for one that is not known here."""
    return rules().get(code, ("", ""))[1]


def findings_of(
    cleaned: Cleaned | None = None,
    cleaned_actions: CleanedActions | None = None,
    rejects: pd.DataFrame | None = None,
    failures: Mapping[str, SourceError] | None = None,
) -> tuple[Finding, ...]:
    """Everything that was said against bars, actions, rows that a source could not read, and symbols without an answer; one
    finding a symbol and rule, the gravest first."""
    parts = [part for part in (cleaned, cleaned_actions) if part is not None]
    aside = [part.quarantine for part in parts]
    if rejects is not None:
        aside.append(rejects.assign(severity=[severity_of(code) for code in rejects["reason"]]))
    unread = _unread_sessions(rejects)
    found = _of_rows(aside) + [f for part in parts for w in part.warnings if (f := _of_warning(w, unread)) is not None]
    for symbol, error in sorted((failures or {}).items()):
        if error.kind != "no_session":  # a holiday: nothing was to come
            found.append(Finding(error.kind, "reject", symbol, (), str(error)))
    return in_order(found)


def disagreement_findings(disagreements: pd.DataFrame) -> tuple[Finding, ...]:
    """What two sources tell differently, from the rows of ``agreement``; one finding a symbol and rule."""
    if disagreements.empty:
        return ()
    codes = [agreement.reason_of(f, v) for f, v in zip(disagreements["field"], disagreements["verdict"], strict=True)]
    found = []
    for (symbol, code), rows in disagreements.assign(code=codes).groupby(["symbol", "code"], sort=True):
        first = rows.iloc[0]
        example = (
            f"{first['field']} of {first['session']:%Y-%m-%d}: {_told(first['first_value'])} and {_told(first['second_value'])}"
        )
        sessions = _dates(rows["session"])
        message = f"{text_of(code)}; {example}" + (f" ({len(sessions)} sessions)" if len(sessions) > 1 else "")
        found.append(Finding(code, severity_of(code), symbol, sessions, message, len(sessions)))
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then by symbol, then by the importance of the rule."""
    rank = {code: i for i, code in enumerate(rules())}
    return tuple(sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), f.symbol, rank.get(f.rule, len(rank)), f.rule)))


def accounts_of(bars: pd.DataFrame, cleaned: Cleaned, rejects: pd.DataFrame | None = None) -> tuple[Account, ...]:
    """One account a symbol, in order: of ``bars`` as they came and ``rejects`` beside them, what became of each row.

    ValueError where a row is in none of the places or in two.
    """
    unread = pd.Series(dtype="int64") if rejects is None or rejects.empty else _by_symbol(rejects["symbol"])
    came, kept, aside = _by_symbol(bars["symbol"]), _by_symbol(cleaned.bars["symbol"]), _by_symbol(cleaned.quarantine["symbol"])
    merged: dict[str, int] = {}
    for w in cleaned.warnings:
        if w.reason == "duplicate_identical":
            merged[w.symbol] = merged.get(w.symbol, 0) + w.rows
    warned = _warned_rows(cleaned)
    accounts = []
    for symbol in sorted(came.index.union(unread.index)):
        account = Account(
            symbol,
            int(came.get(symbol, 0) + unread.get(symbol, 0)),
            merged.get(symbol, 0),
            int(aside.get(symbol, 0) + unread.get(symbol, 0)),
            int(warned.get(symbol, 0)),
        )
        if account.kept != kept.get(symbol, 0):
            raise ValueError(f"rows without a reason: {account}, {kept.get(symbol, 0)} kept")
        accounts.append(account)
    return tuple(accounts)


def _by_symbol(symbol: pd.Series) -> pd.Series:
    return symbol.fillna("").value_counts()


def _warned_rows(cleaned: Cleaned) -> pd.Series:
    """How many kept rows of each symbol have a warning: one row with two warnings counts once."""
    if not cleaned.warnings:
        return pd.Series(dtype="int64")
    said = pd.DataFrame({
        "symbol": [w.symbol for w in cleaned.warnings for _ in range(w.rows)],
        "session": np.concatenate([np.asarray(w.sessions, dtype="datetime64[us]") for w in cleaned.warnings]),
    }).drop_duplicates()  # fmt: skip
    kept = cleaned.bars.loc[cleaned.bars["symbol"].isin(said["symbol"]), ["symbol", "session"]]
    return kept.merge(said, on=["symbol", "session"])["symbol"].value_counts()


def _of_rows(parts: Sequence[pd.DataFrame]) -> list[Finding]:
    """Rows that were set aside: one finding a symbol and reason, with the message of the first row."""
    columns = ["symbol", "session", "reason", "severity", "message"]
    parts = [part[columns].assign(symbol=part["symbol"].fillna("")) for part in parts if len(part)]
    if not parts:
        return []
    found = []
    for (symbol, reason), rows in pd.concat(parts, ignore_index=True).groupby(["symbol", "reason"], sort=True):
        severity = max(rows["severity"], key=SEVERITIES.index)
        texts = list(dict.fromkeys(rows["message"]))
        text = texts[0] if len(texts) == 1 else f"{text_of(str(reason)) or 'set aside'}, first: {texts[0]}"
        more = f" ({len(rows)} rows)" if len(rows) > 1 else ""
        found.append(Finding(str(reason), severity, str(symbol), _dates(rows["session"]), text + more, len(rows)))
    return found


def _unread_sessions(rejects: pd.DataFrame | None) -> dict[str, set[date]]:
    """By symbol the sessions of rows that came and could not be read: those are not missing."""
    if rejects is None or rejects.empty:
        return {}
    dated = rejects[rejects["session"].notna() & rejects["symbol"].notna()]
    return {str(symbol): set(_dates(days)) for symbol, days in dated.groupby("symbol")["session"]}


def _of_warning(warned: Warned, unread: Mapping[str, set[date]]) -> Finding | None:
    sessions, rows = _dates(pd.Series(list(warned.sessions), dtype="datetime64[us]")), warned.rows
    if warned.reason in _MISSING and warned.symbol in unread:
        sessions = tuple(day for day in sessions if day not in unread[warned.symbol])
        rows = len(sessions)
        if not rows:
            return None
    more = f" ({rows} rows)" if rows > 1 else ""
    return Finding(warned.reason, "warn", warned.symbol, sessions, text_of(warned.reason) + more, rows)


def _dates(sessions: pd.Series) -> tuple[date, ...]:
    """The distinct dates, ascending; what is no date is left out."""
    days = np.unique(sessions.dropna().to_numpy().astype("datetime64[D]"))
    return tuple(days.astype(object))


def _told(value: float) -> str:
    return "nothing" if value != value else f"{value:.6g}"
