"""Storing what came: landing files → clean bars and actions, with a reason for every row and symbol set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecasting.errors import InputError, NoBars, NoSession, Stale, UnknownSymbol
from tasks.engine import step
from tasks.fitting import apart, known_of, settled
from tasks.ingest import Arrived, arrivals
from tasks.policies import DATABASE
from tasks.run import Receipt, Run, refusal_of, refusal_rows, short_digest
from tasks.universe import silent_in

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.quality.accounts import Finding
    from storage.append import Appended
    from storage.database import Tx
    from tasks.delivery import Delivery
    from tasks.ingest import Landed

_SHOWN = 3  # remarks of one kind that a chunk of symbols gets
_RESTATED_ROWS = 5  # revised bars from which on it is no late correction of the last days


@step(DATABASE)
def store_prices(run: Run, symbols: tuple[str, ...]) -> Receipt:
    """Clean what arrived for ``symbols``, compare it with what a second source says, and store bars, actions and what was set
    aside, with an account of every row, in one transaction."""
    from storage.quarantine import append_quarantine

    arrived = arrivals(run, symbols)
    silent = silent_in(run) if arrived.failures else {}
    for symbol, error in sorted(arrived.failures.items()):
        refusal = refusal_of(symbol, error)
        if symbol in arrived.unfit and not refusal.passing:  # who told of it first no longer does
            refusal = apart(arrived.unfit[symbol])
        elif isinstance(error, UnknownSymbol | NoSession | NoBars | Stale):  # a source that is down says nothing of it
            refusal = silent.get(symbol, refusal)
        run.refuse(refusal)
    known = known_of(run)
    for refusal in settled(arrived, known):
        run.refuse(refusal)
    if len(run.refusals) == len(run.symbols):
        raise InputError(next(iter(run.refusals.values())).message)
    landed = [(part.source, part.bars, part.actions, part.rejects) for part in (*arrived.landed, *arrived.checks)]
    name = f"store_prices/{short_digest(symbols, landed, sorted(arrived.failures))}"
    if run.done(name):
        return Receipt(text="stored before")
    cleaned = [_cleaned(run, arrived, landed) for landed in arrived.landed]
    with run.db.writing(run.lease, run.run_id, name) as tx:
        stored = [_store_delivery(run, tx, arrived, *parts, known) for parts in cleaned]
        if stored:
            _store_account(run, tx, [part[3] for part in stored], [part[4] for part in stored])
        refused = [r for r in run.refusals.values() if r.symbol in symbols]
        if refused:
            append_quarantine(tx, refusal_rows(refused, run.origin), run.source_name, run.now)
    if not stored:
        return Receipt(text="no prices")
    fresh, revised, aside = (sum(part[i] for part in stored) for i in range(3))
    said = [f"{fresh:,} new bars"]
    said += [f"{count:,} {what}" for count, what in ((revised, "revised"), (aside, "rows set aside")) if count]
    return Receipt(fresh, text=", ".join(said))


def _cleaned(run: Run, arrived: Arrived, landed: Landed) -> tuple[Delivery, pd.DataFrame]:
    """The delivery, compared, and the disagreements."""
    from forecasting.schemas import Bars
    from tasks.delivery import delivered
    from tasks.quorum import compared

    delivery, disagreements = compared(run, arrived, delivered(run, landed))
    Bars.validate(delivery.bars)  # the door to the store; what cleaning let through must hold
    _remark(run, delivery.findings)
    return delivery, disagreements


def _store_delivery(
    run: Run, tx: Tx, arrived: Arrived, delivery: Delivery, disagreements: pd.DataFrame, known: pd.DataFrame
) -> tuple[int, int, int, pd.DataFrame, pd.DataFrame]:
    """Write one delivery; returns how many bars are new, how many revised and how many rows were set aside, and what became of
    the rows of each symbol and what was found about them."""
    from storage.bars import append_actions, append_bars, append_symbols
    from storage.quality import append_disagreements
    from storage.quarantine import append_quarantine

    source = delivery.source
    append_symbols(tx, _symbol_rows(run, arrived, delivery, known), run.now)
    stored = append_bars(tx, delivery.bars, source, delivery.basis, run.now)
    asked_before = set(known.loc[known["source"] == source, "symbol"])
    append_actions(tx, _with_retractions(tx, delivery, asked_before), source, run.now)
    if len(delivery.aside):
        append_quarantine(tx, delivery.aside, source, run.now)
    if len(disagreements):
        append_disagreements(tx, disagreements, run.now)
    found = _finding_rows(source, delivery.findings + _restated(run, stored))
    return stored.stored, stored.revised, len(delivery.aside), _accounts(delivery, stored), found


def _store_account(run: Run, tx: Tx, accounts: list[pd.DataFrame], findings: list[pd.DataFrame]) -> None:
    """Write one account a source and symbol and one finding a rule: a symbol that was asked for twice has two answers."""
    import pandas as pd

    from storage.quality import append_findings, append_quality

    key = ["source", "symbol"]
    append_quality(tx, pd.concat(accounts).groupby(key, as_index=False).sum(), run.origin, run.now)
    found = pd.concat(findings)
    if len(found):
        last = {"severity": "first", "rows": "sum", "first_session": "min", "last_session": "max", "message": "first"}
        append_findings(tx, found.groupby([*key, "rule"], as_index=False, sort=True).agg(last), run.origin, run.now)


def _accounts(delivery: Delivery, stored: Appended) -> pd.DataFrame:
    """What became of the rows of each symbol."""
    import pandas as pd

    each = pd.DataFrame.from_dict(stored.by, orient="index", columns=["stored", "unchanged", "revised"])
    table = delivery.counts.join(each).fillna(0).astype("int64")
    return table.assign(source=delivery.source, symbol=table.index).reset_index(drop=True)


def _restated(run: Run, stored: Appended) -> tuple[Finding, ...]:
    """Symbols most of whose stored history came back with other values: a split, or another way of adjusting."""
    from forecasting.quality.accounts import Finding

    found = []
    for symbol, (_, unchanged, revised) in sorted(stored.by.items()):
        if revised >= _RESTATED_ROWS and revised > unchanged:
            said = f"{revised:,} of {revised + unchanged:,} stored bars came with other values, as after a split; both are kept"
            found.append(Finding("restated", "warn", symbol, (), said, revised))
    for finding in found[:_SHOWN]:
        run.note(str(finding))
    if len(found) > _SHOWN:
        run.note(f"and {len(found) - _SHOWN} more symbols like {found[_SHOWN - 1].symbol} (restated)")
    return tuple(found)


def _finding_rows(source: str, findings: tuple[Finding, ...]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for f in findings:
        first, last = min(f.sessions, default=None), max(f.sessions, default=None)
        rows.append((source, f.symbol, f.rule, f.severity, f.rows, first, last, f.message))
    columns = ["source", "symbol", "rule", "severity", "rows", "first_session", "last_session", "message"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"first_session": "datetime64[us]", "last_session": "datetime64[us]"})


def _remark(run: Run, findings: tuple[Finding, ...]) -> None:
    """Tell what is odd about rows that were kept: what is new since the last run, and of many the first."""
    from storage.bars import last_sessions

    with run.db.reading() as con:
        known = last_sessions(con, besides=run.run_id)
    odd = [f for f in findings if f.severity == "warn" and f.sessions]
    by_rule: dict[str, list[Finding]] = {}
    for finding in odd:
        if finding.symbol not in known or finding.sessions[0] > known[finding.symbol]:
            by_rule.setdefault(finding.rule, []).append(finding)
    for alike in by_rule.values():
        for finding in alike[:_SHOWN]:
            run.note(str(finding))
        if len(alike) > _SHOWN:
            run.note(f"and {len(alike) - _SHOWN} more symbols like {alike[_SHOWN - 1].symbol} ({alike[0].rule})")


def _with_retractions(tx: Tx, delivery: Delivery, asked_before: set[str]) -> pd.DataFrame:
    """The actions that came, and for each stored one of the same span that the source does not tell any more its retraction.

    One that it still tells, but that is in doubt today, stays as it is stored. Only for symbols whose prices came from the
    same source before: another source may know nothing of actions.
    """
    import pandas as pd

    from storage.bars import read_actions

    actions, bars = delivery.actions, delivery.bars[delivery.bars["symbol"].isin(asked_before)]
    if bars.empty:
        return actions
    span = bars.groupby("symbol")["session"].agg(["min", "max"])
    stored = read_actions(tx.con, symbols=list(span.index))
    inside = stored.join(span, on="symbol")
    # The first bar has none before it that could show an action of its day.
    inside = stored[(inside["session"] > inside["min"]) & (inside["session"] <= inside["max"])]
    key = ["symbol", "session", "kind"]
    gone = inside.merge(delivery.told[key].drop_duplicates(), on=key, how="left", indicator=True).query("_merge == 'left_only'")
    if gone.empty:
        return actions
    return pd.concat([actions, gone[key].assign(value=float("nan"))], ignore_index=True)


def _symbol_rows(run: Run, arrived: Arrived, delivery: Delivery, known: pd.DataFrame) -> pd.DataFrame:
    """What is known of the symbols that this source is the first in the order of, or that nobody else has spoken of."""
    import pandas as pd

    from forecasting.sessions import calendar_of

    spoken, ranked = set(known["symbol"]), run.ranked
    symbols = [
        s for s in sorted(delivery.bars["symbol"].unique()) if s not in spoken or ranked.order_of(s)[0] == delivery.source
    ]
    return pd.DataFrame({
        "symbol": symbols, "calendar": [calendar_of(s) for s in symbols],
        "currency": [arrived.currency.get(s) for s in symbols], "basis": delivery.basis, "source": delivery.source,
    })  # fmt: skip
