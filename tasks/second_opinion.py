"""A second opinion: what the next source in a symbol's order says of the sessions that the first one just gave."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from forecasting.errors import OtherCurrency
from tasks.engine import step
from tasks.ingest import Arrived, arrivals, ask_source, keep_answer, trailing_begin
from tasks.policies import SOURCE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from sources.base import Fetched


@step(SOURCE)
def check_prices(run: Run, symbols: tuple[str, ...]) -> Receipt:
    """Ask the checking source of each symbol that answered, and keep what it says for the comparison before storing.

    It asks for the trailing sessions only: a budget is better spent on today than on the past. A source that cannot check
    stops nothing; the run says so.
    """
    arrived = arrivals(run, symbols)
    if arrived.checks:
        return Receipt(text="checked before")
    unchecked: list[str] = []
    for (name, begin), group in sorted(_groups(run, arrived).items(), key=str):
        answer = ask_source(run, run.ranked.sources[name], begin, group, everything=False)
        answer = _in_the_same_currency(name, answer, arrived)
        if len(answer.bars):
            arrived.checks.append(keep_answer(run, name, answer))
        missing = sorted(set(group) - set(answer.bars["symbol"]))
        unchecked += missing
        if missing:
            why = answer.failures.get(missing[0])
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            run.note(f"{missing[0]}{more} not checked by {name}" + (f": {why.detail}" if why else ""))
    checked = sum(len(landed.symbols) for landed in arrived.checks)
    return Receipt(text=f"{checked} symbols checked, {len(unchecked)} not")


def _in_the_same_currency(name: str, answer: Fetched, arrived: Arrived) -> Fetched:
    """The answer without symbols that came in another currency from the source that is checked: pence say nothing of pounds."""
    told = arrived.currency
    other = {
        symbol: OtherCurrency(name, symbol, f"gives {currency}, the prices are in {told[symbol]}")
        for symbol, currency in answer.currency.items()
        if told.get(symbol, currency) != currency
    }
    bars, actions = (rows[~rows["symbol"].isin(list(other))].reset_index(drop=True) for rows in (answer.bars, answer.actions))
    return replace(answer, bars=bars, actions=actions, failures={**answer.failures, **other}) if other else answer


def _groups(run: Run, arrived: Arrived) -> dict[tuple[str, date | None], list[str]]:
    """(checking source, first session) → symbols."""
    from forecasting.sessions import add_sessions, calendar_of

    begin = trailing_begin(run, sorted(arrived.answered))
    back = -run.settings.source.trailing_sessions
    groups: dict[tuple[str, date | None], list[str]] = {}
    for symbol, answered in sorted(arrived.answered.items()):
        checker = run.ranked.checker_of(symbol, answered)
        if checker is not None:
            since = begin[symbol] or add_sessions(calendar_of(symbol), run.origin, back)
            groups.setdefault((checker, since), []).append(symbol)
    return groups
