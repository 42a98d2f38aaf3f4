"""Which sector a symbol belongs to: a file that the person keeps, since no free source says it for every exchange."""

from __future__ import annotations

import csv
from pathlib import Path

from forecasting.errors import InputError, SymbolError
from forecasting.symbols import normalise_symbols

_SYMBOL, _SECTOR = ("symbol", "ticker"), ("sector", "gics sector", "industry")


def read_sectors(path: str) -> dict[str, str]:
    """symbol -> sector of a CSV file with the columns symbol (or ticker) and sector, in any order and case.

    Raises InputError that names the file and the row where it cannot be read, lacks a column, or names one symbol twice.
    """
    file = Path(path).expanduser()
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = [line for line in csv.reader(text) if any(cell.strip() for cell in line)]
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); name a CSV file with the columns symbol,sector") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is no CSV file ({error}); write lines such as: AAPL,Technology") from error
    head = [cell.strip().lower() for cell in lines[0]] if lines else []
    places = [next((head.index(name) for name in names if name in head), None) for names in (_SYMBOL, _SECTOR)]
    if None in places:
        there = ", ".join(head) or "nothing"
        raise InputError(f"{file} has no columns symbol and sector but {there}; write them in its first row")
    found: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        if len(line) <= max(places):
            raise InputError(f"{file} row {number} has {len(line)} cells; write a symbol and its sector")
        try:
            symbol = normalise_symbols([line[places[0]]])[0]
        except SymbolError as error:
            raise InputError(f"{file} row {number}: {error}") from error
        if symbol in found:
            raise InputError(f"{file} row {number} names {symbol} again; keep one sector for each symbol")
        if line[places[1]].strip():
            found[symbol] = line[places[1]].strip()
    if not found:
        raise InputError(f"{file} names no sector; write lines such as: AAPL,Technology")
    return found
