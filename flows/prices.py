"""The first part of every flow that needs prices."""

from __future__ import annotations

from datetime import date

from forecasting.errors import SourceError
from tasks.ingest import fetch_prices, give_up, nothing_changed, stop_if_nothing_came
from tasks.run import Run
from tasks.storing import store_macro, store_prices


def bring_in_prices(run: Run, start: date | None = None) -> None:
    """Source → landing → clean → bars, actions and quarantine, one chunk of symbols at a time.

    A symbol that fails stops no other; only when nothing at all came does the run end with the source's error.
    """
    for symbols in run.chunks():
        try:
            fetch_prices(run, symbols, start)
        except SourceError as error:  # after the last retry
            give_up(run, symbols, error)
    stop_if_nothing_came(run)
    if nothing_changed(run):
        return
    for symbols in run.chunks():
        store_prices(run, symbols)
    if run.settings.macro.path is not None:
        store_macro(run)
