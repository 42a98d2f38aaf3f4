"""Storing what came: landing file → clean bars and actions, with a reason for every row and symbol set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecasting.errors import InputError
from tasks.engine import step
from tasks.ingest import Arrived, arrivals
from tasks.policies import DATABASE
from tasks.run import Receipt, Refusal, Run, refusal_of, refusal_rows, short_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    from forecasting.cleaning import Warned
    from storage.database import Tx

_SHOWN = 3  # remarks of one kind that a chunk of symbols gets


@step(DATABASE)
def store_prices(run: Run, symbols: tuple[str, ...]) -> Receipt:
    """Clean what arrived for ``symbols`` and store bars, actions and what was set aside, in one transaction."""
    with run.db.kept_open():
        return _store_prices(run, symbols)


def _store_prices(run: Run, symbols: tuple[str, ...]) -> Receipt:
    import pandas as pd

    from forecasting.schemas import Bars, fit_actions
    from storage.bars import append_actions, append_bars, append_symbols
    from storage.landing import load_landing
    from storage.quarantine import append_quarantine

    arrived = arrivals(run, symbols)
    for symbol, error in sorted(arrived.failures.items()):
        run.refuse(refusal_of(symbol, error))
    asked_before = _refuse_other_basis(run, arrived)
    if len(run.refusals) == len(run.symbols):
        raise InputError(next(iter(run.refusals.values())).message)
    name = f"store_prices/{short_digest(symbols, arrived.bars, arrived.actions, arrived.rejects, sorted(arrived.failures))}"
    if run.done(name):
        return Receipt(text="stored before")
    held = sorted(arrived.answered - set(run.refusals))
    bars, actions, rejects = (
        pd.concat([load_landing(run.home, digest) for digest in digests], ignore_index=True) if digests else None
        for digests in (arrived.bars, arrived.actions, arrived.rejects)
    )
    if bars is not None:
        day = bars["session"]
        later = (day > pd.Timestamp(run.origin)) & (day <= pd.Timestamp(run.final))  # a day past the origin, but over
        bars, actions = bars[bars["symbol"].isin(held) & ~later], actions[actions["session"] <= pd.Timestamp(run.origin)]
    clean, aside = _clean(run, bars, actions, rejects) if bars is not None else (None, None)
    if clean is not None:
        Bars.validate(clean)  # the door to the store; what cleaning let through must hold
    with run.db.writing(run.lease, run.run_id, name) as tx:
        stored = None
        if clean is not None:
            append_symbols(tx, _symbol_rows(run, arrived, held), run.now)
            stored = append_bars(tx, clean, run.source_name, arrived.basis, run.now)
            kept, wrong = fit_actions(actions[actions["symbol"].isin(held)])
            append_actions(tx, _with_retractions(tx, kept, clean, asked_before), run.source_name, run.now)
            for rows in (aside, _wrong_action_rows(wrong)):
                if len(rows):
                    append_quarantine(tx, rows, run.source_name, run.now)
        refused = [r for r in run.refusals.values() if r.symbol in symbols]
        if refused:
            append_quarantine(tx, refusal_rows(refused, run.origin), run.source_name, run.now)
    if stored is None:
        return Receipt(text="no prices")
    set_aside = f", {len(aside):,} rows set aside" if len(aside) else ""
    revised = f", {stored.revised:,} revised" if stored.revised else ""
    return Receipt(stored.stored, text=f"{stored.stored:,} new bars{revised}{set_aside}")


@step(DATABASE)
def store_macro(run: Run) -> Receipt:
    """Store the macro series of the settings, each value at the first session at whose close it was public."""
    import numpy as np

    from forecasting.sessions import DEFAULT_CALENDAR, sessions_between
    from sources.macro_files import known_session, read_macro
    from storage.bars import append_macro

    path = run.settings.macro.path
    if path is None:
        return Receipt(text="none in the settings")
    values = read_macro(path)
    first = values["session"].min().date() if len(values) else run.origin
    sessions = sessions_between(DEFAULT_CALENDAR, min(first, run.origin), run.origin)
    known = known_session(values, np.asarray(sessions))
    name = f"store_macro/{short_digest(known.to_csv(index=False))}"
    if run.done(name):
        return Receipt(text="stored before")
    with run.db.writing(run.lease, run.run_id, name) as tx:
        stored = append_macro(tx, known, "files", run.now)
    return Receipt(stored.stored, text=f"{stored.stored:,} values")


def _clean(
    run: Run, bars: pd.DataFrame, actions: pd.DataFrame, rejects: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bars fit to be stored, and what was set aside, with the rejects of the source among it."""
    import pandas as pd

    from forecasting.cleaning import clean_bars

    cleaned = clean_bars(bars, _sessions_of(bars), run.final, actions, _closes_before(run, bars))
    _remark(run, cleaned.warnings)
    if rejects is None or rejects.empty:
        return cleaned.bars, cleaned.quarantine
    unread = rejects.assign(severity="quarantine", symbol=rejects["symbol"].fillna(""))[list(cleaned.quarantine.columns)]
    return cleaned.bars, pd.concat([part for part in (cleaned.quarantine, unread) if len(part)], ignore_index=True)


