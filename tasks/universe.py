"""Who still trades: from when to when each symbol is in the universe, as it is known at this run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.ingest import arrivals
from tasks.policies import DATABASE
from tasks.run import INACTIVE, Receipt, Refusal, Run, refusal_rows

if TYPE_CHECKING:
    import pandas as pd

_ALIKE = 20  # sessions in which two symbols must have the same closes before one is taken for the other's new name


@step(DATABASE)
def settle_universe(run: Run) -> Receipt:
    """Say of each stored symbol since when it trades, and of one that has been silent for ``universe.inactive_after`` sessions
    of its exchange since when it does not. One that comes back is open again; nothing is forgotten."""
    from storage.quarantine import append_quarantine
    from storage.universe import append_universe

    listed = _listed(run)
    gone = listed["valid_to"].notna().sum()
    silent = silent_in(run, listed)
    late = [symbol for symbol in run.symbols if symbol in silent]
    for symbol in late:
        run.refuse(silent[symbol])
    if run.done("settle_universe"):  # by an attempt that was killed since; this one must leave out the same symbols
        return Receipt(text="settled before")
    with run.db.writing(run.lease, run.run_id, "settle_universe") as tx:
        done = append_universe(tx, listed, run.now)
        if late:
            append_quarantine(tx, refusal_rows([run.refusals[s] for s in late], run.origin), run.source_name, run.now)
    _suggest_new_names(run)
    no_more = f", {gone:,} no more" if gone else ""
    return Receipt(done.stored + done.revised, text=f"{len(listed) - gone:,} symbols trade{no_more}")


def silent_in(run: Run, listed: pd.DataFrame | None = None) -> dict[str, Refusal]:
    """The stored symbols that no longer trade at the run's origin, by what is stored now, and the sentence for each. That no
    source answers for one of them any more is no failure."""
    table = _listed(run) if listed is None else listed
    gone = table[table["valid_to"] < str(run.origin)]
    said = "{} has not traded since {:%Y-%m-%d}; it is kept, not forecast"
    return {
        symbol: Refusal(symbol, INACTIVE, said.format(symbol, last))
        for symbol, last in zip(gone["symbol"], gone["valid_to"], strict=True)
    }


def _listed(run: Run) -> pd.DataFrame:
    """symbol, valid_from, valid_to (NaT while it trades) of every stored symbol, as of the newest session that is stored or
    asked for: a run of an earlier origin must not open what is closed."""
    import pandas as pd

    from forecasting.sessions import add_sessions, calendar_of
    from storage.bars import first_and_last_sessions

    with run.db.reading() as con:
        spans = first_and_last_sessions(con)
    calendar = spans["symbol"].map({symbol: calendar_of(symbol) for symbol in spans["symbol"]})
    newest = spans["last"].groupby(calendar).max().clip(lower=pd.Timestamp(run.origin))
    back = -run.settings.universe.inactive_after
    limits = {name: pd.Timestamp(add_sessions(name, day, back)) for name, day in newest.items()}
    silent = spans["last"] <= pd.to_datetime(calendar.map(limits))  # dates even where nothing is stored yet
    return pd.DataFrame({"symbol": spans["symbol"], "valid_from": spans["first"], "valid_to": spans["last"].where(silent)})


def _suggest_new_names(run: Run) -> None:
    """A symbol that no source knows any more and one that is new with the same closes: probably one company, renamed. It is
    said, never merged: a ticker can also be given to somebody else."""
    from storage.bars import same_history

    failed, new = [], []
    for symbols in run.chunks():
        arrived = arrivals(run, symbols)
        failed += [symbol for symbol, error in arrived.failures.items() if error.kind == "unknown_symbol"]
        new += list(arrived.answered)
    if not failed or not new:
        return
    with run.db.reading() as con:
        pairs = same_history(con, failed, new, run.run_id, _ALIKE)
    for old, named in pairs:
        run.note(f"{old} is not known any more, and {named} has the same closes: if it was renamed, put {named} in its place")
