"""Tables for people: plain, readable at 80 columns, without colour where NO_COLOR is set or nobody watches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@cache
def out() -> Console:
    """Where answers go. A pipe gets the same 80 to 200 columns that a person would choose, never a wrapped word."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    return console


@cache
def err() -> Console:
    """Where progress and remarks go."""
    return Console(stderr=True, highlight=False)


def say(text: str = "") -> None:
    """A sentence, as it is: no markup in it is interpreted."""
    out().print(escape(text), soft_wrap=not out().is_terminal)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", left: Sequence[str] = ()) -> None:
    """Print rows under ``columns``; numbers to the right, the columns named in ``left`` to the left."""
    shown = Table(title=escape(title) if title else None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(
            escape(column), justify="left" if column in left else "right", no_wrap=column not in left, header_style="bold"
        )
    for row in rows:
        shown.add_row(*(escape(cell(value)) for value in row))
    out().print(shown)


def fitting(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Positions of the columns that fit side by side, from the left. What does not fit is better named than squeezed."""
    room, shown = out().width + 2, []
    for i, column in enumerate(columns):
        width = max([len(column), *(len(cell(row[i])) for row in rows)]) + 2
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
    return str(value)


def money(value: float) -> str:
    """A price with as many digits as its size deserves."""
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}%}"


def signed(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or value != value else f"{value:+.{digits}%}"