def _wrong_action_rows(wrong: pd.DataFrame) -> pd.DataFrame:
    """Actions that cannot be true as rows for the quarantine."""
    said = [f"a {kind} of {value} cannot be" for kind, value in zip(wrong["kind"], wrong["value"], strict=True)]
    rows = wrong[["symbol", "session"]].assign(reason="bad_action", severity="quarantine", message=said)
    return rows.assign(row_json=[row.to_json(date_format="iso") for _, row in wrong.iterrows()])


def _remark(run: Run, warnings: Sequence[Warned]) -> None:
    """Tell what is odd about rows that were kept: what is new since the last run, and of many the first."""
    from storage.bars import last_sessions

    with run.db.reading() as con:
        known = last_sessions(con)
    fresh = [w for w in warnings if w.symbol not in known or w.session.date() > known[w.symbol]]
    by_reason: dict[str, list[Warned]] = {}
    for warned in fresh:
        by_reason.setdefault(warned.reason, []).append(warned)
    for odd in by_reason.values():
        for warned in odd[:_SHOWN]:
            run.note(str(warned))
        if len(odd) > _SHOWN:
            run.note(f"and {len(odd) - _SHOWN} more symbols like {odd[_SHOWN - 1].symbol} ({odd[0].reason})")


def _sessions_of(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    """For each symbol the sessions of its exchange over the span of all bars."""
    from forecasting.sessions import calendar_of, sessions_between

    dated = bars["session"].dropna()
    if dated.empty:
        return {}
    first, last = dated.min().date(), dated.max().date()
    calendar = {symbol: calendar_of(symbol) for symbol in bars["symbol"].unique()}
    sessions = {name: sessions_between(name, first, last) for name in sorted(set(calendar.values()))}
    return {symbol: sessions[name] for symbol, name in calendar.items()}


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


def _with_retractions(tx: Tx, actions: pd.DataFrame, bars: pd.DataFrame, asked_before: set[str]) -> pd.DataFrame:
    """The actions that came, and for each stored one of the same span that did not come again its retraction.

    Only for symbols whose prices came from the same source before: another source may know nothing of actions.
    """
    import pandas as pd

    from storage.bars import read_actions

    bars = bars[bars["symbol"].isin(asked_before)]
    if bars.empty:
        return actions
    span = bars.groupby("symbol")["session"].agg(["min", "max"])
    stored = read_actions(tx.con, symbols=list(span.index))
    inside = stored.join(span, on="symbol")
    inside = stored[(inside["session"] >= inside["min"]) & (inside["session"] <= inside["max"])]
    key = ["symbol", "session", "kind"]
    gone = inside.merge(actions[key], on=key, how="left", indicator=True).query("_merge == 'left_only'")
    if gone.empty:
        return actions
    return pd.concat([actions, gone[key].assign(value=float("nan"))], ignore_index=True)


def _symbol_rows(run: Run, arrived: Arrived, symbols: list[str]) -> pd.DataFrame:
    import pandas as pd

    from forecasting.sessions import calendar_of

    return pd.DataFrame({
        "symbol": symbols, "calendar": [calendar_of(s) for s in symbols],
        "currency": [arrived.currency.get(s) for s in symbols], "basis": arrived.basis, "source": run.source_name,
    })  # fmt: skip


def _refuse_other_basis(run: Run, arrived: Arrived) -> set[str]:
    """Adjusted and as-traded prices of one symbol do not mix: appended to each other they make jumps that never were.

    Returns the symbols that came from the same source before.
    """
    from storage.bars import known_symbols

    with run.db.reading() as con:
        known = known_symbols(con)
    other = known[known["symbol"].isin(arrived.answered) & (known["basis"] != arrived.basis)]
    for symbol, basis, source in zip(other["symbol"], other["basis"], other["source"], strict=True):
        error = InputError(
            f"{symbol} is stored as {basis.replace('_', ' ')} prices from {source}, {run.source_name} gives them "
            f"{arrived.basis.replace('_', ' ')}; keep them apart with a --home DIR of its own"
        )
        run.refuse(Refusal(symbol, "other_basis", str(error)))
    return set(known.loc[known["source"] == run.source_name, "symbol"])
