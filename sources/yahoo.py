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
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import NoBars, SourceError, UnknownSymbol
from forecasting.symbols import normalise_symbols
from sources.asking import WAITS, ask_each
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, REJECT_COLUMNS, Cost, Fetched, in_span, missing_symbols, typed_frame
from sources.meter import Meter
from sources.unadjust import PRICES, as_traded
from sources.yahoo_errors import translate, without_bars
from sources.yahoo_session import YahooSession

_ONE_AT_A_TIME = threading.RLock()  # yfinance has one session, one crumb and one configuration per process

_NULL = ("null_bar", "Yahoo names the session but gives no price")
_ACTION_ALONE = ("action_without_bar", "Yahoo names an action of a day for which it gives no price; the action counts")
_COLUMNS = (*BAR_COLUMNS, "adj_ratio")
_RENAMED = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume",
            "Adj Close": "adj_close"}  # fmt: skip


class YahooSource:
    """Daily bars, splits and dividends as traded, in the exchange's dates and the symbol's currency.

    ``base_url``: send all requests there instead of to Yahoo (a stand-in server). ``timeout_seconds`` bounds each request.
    ``session_factory``: makes the curl_cffi session of each ``fetch``. ``cache_dir``: where yfinance may keep symbols' time
    zones between runs, which halves the requests; by default a folder that vanishes with the process. ``per_day``,
    ``seconds_between``: a limit of our own on requests; Yahoo publishes none. ``waits``: the pauses after a rate limit.
    """

    name = "yahoo"
    tells_actions = True
    cost = Cost(requests_per_symbol=2)  # the prices, and the first time the symbol's time zone

    def __init__(
        self,
        base_url: str | None = None,
        timeout_seconds: float = 10.0,
        session_factory: Callable[[], Any] | None = None,
        cache_dir: str | Path | None = None,
        per_day: int | None = None,
        seconds_between: float = 0.0,
        waits: Sequence[float] = WAITS,
    ) -> None:
        self.cost = Cost(2, seconds_between, per_day)
        self.meter = Meter(self.cost)
        self._waits = tuple(waits)
        self._session_factory = session_factory or (lambda: YahooSession(base_url, timeout_seconds))
        self._timeout = timeout_seconds
        self._cache_dir = cache_dir

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return "yahoo"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        """One answer per symbol, asked in the order given; a rate limit, a refusal or a dead line is one for all the rest.

        Everything until now is asked for, whatever ``end`` is, because only splits up to now allow to undo their
        adjustment. The last bar may be of a session that still runs: the caller compares with the calendar.
        """
        wanted = normalise_symbols(symbols)
        with _ONE_AT_A_TIME, _yfinance(self._cache_dir) as yf:
            session = self._session_factory()
            session.meter = self.meter
            yf.data.YfData(session=session)._crumb = None  # it belonged to the cookies of another session
            try:
                answers, failures = ask_each(
                    self.name,
                    wanted,
                    lambda symbol: _ask(yf, session, symbol, start, self._timeout),
                    waits=self._waits,
                    dead=lambda: getattr(session, "dead", False),
                )
            finally:
                session.close()
        return _put_together(wanted, list(answers.values()), failures, start, end)


class _Answer:
    """One symbol's bars and actions as traded, and what was left out of them."""

    def __init__(self, symbol: str, history: pd.DataFrame, currency: str | None) -> None:
        self.symbol, self.currency = symbol, currency
        session = history.index.tz_localize(None).normalize().to_numpy().astype("datetime64[us]")
        prices = {ours: history[theirs].to_numpy(dtype=np.float64, na_value=np.nan) for theirs, ours in _RENAMED.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            prices["adj_ratio"] = np.where(prices["close"] > 0.0, prices.pop("adj_close") / prices["close"], np.nan)
        cash, ratio = _cash(history), _told(history, "Stock Splits")
        splits, dividends = _events(session, ratio), _events(session, cash)
        null = np.isnan([prices[c] for c in PRICES]).all(axis=0)
        action = (cash > 0.0) | (ratio > 0.0)
        self.null_sessions = [(d.item().date(), bool(a)) for d, a in zip(session[null], action[null], strict=True)]
        bars = pd.DataFrame({"session": session[~null]} | {c: v[~null] for c, v in prices.items()})
        self.bars, dividends = as_traded(bars, dividends, splits)
        kind = ["split"] * len(splits) + ["dividend"] * len(dividends)
        days, values = (np.concatenate([splits[c].to_numpy(), dividends[c].to_numpy()]) for c in ("session", "value"))
        self.actions = pd.DataFrame({"session": days, "kind": kind, "value": values})


def _events(session: np.ndarray, value: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"session": session[value > 0.0], "value": value[value > 0.0]})


