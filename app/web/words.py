"""Values as text for people: one way to write a price, a share, a day. Filters of the templates."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

NONE = "–"


class Markup(str):
    """Text that is markup already: a template shows it as it is, and everything else escaped."""

    def __html__(self) -> Markup:
        return self


def money(value: float | None) -> str:
    """A price with as many digits as its size deserves."""
    if value is None or value != value:
        return NONE
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def percent(value: float | None, digits: int = 0) -> str:
    return NONE if value is None or value != value else f"{100 * value:.{digits}f}\u202f%"


def signed(value: float | None, digits: int = 1) -> str:
    """A change: with its sign, a true minus, and no sign of zero."""
    if value is None or value != value:
        return NONE
    text = f"{100 * value:+.{digits}f}\u202f%".replace("-", "\u2212")
    return text[1:] if float(f"{100 * value:.{digits}f}") == 0 else text


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def number(value: Any, digits: int = 4) -> str:
    """Any figure with ``digits`` significant ones; text stays text."""
    if value is None or value != value:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}".replace("-", "\u2212") if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


_DIGITS = {"pinball": 5, "mae": 5, "rmse": 5, "mse": 6, "mape": 5, "mase": 3}


def metric(value: float | None, name: str) -> str:
    """A score with the same digits in every row, so that a column can be compared by eye."""
    return NONE if value is None or value != value else f"{value:.{_DIGITS.get(name, 3)}f}".replace("-", "\u2212")


def told(value: Any) -> str:
    """A setting as a person would write it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(told(one) for one in value)
    return number(value, 6)


def day(value: Any) -> str:
    return NONE if value is None else str(value)[:10]


def instant(value: datetime | None) -> str:
    """To the minute, with the zone."""
    return NONE if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def ahead(horizon: int) -> str:
    return "1 session" if horizon == 1 else f"{horizon} sessions"


def short(text: str | None, length: int = 12) -> str:
    return NONE if not text else text[:length]


def plain(text: str | None) -> str:
    """Codes and column names as words."""
    return NONE if text is None else str(text).replace("_", " ")


def bare(sentence: str | None) -> str:
    """The gate's sentence without the long tail of figures in brackets."""
    return NONE if not sentence else re.sub(r"\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$", "", sentence)


def is_day(value: Any) -> bool:
    return isinstance(value, date)


FILTERS = {
    "money": money, "percent": percent, "signed": signed, "count": count, "number": number, "metric": metric, "told": told,
    "day": day, "instant": instant,
    "duration": duration, "ahead": ahead, "short": short, "plain": plain, "bare": bare,
}  # fmt: skip
