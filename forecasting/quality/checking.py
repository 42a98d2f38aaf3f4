"""All rules on one delivery of prices, as the daily run applies them, without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.quality import agreement
from forecasting.quality.accounts import (
    Account,
    Finding,
    Verdict,
    accounts_of,
    disagreement_findings,
    findings_of,
    in_order,
    verdict_of,
)
from forecasting.quality.action_rules import clean_actions
from forecasting.quality.cleaning import Cleaned, clean_bars
from forecasting.sessions import FINAL_AFTER_MINUTES, calendar_of, exchange_known, last_final_session, sessions_between

if TYPE_CHECKING:
    from forecasting.errors import SourceError
    from forecasting.quality.thresholds import QualityThresholds

_WRONG_EXCHANGE = 0.01  # New York and London differ on some 2 % of weekdays
_HOLIDAYS = 3  # of another exchange; one or two such dates are rows that ought not to be there
_EVERY_DAY = 0.25  # share of weekend dates from which on the symbol trades around the week


@dataclass(frozen=True)
class Delivery:
    """What a source delivered, in the frames of ``sources.base.Fetched``: bars, actions, rejects; and who failed why."""

    bars: pd.DataFrame
    actions: pd.DataFrame
    rejects: pd.DataFrame
    failures: Mapping[str, SourceError]
    basis: str = "as_traded"
    guessed: bool = False  # whether the symbol is a guess from the name of the file
    exchange_said: bool = True  # False: not even the name says on which exchange it trades

    @property
    def symbols(self) -> list[str]:
        """All symbols that it speaks of, sorted."""
        named = {*self.bars["symbol"].dropna(), *self.rejects["symbol"].dropna(), *self.failures}
        return sorted(named - {""})


@dataclass(frozen=True)
class Checked:
    """``accounts``: where each row went, one a symbol."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    accounts: tuple[Account, ...]
    cleaned: Cleaned


def check(
    delivery: Delivery,
    now: datetime,
    thresholds: QualityThresholds,
    stored: Mapping[str, float] | None = None,
    second: Delivery | None = None,
    final_after_minutes: int = FINAL_AFTER_MINUTES,
) -> Checked:
    """Judge a delivery as at the instant ``now``, each symbol by the calendar of its exchange.

    ``stored``: each symbol's close stored before it. ``second``: what another source delivered for the same symbols; where
    the two part, both are told.
    """
    bars = delivery.bars
    known, limits = _calendars(bars, now, final_after_minutes)
    if not delivery.exchange_said:
        known = {symbol: sessions for symbol, sessions in known.items() if _fits(bars, symbol, sessions)}
    cleaned = clean_bars(bars, known, limits, delivery.actions, stored, thresholds=thresholds)
    actions = clean_actions(delivery.actions, with_ratio(cleaned.bars, bars), thresholds)
    findings = findings_of(cleaned, actions, delivery.rejects, delivery.failures)
    if second is not None:
        second = _same_symbol(delivery, second)
        known, limits = _calendars(second.bars, now, final_after_minutes)
        other = clean_bars(second.bars, known, limits, second.actions, thresholds=thresholds)
        told = _disagreements(cleaned, other, delivery, second, thresholds)
        findings = in_order((*with_closures(findings, second.bars), *told))
    return Checked(verdict_of(findings, delivery.symbols), findings, accounts_of(bars, cleaned, delivery.rejects), cleaned)


def _calendars(bars: pd.DataFrame, now: datetime, delay: int) -> tuple[dict[str, np.ndarray], dict[str, date]]:
    """For each symbol the sessions of its exchange over the span of all bars, and the last session that is final."""
    calendar = {symbol: calendar_of(symbol) for symbol in bars["symbol"].dropna().unique()}
    final = {name: last_final_session(name, now, delay) for name in sorted(set(calendar.values()))}
    return known_sessions(bars), {symbol: final[name] for symbol, name in calendar.items()}


