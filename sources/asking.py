"""Asking a source symbol by symbol: what one failure means for the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar

from forecasting.errors import Blocked, BudgetSpent, RateLimited, SourceDown, SourceError

T = TypeVar("T")
WAITS = (2.0, 8.0, 30.0)
_LONGEST = 4  # times the longest wait: a source that wants a longer pause than that is not asked again in this run

# So many in a row mean the source, not the symbol: while nothing has been answered yet, and later, when one in five answers
# of a shaky source may fail and a few in a row happen by chance.
_IN_A_ROW: dict[type[SourceError], tuple[float, float]] = {Blocked: (2, 10), SourceDown: (3, 10)}


def ask_each(
    source_name: str,
    symbols: Sequence[str],
    ask: Callable[[str], T],
    *,
    waits: Sequence[float] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
    dead: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, T], dict[str, SourceError]]:
    """``ask(symbol)`` for one symbol after the other: (answers, failures), every symbol in exactly one of them.

    A rate limit makes all wait (``waits`` seconds, or as long as the source says) and the same symbol is asked again; when
    the waits are used up in a row, or the source wants a pause of more than four times the longest of them, the rest is
    not asked. Nor is it when the day's budget is spent, when one failure after the other says that the source refuses or
    is down, or when ``dead()`` says after a failure that nobody is there. Other failures are the symbol's own. Only a rate
    limit is asked again here: what else may pass, a later try of the step cures.
    """
    answers: dict[str, T] = {}
    failures: dict[str, SourceError] = {}
    waited = in_a_row = 0
    works = False
    last: type[SourceError] | None = None
    for n, symbol in enumerate(symbols):
        while True:
            try:
                answers[symbol] = ask(symbol)
                waited, in_a_row, last, works = 0, 0, None, True
                break
            except RateLimited as error:
                pause = None if isinstance(error, BudgetSpent) else _pause(error, waits, waited)
                if pause is None:
                    failures[symbol] = error
                    return answers, failures | _not_asked(source_name, symbols[n + 1 :], error)
                sleep(pause)
                waited += 1
            except SourceError as error:
                failures[symbol] = error
                waited = 0
                in_a_row = in_a_row + 1 if type(error) is last else 1
                last = type(error)
                works |= last not in _IN_A_ROW  # whoever knows no such symbol is there
                if in_a_row >= _IN_A_ROW.get(last, (inf, inf))[works] or dead():
                    return answers, failures | _not_asked(source_name, symbols[n + 1 :], error)
                break
    return answers, failures


def _pause(error: RateLimited, waits: Sequence[float], waited: int) -> float | None:
    """Seconds until the same symbol is asked again; None: not in this run."""
    if waited >= len(waits):
        return None
    if error.retry_after is None:
        return waits[waited]
    return None if error.retry_after > _LONGEST * max(waits) else max(error.retry_after, waits[waited])


def _not_asked(source: str, rest: Sequence[str], error: SourceError) -> dict[str, SourceError]:
    before = f"{error.symbol} before it: " if error.symbol else ""
    return {symbol: type(error)(source, symbol, "not asked", f"{before}{error.detail}") for symbol in rest}
