"""The first part of every flow that needs prices."""

from __future__ import annotations

from datetime import date

from forecasting.errors import SourceError
from tasks.ahead import cleaned_ahead
from tasks.ingest import fetch_prices, give_up, nothing_changed, stop_if_nothing_came
from tasks.listening import one_by_one
from tasks.macro import fetch_macro, store_macro
from tasks.run import Run
from tasks.second_opinion import check_prices
from tasks.storing import store_prices
from tasks.universe import settle_universe


def bring_in_prices(run: Run, start: date | None = None) -> None:
    """Sources → landing → second opinion → clean → bars, actions, quarantine and an account, one chunk of symbols at a time.

    A symbol that fails stops no other; only when nothing at all came does the run end with the source's error.
    """
    with run.burst(asking=True):
        for symbols in one_by_one("symbols", run.chunks()):
            try:
                fetch_prices(run, symbols, start)
            except SourceError as error:  # after the last retry
                give_up(run, symbols, error)
    stop_if_nothing_came(run)
    if nothing_changed(run):
        return
    if run.ranked.several and run.ranked.check:
        for symbols in one_by_one("symbols", run.chunks()):
            check_prices(run, symbols)
    with run.burst(), cleaned_ahead(run) as reached:
        for symbols in one_by_one("symbols", run.chunks()):
            reached(symbols)
            store_prices(run, symbols)
        settle_universe(run)
    if run.settings.macro.sources:
        fetch_macro(run)
        store_macro(run)
