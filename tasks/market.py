"""What the models are given: the stored prices as one panel, as they are known now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.panel import Panel


def market_of(run: Run) -> Panel:
    """The clean bars of every stored symbol up to the run's origin, on the sessions of their calendars.

    Read once a run. A step that works at an earlier session may use it as it is: features and forecasts of a row depend
    on nothing later than the row (tests/forecasting shows it); what learns cuts it off itself.
    """
    if "market" not in run.memo:
        with run.db.reading() as con:
            run.memo["market"] = market_known(con, run.origin)
    return run.memo["market"]


def macro_of(run: Run) -> pd.DataFrame | None:
    """Macro values public by the close of the run's origin (series, session, value), or None where none are stored.

    Where the stored symbols are of several exchanges a column ``calendar`` says at whose closes the values were public: New
    York's VIX of a day is not known in Tokyo before the next.
    """
    if "macro" not in run.memo:
        symbols, minutes = market_of(run).symbols, run.settings.source.final_after_minutes
        with run.db.reading() as con:
            run.memo["macro"] = macro_known(con, symbols, run.origin, minutes)
    return run.memo["macro"]


def macro_known(
    con: Any, symbols: tuple[str, ...], until: date, final_after_minutes: int, as_of: datetime | None = None
) -> pd.DataFrame | None:
    """See ``macro_of``: for the exchanges of ``symbols``, up to ``until``, as known at ``as_of`` (None: now)."""
    from forecasting.sessions import DEFAULT_CALENDAR, calendar_of
    from storage.macro import read_macro

    calendars = sorted({calendar_of(symbol) for symbol in symbols}) or [DEFAULT_CALENDAR]
    frame = read_macro(con, until, as_of, calendars=calendars, final_after_minutes=final_after_minutes)
    return frame if len(frame) else None


def data_digest(panel: Panel, macro: pd.DataFrame | None, symbols: Iterable[str], until: object) -> str:
    """SHA-256 over everything that a forecast of ``symbols`` made at the close of ``until`` can depend on."""
    panel = panel.until(until).only(tuple(symbols))
    digest = hashlib.sha256()
    for symbol, begin in zip(panel.symbols, panel.starts, strict=False):
        digest.update(f"{symbol} {begin}\n".encode())
    digest.update(panel.session.astype("datetime64[D]").astype(np.int64).tobytes())
    for column in (panel.open, panel.high, panel.low, panel.close, panel.volume, panel.split, panel.dividend):
        digest.update(np.ascontiguousarray(column).data)
    if macro is not None:
        macro = _of_calendars(macro, panel.symbols)
        known = macro[macro["session"].to_numpy().astype("datetime64[D]") <= np.datetime64(str(until)[:10], "D")]
        digest.update(known.to_csv(index=False).encode())
    return digest.hexdigest()


def _of_calendars(macro: pd.DataFrame, symbols: tuple[str, ...]) -> pd.DataFrame:
    """What the exchanges of ``symbols`` could see, written as if there were no others where it is one."""
    from forecasting.sessions import calendar_of

    if "calendar" not in macro.columns:
        return macro
    names = {calendar_of(symbol) for symbol in symbols}
    own = macro[macro["calendar"].isin(names)]
    return own.drop(columns="calendar") if len(names) == 1 else own


def market_known(con: Any, until: date, as_of: datetime | None = None) -> Panel:
    """See ``market_of``: up to ``until``, as known at ``as_of`` (None: now)."""
    from forecasting.panel import Panel
    from forecasting.sessions import calendar_of, sessions_between
    from storage.bars import read_actions, read_bars

    bars, actions = read_bars(con, until=until, as_of=as_of), read_actions(con, until=until, as_of=as_of)
    adjusted = set(bars.loc[bars["basis"] == "adjusted", "symbol"])  # their splits are in the prices already
    actions = actions[~actions["symbol"].isin(adjusted)]
    day = bars["session"].to_numpy().astype("datetime64[D]")
    if not len(day):
        return Panel.from_frames(bars, actions)
    calendar = {symbol: calendar_of(symbol) for symbol in bars["symbol"].unique()}
    first = day.min().astype(object)
    known = {name: sessions_between(name, first, until).astype("datetime64[D]") for name in sorted(set(calendar.values()))}
    return Panel.from_frames(bars, actions, {symbol: known[name] for symbol, name in calendar.items()})
