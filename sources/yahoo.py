"""Prices from Yahoo Finance through yfinance. Past this file nobody has heard of yfinance.

What Yahoo's answers are like (all seen): its "unadjusted" prices, volumes and dividends are adjusted for every split up to
today, so they are turned back into what was traded (``sources/unadjust.py``); the last bar may be null, live, or there
twice; an empty answer does not say why. yfinance keeps a failed answer in a cache inside the process and repeats it, so
the cache is cleared before every attempt; `download` hides failures, so each symbol is asked for alone.
"""

from __future__ import annotations

import atexit
import json
import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import RateLimited, SourceDown, SourceError, UnknownSymbol
from forecasting.symbols import normalise_symbols
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, REJECT_COLUMNS, Fetched, in_span, missing_symbols, typed_frame
from sources.unadjust import as_traded
from sources.yahoo_errors import translate, without_bars
from sources.yahoo_session import YahooSession

_ONE_AT_A_TIME = threading.RLock()  # yfinance has one session, one crumb and one configuration per process
_ENOUGH_FAILURES = 3  # symbols in a row without an answer: then Yahoo is down, not the symbol

_RENAMED = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


class YahooSource:
    """Daily bars, splits and dividends as traded, in the exchange's dates and the symbol's currency.

    ``base_url``: send all requests there instead of to Yahoo (a stand-in server). ``timeout_seconds`` bounds each request.
    ``session_factory``: makes the curl_cffi session of each ``fetch``. ``cache_dir``: where yfinance may keep symbols' time
    zones between runs, which halves the requests; by default a folder that vanishes with the process.
    """

    name = "yahoo"

    def __init__(
        self,
        base_url: str | None = None,
        timeout_seconds: float = 10.0,
        session_factory: Callable[[], Any] | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        self._session_factory = session_factory or (lambda: YahooSession(base_url, timeout_seconds))
        self._timeout = timeout_seconds
        self._cache_dir = cache_dir

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return "yahoo"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        """One answer per symbol, asked in the order given; a rate limit or a dead line ends the asking for all the rest.

        Everything until now is asked for, whatever ``end`` is, because only splits up to now allow to undo their
        adjustment. The last bar may be of a session that still runs: the caller compares with the calendar.
        """
        wanted = normalise_symbols(symbols)
        answers: list[_Answer] = []
        failures: dict[str, SourceError] = {}
        down = 0
        with _ONE_AT_A_TIME, _yfinance(self._cache_dir) as yf:
            session = self._session_factory()
            yf.data.YfData(session=session)._crumb = None  # it belonged to the cookies of another session
            try:
                for n, symbol in enumerate(wanted):
                    try:
                        answers.append(_ask(yf, session, symbol, start, self._timeout))
                        down = 0
                    except SourceError as error:
                        failures[symbol] = error
                        down = down + 1 if isinstance(error, SourceDown) else 0
                        if isinstance(error, RateLimited) or down >= _ENOUGH_FAILURES or getattr(session, "dead", False):
                            failures |= {
                                rest: type(error)(self.name, rest, "not asked", _why(error)) for rest in wanted[n + 1 :]
                            }
                            break
            finally:
                session.close()
        return _put_together(wanted, answers, failures, start, end)


class _Answer:
    """One symbol's bars and actions as traded, and what was left out of them."""

    def __init__(self, symbol: str, history: pd.DataFrame, currency: str | None) -> None:
        self.symbol, self.currency = symbol, currency
        session = history.index.tz_localize(None).normalize().astype("datetime64[us]")
        history = history.assign(session=session, symbol=symbol).rename(columns=_RENAMED).reset_index(drop=True)
        cash = _cash(history)
        splits = _events(history, history["Stock Splits"])
        null = history[["open", "high", "low", "close"]].isna().all(axis=1)
        self.null_sessions = [d.date() for d in history.loc[null & (cash == 0.0), "session"]]
        bars, dividends = as_traded(history.loc[~null, list(BAR_COLUMNS)], _events(history, cash), splits)
        self.bars = typed_frame(BAR_COLUMNS, bars)
        self.actions = pd.concat([splits.assign(kind="split"), dividends.assign(kind="dividend")]).assign(symbol=symbol)


def _events(history: pd.DataFrame, value: pd.Series) -> pd.DataFrame:
    there = value.fillna(0.0) > 0.0
    return pd.DataFrame({"session": history.loc[there, "session"], "value": value[there].astype("float64")})


def _cash(history: pd.DataFrame) -> pd.Series:
    """Dividends, and a fund's capital gains where the dividend is too small to contain them already."""
    dividend = history["Dividends"].fillna(0.0)
    if "Capital Gains" not in history:
        return dividend
    gain = history["Capital Gains"].fillna(0.0)
    return dividend.where(dividend >= gain, dividend + gain)


def _ask(yf: Any, session: Any, symbol: str, start: date | None, timeout: float) -> _Answer:
    if yf.utils.is_isin(symbol):
        raise UnknownSymbol("yahoo", symbol, "that is an ISIN", "give the ticker")
    data = yf.data.YfData(session=session)
    data.cache_get.cache_clear()
    getattr(session, "forget", lambda: None)()
    with translate(symbol, session):
        ticker = yf.Ticker(symbol, session=session)
        span = {"period": "max"} if start is None else {"start": start.isoformat()}
        history = ticker.history(
            interval="1d", auto_adjust=False, actions=True, repair=False, keepna=True, timeout=timeout, **span
        )
        currency = (ticker.history_metadata or {}).get("currency")
        if history.empty:
            raise without_bars(symbol, start, datetime.now(UTC).date())
        return _Answer(symbol, history, currency)


def _why(error: SourceError) -> str:
    return f"{error.symbol} before it: {error.detail}"


def _put_together(
    wanted: Sequence[str], answers: list[_Answer], failures: dict[str, SourceError], start: date | None, end: date | None
) -> Fetched:
    def joined(columns: Sequence[str], frames: list[pd.DataFrame]) -> pd.DataFrame:
        frames = [f[in_span(f["session"].to_numpy(), start, end)] for f in frames if len(f)]
        whole = typed_frame(columns, pd.concat(frames)[list(columns)]) if frames else typed_frame(columns)
        order = ["symbol", "session", "kind"] if "kind" in columns else ["symbol", "session"]
        return whole.sort_values(order, kind="stable", ignore_index=True)

    bars = joined(BAR_COLUMNS, [a.bars for a in answers])
    actions = joined(ACTION_COLUMNS, [a.actions for a in answers])
    answered = [a.symbol for a in answers]
    failures = failures | missing_symbols("yahoo", answered, answered, tuple(bars["symbol"].unique()), start, end)
    null = [(a.symbol, d) for a in answers for d in a.null_sessions if (not start or d >= start) and (not end or d <= end)]
    message = "Yahoo names the session but gives no price"
    rejects = [(s, np.datetime64(d, "us"), -1, "null_bar", message, json.dumps({"date": str(d)})) for s, d in null]
    notes = [f"{symbol}: {message} for {day}" for symbol, day in null[:5]]
    if len(null) > 5:
        notes.append(f"the same for {len(null) - 5} more")
    return Fetched(
        bars,
        actions,
        failures={s: failures[s] for s in wanted if s in failures},
        notes=tuple(notes),
        currency={a.symbol: a.currency for a in answers if a.currency},
        rejects=typed_frame(REJECT_COLUMNS, rejects) if rejects else typed_frame(REJECT_COLUMNS),
    )


@contextmanager
def _yfinance(cache_dir: str | Path | None) -> Iterator[Any]:
    """yfinance with its exceptions shown, its log silent and its caches where we say; restored afterwards."""
    import yfinance as yf
    import yfinance.data
    import yfinance.utils

    _use_cache(str(cache_dir or _own_cache_dir()))
    log, shown = logging.getLogger("yfinance"), yf.config.debug.hide_exceptions
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # it would print what the translated error says better
    yf.config.debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas announces its next version several times a symbol
            yield yf
    finally:
        yf.config.debug.hide_exceptions = shown
        log.setLevel(level)


@cache
def _own_cache_dir() -> str:
    folder = tempfile.mkdtemp(prefix="nextclose-yahoo-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _use_cache(folder: str) -> None:
    """yfinance keeps time zones and (pickled) cookies in SQLite files, by default in the user's home."""
    import yfinance as yf

    if getattr(_use_cache, "now", None) != folder:
        yf.set_tz_cache_location(folder)
        _use_cache.now = folder
