"""Many failures, one error."""

from __future__ import annotations

from collections.abc import Mapping

from forecasting.errors import SourceError


def raise_together(failures: Mapping[str, SourceError]) -> None:
    """One error that speaks for all ``failures``: that of the symbol of which most is known."""
    if not failures:
        return
    symbol, told = max(failures.items(), key=lambda item: (bool(item[1].next_step), len(item[1].detail)))
    if len(failures) == 1:
        raise told
    advice = told.next_step or "check the network, or name another --source"
    raise type(told)(told.source, None, f"none of {len(failures)} symbols answered; {symbol}: {told.detail}", advice) from told