def _told(history: pd.DataFrame, column: str) -> np.ndarray:
    if column not in history:
        return np.zeros(len(history))
    return np.nan_to_num(history[column].to_numpy(dtype=np.float64, na_value=np.nan))


def _cash(history: pd.DataFrame) -> np.ndarray:
    """Dividends, and a fund's capital gains where the dividend is too small to contain them already."""
    dividend, gain = _told(history, "Dividends"), _told(history, "Capital Gains")
    return np.where(dividend >= gain, dividend, dividend + gain)


def _ask(yf: Any, session: Any, symbol: str, start: date | None, timeout: float) -> _Answer:
    if yf.utils.is_isin(symbol):
        raise UnknownSymbol("yahoo", symbol, "that is an ISIN", "give the ticker")
    data = yf.data.YfData(session=session)
    data.cache_get.cache_clear()
    getattr(session, "forget", lambda _: None)(symbol)
    with translate(symbol, session):
        ticker = yf.Ticker(symbol, session=session)
        how = {"interval": "1d", "auto_adjust": False, "actions": True, "repair": False, "keepna": True, "timeout": timeout}
        try:
            history = ticker.history(**({"period": "max"} if start is None else {"start": start.isoformat()}), **how)
        except ValueError as error:  # yfinance stumbles where the first day has no midnight (Cairo, Santiago, Havana)
            if start is None or "nonexistent time" not in str(error):
                raise
            history = ticker.history(start=(start - timedelta(days=7)).isoformat(), **how)
        currency = (ticker.history_metadata or {}).get("currency")
        if history.empty:
            raise without_bars(symbol, start, datetime.now(UTC).date())
        return _Answer(symbol, history, currency)


def _inside(day: date, start: date | None, end: date | None) -> bool:
    return (start is None or day >= start) and (end is None or day <= end)


def _put_together(
    wanted: Sequence[str], answers: list[_Answer], failures: dict[str, SourceError], start: date | None, end: date | None
) -> Fetched:
    def joined(columns: Sequence[str], frames: list[pd.DataFrame]) -> pd.DataFrame:
        if not any(len(f) for f in frames):
            return typed_frame(columns)
        symbol = np.repeat(np.array([a.symbol for a in answers], dtype=object), [len(f) for f in frames])
        whole = pd.concat([f for f in frames if len(f)], ignore_index=True).assign(symbol=symbol)
        whole = typed_frame(columns, whole[in_span(whole["session"].to_numpy(), start, end)])
        order = ["symbol", "session", "kind"] if "kind" in columns else ["symbol", "session"]
        return whole.sort_values(order, kind="stable", ignore_index=True)

    bars = joined(_COLUMNS, [a.bars for a in answers])
    actions = joined(ACTION_COLUMNS, [a.actions for a in answers])
    answered = [a.symbol for a in answers]
    failures = failures | missing_symbols("yahoo", answered, answered, tuple(bars["symbol"].unique()), start, end)
    null = sorted((a.symbol, d, action) for a in answers for d, action in a.null_sessions if _inside(d, start, end))
    for symbol in {symbol for symbol, _, _ in null} & failures.keys():
        failures[symbol] = NoBars("yahoo", symbol, "an answer without a single price", "try again later")
    rejects = [
        (symbol, np.datetime64(d, "us"), -1, *(_ACTION_ALONE if action else _NULL), json.dumps({"date": str(d)}))
        for symbol, d, action in null
    ]
    notes = [f"{symbol}: {_NULL[1]} for {day}" for symbol, day, action in null if not action]
    if len(notes) > 5:
        notes[5:] = [f"the same for {len(notes) - 5} more"]
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
