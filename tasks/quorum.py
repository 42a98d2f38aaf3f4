"""Two sources, one truth: what the second says against the first, and which rows neither may stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.delivery import QUARANTINE, Delivery
from tasks.ingest import Arrived
from tasks.run import Run

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["symbol", "session"]
_PRICES = ["open", "high", "low", "close"]
_SHOWN = 3


def compared(run: Run, arrived: Arrived, delivery: Delivery) -> tuple[Delivery, pd.DataFrame]:
    """The delivery without the bars that a second source contradicts beyond the thresholds, and all disagreements.

    Compared are the bars and actions of checking sources with those delivered, and, where this delivery stands in for a
    source that ranks higher, its bars with those stored from that source.
    """
    import pandas as pd

    from forecasting.quality.accounts import disagreement_findings, in_order
    from forecasting.quality.checking import told_apart, with_closures
    from forecasting.quality.cleaning import clean_bars
    from storage.landing import load_landing

    tables = []
    for landed in arrived.checks:
        symbols = [s for s in sorted(landed.symbols) if arrived.answered.get(s) == delivery.source]
        second = load_landing(run.home, landed.bars)
        second = second[second["symbol"].isin(symbols)].reset_index(drop=True)
        if second.empty:
            continue
        clean = clean_bars(second, None, run.final, thresholds=run.settings.quality).bars
        actions = load_landing(run.home, landed.actions)
        first, told, theirs = (frame[frame["symbol"].isin(symbols)] for frame in (delivery.bars, delivery.told, actions))
        source = run.ranked.sources[landed.source]
        knows = getattr(source, "tells_actions", len(actions) > 0)
        table = told_apart(first, clean, told, theirs, delivery.basis, landed.basis, run.settings.quality, knows)
        table = table.assign(first_source=delivery.source, second_source=landed.source)
        findings = in_order((*with_closures(delivery.findings, second), *disagreement_findings(table)))
        delivery = _set_aside(run, replace(delivery, findings=findings), table)
        delivery = _set_actions_aside(delivery, table)
        tables.append(table)
    if len(delivery.unwanted):
        tables += _with_stored(run, delivery)
    tables = [table for table in tables if len(table)]
    once = [*_KEY, "field", "second_source"]
    return delivery, pd.concat(tables, ignore_index=True).drop_duplicates(once) if tables else pd.DataFrame()


def _set_aside(run: Run, delivery: Delivery, table: pd.DataFrame) -> Delivery:
    """The delivery without the bars for which one of two prices is wrong by more than may be."""
    grave = table[(table["verdict"] == "quarantine") & table["field"].isin(_PRICES)]
    if grave.empty:
        return delivery
    worst = grave.loc[grave["difference"].abs().fillna(0.0).sort_values().index].drop_duplicates(_KEY, keep="last")
    held = delivery.bars.merge(worst, on=_KEY)
    said = [
        f"{row.field} is {row.first_value:g} in {row.first_source} and {row.second_value:g} in {row.second_source}"
        for row in held.itertuples()
    ]
    for symbol, day, text in list(zip(held["symbol"], held["session"], said, strict=True))[:_SHOWN]:
        run.note(f"{symbol} {day:%Y-%m-%d}: {text}; the bar was set aside")
    rows = held[_KEY].assign(reason="sources_disagree", severity="quarantine", message=said)
    rows["row_json"] = [row.to_json(date_format="iso") for _, row in held[[*_KEY, *_PRICES, "volume"]].iterrows()]
    return delivery.without(rows[QUARANTINE])


def _set_actions_aside(delivery: Delivery, table: pd.DataFrame) -> Delivery:
    """The delivery without the splits and dividends that the other source does not know or tells with another amount."""
    import pandas as pd

    grave = table[(table["verdict"] == "quarantine") & table["field"].isin(["split", "dividend"])]
    key = ["symbol", "session", "kind"]
    held = delivery.actions.merge(grave.rename(columns={"field": "kind"}), on=key)
    if held.empty:
        return delivery
    said = []
    for row in held.itertuples():
        theirs = "none" if pd.isna(row.second_value) else f"{row.second_value:g}"
        said.append(f"a {row.kind} of {row.value:g} in {row.first_source}, {theirs} in {row.second_source}")
    rows = held[_KEY].assign(reason="actions_disagree", severity="quarantine", message=said)
    rows["row_json"] = [row.to_json(date_format="iso") for _, row in held[[*key, "value"]].iterrows()]
    gone = pd.MultiIndex.from_frame(delivery.actions[key]).isin(pd.MultiIndex.from_frame(held[key]))
    aside = pd.concat([delivery.aside, rows[QUARANTINE]], ignore_index=True) if len(delivery.aside) else rows[QUARANTINE]
    return replace(delivery, actions=delivery.actions[~gone].reset_index(drop=True), aside=aside)


def _with_stored(run: Run, delivery: Delivery) -> list[pd.DataFrame]:
    """How what this source says of stored sessions differs from what is stored."""
    from forecasting.quality.checking import told_apart
    from storage.bars import read_bars, sessions_from

    spoken = delivery.unwanted
    symbols, first, last = sorted(spoken["symbol"].unique()), spoken["session"].min().date(), spoken["session"].max().date()
    with run.db.reading() as con:
        stored = read_bars(con, symbols=symbols, since=first, until=last)
        stored = stored.merge(sessions_from(con, symbols, first), on=_KEY)
    tables = []
    for (source, basis), part in stored.groupby(["source", "basis"], sort=True):
        one = part.drop(columns=["source", "basis"])
        table = told_apart(one, spoken, delivery.told, delivery.told, str(basis), delivery.basis, run.settings.quality)
        tables.append(table.assign(first_source=str(source), second_source=delivery.source))
    return tables
