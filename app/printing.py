"""Answers for people: sentences, and tables that fit the terminal.

A table that is wider than the terminal has its sentences broken at words; where that is not enough it is told row by row, a
line a value, so that no figure is ever cut. A pipe gets the table as wide as it is. Words of judgement (pass, problem) have a
colour, which says nothing that the word does not, and is left out with NO_COLOR or where nobody watches.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PIPED = 100  # columns of a pipe, unless COLUMNS says otherwise
_SENTENCE = 24  # a sentence is broken to no less than this
_COLOURS = {
    "green": ("pass", "passed", "promoted", "met", "ok", "accept", "completed", "set", "live"),
    "yellow": ("warning", "warn", "cannot_tell", "degraded", "quarantine", "not checked", "missing", "skipped", "fallback"),
    "red": ("fail", "failed", "refused", "problem", "not met", "reject", "damaged", "rejected"),
}
_COLOUR = {word: colour for colour, words in _COLOURS.items() for word in words}
#: Columns that hold a judgement.
_JUDGES = {"verdict", "gate", "bar", "status", "state", "severity", "key"}


@cache
def out() -> Console:
    """Where answers go."""
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    columns = os.environ.get("COLUMNS", "")
    return Console(highlight=False, width=int(columns) if columns.isdigit() and int(columns) else _PIPED)


@cache
def err() -> Console:
    """Where progress and remarks go."""
    return Console(stderr=True, highlight=False)


def say(text: str = "") -> None:
    """A sentence, as it is: no markup in it is interpreted."""
    out().print(escape(text), soft_wrap=not out().is_terminal)


def judged(word: str, text: str) -> None:
    """A sentence after its verdict, which has a colour."""
    out().print(f"{_coloured(f'{word:<13}', word)}  {escape(text)}", soft_wrap=not out().is_terminal)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", left: Sequence[str] = (), once: Sequence[str] = ()
) -> None:
    """Print rows under ``columns``: the columns named in ``left`` hold text and may be broken at words, the others stand to the
    right and are never cut. What the columns in ``once`` say together is shown where it changes, not again below itself."""
    texts = [[cell(value) for value in row] for row in rows]
    console = out()
    bounded = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    least = [_least(column, [row[i] for row in texts], bounded and column in left) for i, column in enumerate(columns)]
    needed = sum(least) + 2 * (len(columns) - 1)
    if needed > console.width and bounded:
        _row_by_row(console, columns, texts, title)
        return
    if needed > console.width:
        console = Console(highlight=False, width=needed)
    shown = Table(title=escape(title) if title else None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, width in zip(columns, least, strict=True):
        broken = column in left
        shown.add_column(
            escape(column),
            justify="left" if broken else "right",
            no_wrap=not broken,
            header_style="bold",
            min_width=width,
            overflow="fold",
        )
    above: list[str] | None = None
    for row in texts:
        key = [text for column, text in zip(columns, row, strict=True) if column in once]
        hidden = once if key == above else ()
        above = key
        cells = (("" if column in hidden else text, column) for column, text in zip(columns, row, strict=True))
        shown.add_row(*(_coloured(text, text) if column in _JUDGES else escape(text) for text, column in cells))
    console.print(shown)


def _least(column: str, texts: Sequence[str], breakable: bool) -> int:
    """Columns of the terminal that a column of the table cannot do without."""
    whole = max([cell_len(column), *(cell_len(text) for text in texts)])
    if not breakable or whole <= _SENTENCE:
        return whole
    words = max((cell_len(word) for text in (column, *texts) for word in text.split()), default=1)
    return min(whole, max(_SENTENCE, min(words, 2 * _SENTENCE)))


def _row_by_row(console: Console, columns: Sequence[str], texts: Sequence[Sequence[str]], title: str) -> None:
    """A line a value, rows apart by an empty line."""
    if title:
        console.print(f"[bold]{escape(title)}[/]")
    names = max((cell_len(column) for column in columns), default=0)
    room = max(console.width - names - 2, 12)
    for number, row in enumerate(texts):
        if number:
            console.print()
        for column, text in zip(columns, row, strict=True):
            first, *others = textwrap.wrap(text, room) or [""]
            colour = _coloured(first, first) if column in _JUDGES else escape(first)
            console.print(f"[bold]{escape(f'{column:<{names}}')}[/]  {colour}", soft_wrap=True)
            for line in others:
                console.print(" " * (names + 2) + escape(line), soft_wrap=True)


def _coloured(text: str, word: str) -> str:
    colour = _COLOUR.get(word.split(",")[0].strip())
    return f"[{colour}]{escape(text)}[/]" if colour else escape(text)


def fitting(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Positions of the columns that fit side by side, from the left. What does not fit is better named than squeezed."""
    room, shown = out().width + 2, []
    for i, column in enumerate(columns):
        width = max([cell_len(column), *(cell_len(cell(row[i])) for row in rows)]) + 2
        if width <= room or not shown:
            shown.append(i)
            room -= width
    return shown


def cell(value: Any) -> str:
    """A value as short text."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return money(value)
    return "".join(c if c.isprintable() else " " for c in str(value))


def counted(number: int, noun: str) -> str:
    """1 finding, 2 findings."""
    return f"{number} {noun}{'s' * (number != 1)}"


def money(value: float) -> str:
    """A price with as many digits as its size deserves."""
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}%}"


def signed(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or value != value else f"{value:+.{digits}%}"
