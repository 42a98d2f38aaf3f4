"""One source's delivery: what of it can be stored, what was set aside and why, and an account of every row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from tasks.ingest import Landed
from tasks.run import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecasting.quality.accounts import Finding
    from forecasting.quality.thresholds import QualityThresholds

COUNTS = ("received", "merged", "outside", "quarantined", "warned")
QUARANTINE = ["symbol", "session", "reason", "severity", "message", "row_json"]


@dataclass(frozen=True)
class Delivery:
    """``bars`` and ``actions`` are fit to be stored; ``aside`` (QUARANTINE) are rows that are not. ``counts``: COUNTS by
    symbol; rows that are neither merged, outside nor quarantined are those in ``bars``. ``unwanted``: bars of sessions that a
    source which ranks higher had said before."""

    source: str
    basis: str
    bars: pd.DataFrame
    actions: pd.DataFrame
    aside: pd.DataFrame
    findings: tuple[Finding, ...]
    counts: pd.DataFrame
    unwanted: pd.DataFrame
    told: pd.DataFrame  # the actions as they came

    def without(self, rows: pd.DataFrame) -> Delivery:
        """The same with ``rows`` (QUARANTINE, one a bar) set aside as well."""
        import pandas as pd

        key = ["symbol", "session"]
        gone = pd.MultiIndex.from_frame(self.bars[key]).isin(pd.MultiIndex.from_frame(rows[key]))
        counts = self.counts.copy()
        counts["quarantined"] = counts["quarantined"].add(rows["symbol"].value_counts(), fill_value=0).astype("int64")
        aside = pd.concat([self.aside, rows], ignore_index=True) if len(self.aside) else rows
        return replace(self, bars=self.bars[~gone].reset_index(drop=True), aside=aside, counts=counts)


@dataclass(frozen=True)
class Opened:
    """A delivery as it came, and all that decides what becomes of it; ``refused``, ``later`` and ``known`` are bool by row of
    ``raw``: of symbols that are left out, of sessions past the origin, and of those that a better source has told before."""

    landed: Landed
    raw: pd.DataFrame
    actions: pd.DataFrame
    rejects: pd.DataFrame | None
    refused: np.ndarray
    later: np.ndarray
    known: np.ndarray
    limits: dict[str, date]  # the last session of each symbol that is over
    before: dict[str, float]
    told: pd.DataFrame
    thresholds: QualityThresholds


def delivered(run: Run, landed: Landed) -> Delivery:
    """Read a delivery from its landing files, clean it and account for it; where that is under way, its outcome."""
    ahead = run.memo.pop(("delivery", landed), None)
    return ahead.result() if ahead is not None else clean_delivery(opened(run, landed, frozenset(run.refusals)))


def opened(run: Run, landed: Landed, refusals: frozenset[str]) -> Opened:
    """A delivery from its landing files, with what is stored and set that bears on it. ``refusals``: symbols that the run
    leaves out."""
    import pandas as pd

    from storage.landing import load_landing

    raw, actions = load_landing(run.home, landed.bars), load_landing(run.home, landed.actions)
    rejects = load_landing(run.home, landed.rejects) if landed.rejects else None
    refused, later, known = _of(refusals, raw), _after_origin(run, raw) | _of(landed.unfit, raw), _from_better(run, landed, raw)
    limits = {symbol: run.finals[calendar] for symbol, calendar in _calendars(run, raw).items()}
    before = _closes_before(run, raw[~(refused | later | known)])
    told = actions[~_of(refusals | landed.unfit, actions) & (actions["session"] <= pd.Timestamp(run.origin)).to_numpy()]
    return Opened(landed, raw, actions, rejects, refused, later, known, limits, before, told, run.settings.quality)


def clean_delivery(given: Opened) -> Delivery:
    """The delivery, cleaned and accounted for. Depends on nothing but what is given, so it can be done anywhere."""
    import pandas as pd

    from forecasting.quality.accounts import findings_of, severity_of
    from forecasting.quality.action_rules import clean_actions
    from forecasting.quality.checking import known_sessions, with_ratio
    from forecasting.quality.cleaning import clean_bars

    landed, raw, rejects, told = given.landed, given.raw, given.rejects, given.told
    refused, later, known = given.refused, given.later, given.known
    wanted = raw[~(refused | later | known)].reset_index(drop=True)
    cleaned = clean_bars(wanted, known_sessions(wanted), given.limits, given.actions, given.before, thresholds=given.thresholds)
    checked = clean_actions(told, with_ratio(cleaned.bars, wanted), given.thresholds)
    unread = None
    if rejects is not None:
        unread = rejects.assign(severity=[severity_of(r) for r in rejects["reason"]], symbol=rejects["symbol"].fillna(""))
    parts = [part[QUARANTINE] for part in (cleaned.quarantine, checked.quarantine, unread) if part is not None and len(part)]
    aside = pd.concat(parts, ignore_index=True) if parts else cleaned.quarantine[QUARANTINE]
    findings = findings_of(cleaned, checked, rejects)
    counts = _counts(raw, refused, later | known, cleaned, unread, findings)
    unwanted = raw[known & ~later].reset_index(drop=True)
    return Delivery(landed.source, landed.basis, cleaned.bars, checked.actions, aside, findings, counts, unwanted, told)


def _counts(
    raw: pd.DataFrame,
    refused: np.ndarray,
    outside: np.ndarray,
    cleaned: object,
    unread: pd.DataFrame | None,
    findings: tuple[Finding, ...],
) -> pd.DataFrame:
    """COUNTS by symbol ('' where a row's symbol could not be read)."""
    import pandas as pd

    rejected = unread["symbol"].value_counts() if unread is not None else pd.Series(dtype="int64")
    merged: dict[str, int] = {}
    for warned in cleaned.warnings:
        if warned.reason == "duplicate_identical":
            merged[warned.symbol] = merged.get(warned.symbol, 0) + warned.rows
    of = raw["symbol"]
    columns = {
        "received": of.value_counts().add(rejected, fill_value=0),
        "merged": pd.Series(merged, dtype="int64"),
        "outside": of[outside & ~refused].value_counts(),
        "quarantined": cleaned.quarantine["symbol"].fillna("").value_counts().add(rejected, fill_value=0).add(
            of[refused].value_counts(), fill_value=0
        ),
        "warned": pd.Series([f.symbol for f in findings if f.severity == "warn"], dtype="str").value_counts(),
    }  # fmt: skip
    symbols = pd.Index(sorted(set(columns["received"].index)), dtype="str")
    return pd.DataFrame({c: s.reindex(symbols).fillna(0).astype("int64") for c, s in columns.items()}, index=symbols)


def _of(symbols: frozenset[str], rows: pd.DataFrame) -> np.ndarray:
    """Rows of these symbols, bool."""
    import numpy as np

    if not symbols:
        return np.zeros(len(rows), dtype=bool)
    return rows["symbol"].isin(list(symbols)).to_numpy(dtype=bool)


def _after_origin(run: Run, bars: pd.DataFrame) -> np.ndarray:
    """Rows of a session that is over, but past the run's origin, bool: they come again when it is their turn."""
    import numpy as np

    calendars = _calendars(run, bars)
    final = {symbol: np.datetime64(run.finals[name]) for symbol, name in calendars.items()}
    day = bars["session"].to_numpy()
    limit = bars["symbol"].map(final).to_numpy().astype("datetime64[us]")
    return (day > np.datetime64(run.origin, "us")) & (day <= limit)


def _from_better(run: Run, landed: Landed, bars: pd.DataFrame) -> np.ndarray:
    """Rows of sessions that a source which ranks higher has said before, bool: a stand-in fills gaps, it corrects nobody."""
    import numpy as np
    import pandas as pd

    from storage.bars import sessions_from

    better = {s: run.ranked.order_of(s)[: run.ranked.order_of(s).index(landed.source)] for s in bars["symbol"].unique()}
    better = {s: names for s, names in better.items() if names}
    if not better:
        return np.zeros(len(bars), dtype=bool)
    with run.db.reading() as con:
        stored = sessions_from(con, sorted(better), bars["session"].min().date())
    ranks = [source in better[symbol] for symbol, source in zip(stored["symbol"], stored["source"], strict=True)]
    stored = stored[np.array(ranks, dtype=bool)]
    return pd.MultiIndex.from_frame(bars[["symbol", "session"]]).isin(pd.MultiIndex.from_frame(stored[["symbol", "session"]]))


def _calendars(run: Run, bars: pd.DataFrame) -> dict[str, str]:
    from forecasting.sessions import calendar_of

    known = {symbol: calendar_of(symbol) for symbol in bars["symbol"].unique()}
    first = next(iter(run.finals))
    return {symbol: name if name in run.finals else first for symbol, name in known.items()}


def _closes_before(run: Run, bars: pd.DataFrame) -> dict[str, float]:
    """Each symbol's stored close before the first of its bars, where there is one in the month before."""
    import pandas as pd

    from storage.bars import read_bars

    first = bars.groupby("symbol")["session"].min().dropna()
    if first.empty:
        return {}
    since = (first.min() - pd.Timedelta(days=31)).date()
    with run.db.reading() as con:
        stored = read_bars(con, symbols=list(first.index), since=since, until=first.max().date())
    before = stored[stored["session"] < stored["symbol"].map(first)]
    return before.groupby("symbol")["close"].last().to_dict()
