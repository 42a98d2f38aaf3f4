"""Symbols as the exchange writes them, and the one place where a ticker is let in.

Tickers are hostile strings: they reach addresses, paths, SQL, HTML and CSV. One allow-list pattern at the door keeps
all of those safe; names such as ``NA``, ``ON``, ``TRUE`` or ``0700.HK`` stay text and pass unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from forecasting.errors import SymbolError

_PATTERN = re.compile(r"[A-Z0-9^][A-Z0-9.^=&-]{0,19}")


def normalise_symbol(text: object) -> str:
    """The symbol in upper case without surrounding blanks; SymbolError where it is not one.

    >>> normalise_symbol(" brk-b ")
    'BRK-B'
    """
    if not isinstance(text, str):
        raise SymbolError(text, f"it is {type(text).__name__}, not text (a reader may have parsed it)")
    symbol = text.strip().upper()
    if not symbol:
        raise SymbolError(text, "it is empty")
    if ".." in symbol or not _PATTERN.fullmatch(symbol):
        raise SymbolError(text, "only A-Z, 0-9 and . ^ = & - are allowed, at most 20, no '..'")
    return symbol


def normalise_symbols(texts: Iterable[object]) -> tuple[str, ...]:
    """Each symbol normalised, in the order given; SymbolError for a wrong one or one named twice."""
    symbols = tuple(normalise_symbol(text) for text in texts)
    seen: set[str] = set()
    for symbol in symbols:
        if symbol in seen:
            raise SymbolError(symbol, "it is named twice")
        seen.add(symbol)
    return symbols
