"""The form of a table of prices: what its columns, dates and numbers mean. All sources that read tables take these options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forecasting.errors import SettingError
from forecasting.symbols import normalise_symbol
from sources.basis import BASES

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Form:
    """``symbol``: the symbol of a table that has no such column (default: its name, AAPL.csv). ``columns``: our word -> the
    table's column, where the usual spellings do not say it. ``where``: column -> text, keeps only those rows (a panel with
    several vintages). ``basis``: 'auto', 'as_traded', 'split_adjusted' (by the source, dividends separate) or 'adjusted'
    (for both); see ``sources/basis.py``. ``decimal``: '.' or ','. ``date_order``: 'auto', 'mdy' or 'dmy' for 08/09/2023.
    ``timezone``: the exchange's zone, for time stamps in UTC (default: that of the symbol's calendar). ``close_only``: take
    the close for a missing open, high and low. ``currency``: of all prices in the table.
    """

    symbol: str | None = None
    columns: Mapping[str, str] | None = None
    where: Mapping[str, str] | None = None
    basis: str = "auto"
    decimal: str = "."
    date_order: str = "auto"
    timezone: str | None = None
    close_only: bool = False
    currency: str | None = None

    @classmethod
    def of(cls, source: str, options: Mapping[str, Any]) -> Form:
        """The form with these options; SettingError naming the source's option that is out of range."""
        form = cls(**options)
        for setting, allowed in (("basis", BASES), ("decimal", (".", ",")), ("date_order", ("auto", "mdy", "dmy"))):
            if (value := getattr(form, setting)) not in allowed:
                raise SettingError(f"{source}.{setting}", value, " or ".join(repr(a) for a in allowed))
        if form.timezone is not None:
            try:
                ZoneInfo(form.timezone)
            except (ZoneInfoNotFoundError, ValueError):
                raise SettingError(f"{source}.timezone", form.timezone, "a time zone such as 'Europe/Berlin'") from None
        if form.symbol is not None:
            object.__setattr__(form, "symbol", normalise_symbol(form.symbol))
        for setting in ("columns", "where"):
            object.__setattr__(form, setting, dict(getattr(form, setting) or {}))
        return form

    def zone_of(self, symbol: str) -> ZoneInfo:
        """The time zone of the symbol's exchange."""
        if self.timezone is not None:
            return ZoneInfo(self.timezone)
        from forecasting.sessions import calendar_of, timezone_of

        return timezone_of(calendar_of(symbol))

    def content(self) -> list[Any]:
        """What decides how a table is read, for an identity; the currency is a label and does not."""
        return [getattr(self, f.name) for f in fields(self) if f.name != "currency"]


def takes_form(cls: C) -> C:
    """For a source whose constructor ends in ``**form``: shows the options of Form in its signature, where the registry
    looks for the options that a source has."""
    own = [p for p in inspect.signature(cls).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    form = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in inspect.signature(Form).parameters.values()]
    cls.__signature__ = inspect.Signature([*own, *form])
    return cls