def known_sessions(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    """For each symbol whose exchange is known its sessions over the span of all bars, datetime64[D]."""
    days = bars["session"].dropna()
    if days.empty:
        return {}
    first, last = days.min().date(), days.max().date()
    calendar = {symbol: calendar_of(symbol) for symbol in bars["symbol"].dropna().unique() if exchange_known(symbol)}
    sessions = {name: sessions_between(name, first, last) for name in sorted(set(calendar.values()))}
    return {symbol: sessions[name] for symbol, name in calendar.items()}


def _fits(bars: pd.DataFrame, symbol: str, sessions: np.ndarray) -> bool:
    """Whether an exchange that was only supposed can be the right one. Of a wrong one a few percent of the dates are no
    sessions: its holidays. Of the right one hardly any are, and of dates that were shifted by a day a fifth or more."""
    days = bars.loc[bars["symbol"] == symbol, "session"].dropna().to_numpy().astype("datetime64[D]")
    if not len(days):
        return True
    closed = np.unique(days[~np.isin(days, sessions)])
    foreign = len(closed) >= _HOLIDAYS and _WRONG_EXCHANGE <= len(closed) / len(days) < 0.1
    return not foreign and np.mean(~np.is_busday(days)) < _EVERY_DAY


def with_ratio(clean: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The clean bars with the adjusted close over close that came with them, where it did."""
    if "adj_ratio" not in bars or "adj_ratio" in clean:
        return clean
    ratio = bars[["symbol", "session", "adj_ratio"]].drop_duplicates(["symbol", "session"], keep="last")
    return clean.merge(ratio, on=["symbol", "session"], how="left")


def _same_symbol(delivery: Delivery, second: Delivery) -> Delivery:
    """The second delivery; where both hold one symbol and the name of a file is all that says which, it is the same one."""
    one, other = delivery.symbols, second.symbols
    if len(one) != 1 or len(other) != 1 or one == other or not (delivery.guessed or second.guessed):
        return second
    return replace(second, bars=second.bars.assign(symbol=one[0]), actions=second.actions.assign(symbol=one[0]))


def with_closures(findings: tuple[Finding, ...], second: pd.DataFrame) -> tuple[Finding, ...]:
    """A session that is missing in both sources is one that the calendar is wrong about. ``second``: the other's bars."""
    held = {symbol: set(days.dt.date) for symbol, days in second.dropna(subset="session").groupby("symbol")["session"]}
    out: list[Finding] = []
    for finding in findings:
        own = held.get(finding.symbol, set())
        span = (min(own), max(own)) if own else None
        both = [d for d in finding.sessions if span and span[0] <= d <= span[1] and d not in own]
        if finding.rule != "gap" or not both:
            out.append(finding)
            continue
        message = "neither source has a session that the calendar expects: a closure that it does not know"
        out.append(Finding("calendar_disagrees", "warn", finding.symbol, tuple(both), message, len(both)))
        if rest := tuple(d for d in finding.sessions if d not in both):
            out.append(replace(finding, sessions=rest, rows=len(rest)))
    return tuple(out)


def told_apart(
    one: pd.DataFrame, two: pd.DataFrame, actions_one: pd.DataFrame, actions_two: pd.DataFrame, basis_one: str, basis_two: str,
    thresholds: QualityThresholds, with_actions: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Where two sources' clean bars, and where both are as traded their actions, differ: ``agreement.COLUMNS``.

    ``with_actions``: whether the second tells actions at all; that one which does not knows none means nothing.
    """
    actions = pd.concat([actions_one, actions_two], ignore_index=True)
    found = [agreement.compare(one, two, thresholds, basis_one, basis_two, actions).disagreements]
    if with_actions and basis_one == basis_two == "as_traded":
        spans = agreement.common_spans(one, two)
        found.append(agreement.compare_actions(actions_one, actions_two, thresholds, spans))
    return pd.concat([part for part in found if len(part)], ignore_index=True) if any(map(len, found)) else found[0]


def _disagreements(
    cleaned: Cleaned, other: Cleaned, delivery: Delivery, second: Delivery, thresholds: QualityThresholds
) -> tuple[Finding, ...]:
    """Where the second source tells otherwise; rows that were set aside in one of them are not compared."""
    one, two = with_ratio(cleaned.bars, delivery.bars), with_ratio(other.bars, second.bars)
    table = told_apart(one, two, delivery.actions, second.actions, delivery.basis, second.basis, thresholds)
    aside = pd.concat([part.quarantine[["symbol", "session"]] for part in (cleaned, other)]).drop_duplicates()
    known = table[["symbol", "session"]].merge(aside, on=["symbol", "session"], how="left", indicator=True)
    missing = (table["field"] == "session").to_numpy() & (known["_merge"] == "both").to_numpy()
    absent = sorted(set(one["symbol"]) - set(two["symbol"]))
    text = "the second source does not have the symbol"
    alone = tuple(Finding("one_source_only", "warn", symbol, (), text) for symbol in absent)
    return disagreement_findings(table[~missing]) + alone
