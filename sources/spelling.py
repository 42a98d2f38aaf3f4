"""How price files spell their columns, dates and numbers.

Everything arrives as text, so that ``NA``, ``TRUE``, ``1E5`` and ``0700.HK`` stay symbols; only what is asked for as a
number or a date becomes one, and only in forms that leave no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

# our word -> how files spell it, letters and digits only, the likelier spelling first
SPELLINGS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "tic", "stock", "instrument", "code", "name"),
    "session": ("session", "date", "datetime", "timestamp", "tradedate", "tradingdate", "pricedate", "day", "time", "",
                "unnamed0", "index", "indexlevel0"),
    "open": ("open", "openprice", "1open"),
    "high": ("high", "highprice", "2high"),
    "low": ("low", "lowprice", "3low"),
    "close": ("close", "closelast", "closeprice", "4close", "last", "price"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj", "closeadjusted", "adjcloseprice", "5adjustedclose"),
    "volume": ("volume", "vol", "5volume", "6volume"),
    "dividend": ("dividends", "dividend", "exdividend", "dividendamount", "divcash", "7dividendamount"),
    "split": ("stocksplits", "stocksplit", "splits", "split", "splitratio", "splitcoefficient", "splitfactor",
              "8splitcoefficient"),
    "capital_gain": ("capitalgains",),
    "currency": ("currency", "ccy"),
}  # fmt: skip
NEEDED = ("session", "open", "high", "low", "close")
NUMBERS = ("open", "high", "low", "close", "adj_close", "volume", "dividend", "split", "capital_gain")
_NOTHING = {"", "-", "--", ".", "null", "nan", "n/a", "na", "none", "#n/a"}
_CURRENCY = re.compile(r"^([+-]?)\s*(?:US\$|[$€£¥])\s*|\s*[$€£¥]$")
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}


def plain(name: object) -> str:
    """A column's name without what varies: case, blanks, punctuation."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def recognise(names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our word -> the file's column. ``given`` (our word -> column) goes first; ValueError says what is wrong.

    >>> recognise(["Date", "Close/Last", "Volume"], {})
    {'session': 'Date', 'close': 'Close/Last', 'volume': 'Volume'}
    """
    known = {"date": "session", "ticker": "symbol", "dividends": "dividend", "splits": "split", "stock_splits": "split"}
    found: dict[str, str] = {}
    for word, column in given.items():
        word = known.get(word, word)
        if word not in SPELLINGS:
            raise ValueError(f"option columns names {word!r}; it maps {', '.join(SPELLINGS)} to the file's columns")
        if column not in names:
            raise ValueError(f"option columns says {word} is {column!r}, but the file has {_listed(names)}")
        found[word] = column
    by_plain: dict[str, list[str]] = {}
    for name in names:
        by_plain.setdefault(plain(name), []).append(name)
    for word, spellings in SPELLINGS.items():
        if word in found:
            continue
        for spelling in spellings:
            columns = [c for c in by_plain.get(spelling, []) if c not in found.values()]
            if len(columns) > 1:
                raise ValueError(f"columns {_listed(columns)} could all be {word}; say which with the option columns")
            if columns:
                found[word] = columns[0]
                break
    return {word: found[word] for word in SPELLINGS if word in found}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{str(n)!r:.40}" for n in names[:12]) + (" …" if len(names) > 12 else "")


def number(text: str | None, decimal: str = ".", units: bool = False) -> float:
    """The number, NaN for a cell that says there is none; ValueError for anything that leaves doubt.

    ``decimal`` is '.' (thousands by comma) or ',' (thousands by point); ``units`` allows 12.5M. A currency sign is fine,
    a currency's name is not: it may not be the one that we believe.
    """
    cell = (text or "").strip()
    if cell.lower() in _NOTHING:
        return float("nan")
    sign_free = _CURRENCY.sub(r"\1", cell)
    scale = 1.0
    if units and sign_free[-1:].upper() in _UNITS:
        scale, sign_free = _UNITS[sign_free[-1].upper()], sign_free[:-1]
    group = "," if decimal == "." else r"\."
    point = re.escape(decimal)
    if not re.fullmatch(rf"[+-]?(\d+|\d{{1,3}}({group}\d{{3}})+)?({point}\d*)?([eE][+-]?\d+)?", sign_free) or not re.search(
        r"\d", sign_free
    ):
        if re.fullmatch(r"[+-]?inf(inity)?", sign_free.lower()):
            return float(sign_free)
        raise ValueError(f"{text!r:.40} is not a number")
    return float(sign_free.replace(group.strip("\\"), "").replace(decimal, ".")) * scale


@dataclass(frozen=True)
class Day:
    """A date as written. ``instant`` is set where a UTC time of day was given: its local date needs the exchange's zone."""

    day: date
    instant: datetime | None = None


_ISO = re.compile(
    r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?:[T ]?(\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_SLASHED = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?")
_NAMED = re.compile(r"(?:(\d{1,2})[- ]([A-Za-z]{3})[a-z]*[- ,]+(\d{4}))|(?:([A-Za-z]{3})[a-z]*\.? (\d{1,2}),? (\d{4}))")
_MONTHS = {m: i + 1 for i, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())}


def written_order(texts: Sequence[str]) -> str | None:
    """'mdy' or 'dmy' where the slashed dates among ``texts`` show it, None where they do not, '' where there are none."""
    pairs = [(int(m[1]), int(m[2])) for t in texts if (m := _SLASHED.fullmatch(t.strip()))]
    if not pairs:
        return ""
    day_first, month_first = any(a > 12 for a, _ in pairs), any(b > 12 for _, b in pairs)
    return None if day_first == month_first else ("dmy" if day_first else "mdy")


def session_of(text: str | None, order: str = "mdy") -> Day:
    """The trading date of a cell; ValueError where it is not a date.

    2023-08-31, 20230831, 2023/08/31, 08/31/2023 (``order``), 31-Aug-2023, Aug 31, 2023. A time stamp with an offset
    counts as the exchange's local time, so its date is the date as written: 2022-01-03 00:00:00+08:00 is 2022-01-03,
    although it is still the 2nd in UTC.
    """
    cell = (text or "").strip()
    if m := _ISO.fullmatch(cell):
        day = date(int(m[1]), int(m[2]), int(m[3]))
        offset = (m[7] or "").replace(":", "")
        midnight = m[4] is None or int(m[4]) + int(m[5]) + int(m[6] or 0) == 0
        if offset in ("Z", "UTC", "+0000", "-0000") and not midnight:
            return Day(day, datetime(day.year, day.month, day.day, int(m[4]), int(m[5]), int(m[6] or 0), tzinfo=UTC))
        return Day(day)
    if m := _SLASHED.fullmatch(cell):
        first, second = int(m[1]), int(m[2])
        return Day(date(int(m[3]), second, first) if order == "dmy" else date(int(m[3]), first, second))
    if m := _NAMED.fullmatch(cell):
        number_, month, year = (m[1], m[2], m[3]) if m[1] else (m[5], m[4], m[6])
        if month.lower() in _MONTHS:
            return Day(date(int(year), _MONTHS[month.lower()], int(number_)))
    raise ValueError(f"{text!r:.40} is not a date")
