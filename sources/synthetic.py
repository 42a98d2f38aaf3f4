"""A seeded market whose truth is known: for tests, controls and benchmarks.

Each symbol has a random stream of its own (from the seed and its name) beside one common market stream, drawn session by
session. So adding a symbol, or a later session, changes nothing that was there before, to the bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from forecasting.errors import SettingError
from forecasting.symbols import normalise_symbols
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Fetched, missing_symbols, typed_frame, within
from sources.synthetic_defects import Planted, plant_defects

KINDS = ("market", "random_walk")
_DAILY = 0.02  # median volatility of a symbol
_OVERNIGHT = 0.3  # share of the variance between close and open
_AR_LAGS = 5


@dataclass(frozen=True)
class SyntheticMarket:
    """What to draw. Equal markets give equal prices.

    ``symbols``: names, or how many (S0001 on). ``sessions``: how many sessions of ``calendar``, from ``start`` on.
    ``kind``: 'market' (a common factor, volatility that clusters, volume that follows it, splits, dividends, halts, late
    listings, delistings) or 'random_walk' (independent Gaussian log returns of constant volatility with mean zero, no
    event: nothing can be known in advance but the volatility).
    ``signal``: 0 to 0.4; how strongly each symbol's own return (what is left without the common factor) follows the mean
    of its last five: momentum, the only thing that closes tell about returns. 0.15 gives a correlation of about 0.17
    with that mean and 0.23 over five sessions, 0.3 gives 0.43 and 0.55.
    ``cents``: round prices to cents, as quotes are; it adds a little structure, so random walks should not.
    ``events``: splits, dividends, halts, listings and delistings (None: as the kind has it).
    ``defects``: plant what real feeds contain; ``planted`` lists it.
    """

    seed: int = 7
    symbols: tuple[str, ...] | int = 20
    sessions: int = 1000
    start: date = date(2015, 1, 2)
    kind: str = "market"
    signal: float = 0.0
    cents: bool = False
    events: bool | None = None
    defects: bool = False
    calendar: str = "XNYS"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingError("synthetic.kind", self.kind, " or ".join(repr(k) for k in KINDS))
        if not 0.0 <= self.signal <= 0.4:
            raise SettingError("synthetic.signal", self.signal, "a number from 0 to 0.4")
        if not isinstance(self.sessions, int) or self.sessions < 2:
            raise SettingError("synthetic.sessions", self.sessions, "a whole number of at least 2")
        if isinstance(self.symbols, int) and self.symbols < 1:
            raise SettingError("synthetic.symbols", self.symbols, "at least one symbol")

    @cached_property
    def names(self) -> tuple[str, ...]:
        if isinstance(self.symbols, int):
            return tuple(f"S{i:04d}" for i in range(1, self.symbols + 1))
        return tuple(sorted(normalise_symbols(self.symbols)))

    @cached_property
    def days(self) -> np.ndarray:
        """The sessions, datetime64[D] [sessions]."""
        from forecasting.sessions import sessions_between

        start = np.datetime64(self.start, "D")
        end = start + np.timedelta64(int(self.sessions * 1.5) + 30, "D")  # enough, with every holiday there is
        return sessions_between(self.calendar, start, end)[: self.sessions]

    @cached_property
    def drawn(self) -> Drawn:
        """Bars, actions and planted defects; drawn once."""
        return _draw(self)

    def identity(self) -> str:
        settings = asdict(self) | {"symbols": self.names, "start": str(self.start)}
        return "synthetic:" + hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Drawn:
    """``bars`` and ``actions`` as a source gives them; ``planted`` says which rows are wrong, and why."""

    bars: pd.DataFrame
    actions: pd.DataFrame
    planted: list[Planted] = field(default_factory=list)


class SyntheticSource:
    """The synthetic market as a source; its options are the fields of SyntheticMarket."""

    name = "synthetic"

    def __init__(
        self,
        seed: int = 7,
        symbols: Sequence[str] | int = 20,
        sessions: int = 1000,
        start: date | str = date(2015, 1, 2),
        kind: str = "market",
        signal: float = 0.0,
        cents: bool = False,
        events: bool | None = None,
        defects: bool = False,
        calendar: str = "XNYS",
    ) -> None:
        names = symbols if isinstance(symbols, int) else tuple(symbols)
        try:
            first = date.fromisoformat(str(start)[:10])
        except ValueError:
            raise SettingError("synthetic.start", start, "a date such as 2015-01-02") from None
        self.market = SyntheticMarket(seed, names, sessions, first, kind, signal, cents, events, defects, calendar)

    def symbols(self) -> tuple[str, ...]:
        return self.market.names

    def identity(self) -> str:
        return self.market.identity()

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        wanted = normalise_symbols(symbols)
        drawn = self.market.drawn
        bars = within(drawn.bars, wanted, start, end)
        failures = missing_symbols(self.name, wanted, self.market.names, tuple(bars["symbol"].unique()), start, end)
        held = [s for s in wanted if s not in failures]
        actions = within(drawn.actions, held, start, end)
        return Fetched(bars, actions, failures=failures, currency=dict.fromkeys(held, "USD"))


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")])


def _draw(market: SyntheticMarket) -> Drawn:
    """All symbols at once over time, [symbols, sessions]; what could depend on the array's shape runs symbol by symbol."""
    count, length = len(market.names), market.sessions
    plain = market.kind == "random_walk"
    streams = [_stream(market.seed, name) for name in market.names]
    fixed = np.stack([s.standard_normal(9) for s in streams])  # what a symbol is like
    shock = np.stack([s.standard_normal((length, 4)) for s in streams])  # return, its volatility, gap, volume
    # uniform: split, its ratio, halt, its length, delisting, high, low; of a stream of its own, so that both can grow
    chance = np.stack([_stream(market.seed, f"events of {name}").random((length, 7)) for name in market.names])
    common = _stream(market.seed, "the market itself").standard_normal((length, 2))

    volatility = _DAILY * np.exp(0.35 * fixed[:, 0])
    own = _with_signal(shock[:, :, 0], market.signal)
    if plain:
        level = np.zeros((count, length))
        log_return = volatility[:, None] * own
    else:
        level = _persistent(shock[:, :, 1], 0.97, 0.11)
        market_level = _persistent(common[None, :, 1], 0.98, 0.12)[0]
        beta = 1.0 + 0.3 * fixed[:, 1]
        market_return = 0.009 * np.exp(market_level) * common[:, 0] + 0.0003
        log_return = np.stack([v * np.exp(h) * z for v, h, z in zip(0.85 * volatility, level, own, strict=True)])
        log_return += beta[:, None] * market_return
        level = level + market_level
    events = market.events if market.events is not None else not plain
    payout, ratio, there = _events(chance, fixed, count, length) if events else _no_events(count, length)
    price = 40.0 * np.exp(0.6 * fixed[:, 2])
    parts, actions = [], []
    days = market.days.astype("datetime64[us]")
    for i, name in enumerate(market.names):
        close = price[i] * np.exp(np.cumsum(log_return[i] + np.log1p(-payout[i]) - np.log(ratio[i])))
        bars = _around_close(close, log_return[i], volatility[i] * np.exp(level[i]), shock[i], chance[i])
        typical = np.exp(13.5 + 0.8 * fixed[i, 8] + 0.5 * level[i]) * np.cumprod(ratio[i])
        surprise = np.abs(log_return[i]) / (volatility[i] * np.exp(level[i]))
        bars["volume"] = np.rint(typical * np.exp(0.25 * surprise + 0.3 * shock[i, :, 3]))
        bars = _rounded(bars) if market.cents else bars
        at = np.flatnonzero(there[i])
        parts.append(pd.DataFrame({"symbol": name, "session": days[at]} | {c: v[at] for c, v in bars.items()}))
        actions += _actions_of(name, days, at, bars["close"], payout[i], ratio[i])
    bars = typed_frame(BAR_COLUMNS, pd.concat(parts, ignore_index=True))
    drawn = Drawn(bars, typed_frame(ACTION_COLUMNS, actions) if actions else typed_frame(ACTION_COLUMNS))
    if market.defects:
        raw, planted = plant_defects(bars, {name: _stream(market.seed, f"defects of {name}") for name in market.names})
        drawn = Drawn(raw, drawn.actions, planted)
    return drawn


def _with_signal(shock: np.ndarray, strength: float) -> np.ndarray:
    """Standard returns [S, T] that lean by ``strength`` on the sum of their last five over its standard deviation."""
    if strength == 0.0:
        return shock
    weight, left = strength / np.sqrt(_AR_LAGS), np.sqrt(1.0 - strength**2)
    returns = left * shock
    for t in range(_AR_LAGS, shock.shape[1]):
        recent = returns[:, t - 1].copy()
        for lag in range(2, _AR_LAGS + 1):  # one after the other: a sum's bits must not depend on how many symbols there are
            recent += returns[:, t - lag]
        returns[:, t] += weight * recent
    return returns


def _persistent(shock: np.ndarray, keep: float, step: float) -> np.ndarray:
    """A slowly wandering log volatility [S, T] that returns to zero."""
    level = np.empty_like(shock)
    state = shock[:, 0] * (step / np.sqrt(1.0 - keep**2))
    for t in range(shock.shape[1]):
        state = keep * state + step * shock[:, t]
        level[:, t] = state
    return level


def _events(chance: np.ndarray, fixed: np.ndarray, count: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dividend as share of the close before, split ratio, whether the symbol trades), each [S, T]."""
    quarter = (np.arange(length) + (np.abs(fixed[:, 3]) * 60).astype(int)[:, None]) % 63 == 0
    payer = fixed[:, 4] > -0.25
    payout = np.where(quarter & payer[:, None], 0.003 + 0.002 * np.minimum(np.abs(fixed[:, 5]), 3.0)[:, None], 0.0)
    ratio = np.ones((count, length))
    splits = chance[:, :, 0] < 1 / 1200
    ratio[splits] = np.choose((chance[:, :, 1][splits] * 5).astype(int), [2.0, 3.0, 1.5, 4.0, 0.1])
    there = np.ones((count, length), dtype=bool)
    for i, t in zip(*np.nonzero(chance[:, :, 2] < 1 / 700), strict=True):
        there[i, t : t + 1 + int(chance[i, t, 3] * 5)] = False
    late = np.where(fixed[:, 6] > 1.1, 40 + (np.abs(fixed[:, 7]) * 250).astype(int), 0)
    there &= np.arange(length) >= late[:, None]
    for i in range(count):
        gone = np.flatnonzero(chance[i, :, 4] < 1 / 20_000)
        if len(gone) and gone[0] > late[i] + 60:
            there[i, gone[0] :] = False
    ratio[:, 0] = 1.0
    payout[:, 0] = 0.0
    payout[ratio != 1.0] = 0.0  # one action a day
    return payout, ratio, there


def _no_events(count: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((count, length)), np.ones((count, length)), np.ones((count, length), dtype=bool)


def _around_close(
    close: np.ndarray, log_return: np.ndarray, sigma: np.ndarray, shock: np.ndarray, chance: np.ndarray
) -> dict[str, np.ndarray]:
    """Open, high and low that fit a close: 30 % of the variance overnight, the day a Brownian bridge to its maximum and
    its minimum (each drawn from its exact distribution, but independent of the other)."""
    overnight = _OVERNIGHT * log_return + np.sqrt(_OVERNIGHT * (1 - _OVERNIGHT)) * sigma * shock[:, 2]
    intraday = log_return - overnight
    reach = 2.0 * (1.0 - _OVERNIGHT) * sigma**2
    up = (intraday + np.sqrt(intraday**2 - reach * np.log1p(-chance[:, 5]))) / 2
    down = (intraday - np.sqrt(intraday**2 - reach * np.log1p(-chance[:, 6]))) / 2
    open_ = close * np.exp(-intraday)
    high = np.maximum.reduce([open_ * np.exp(up), open_, close])
    low = np.minimum.reduce([open_ * np.exp(down), open_, close])
    return {"open": open_, "high": high, "low": low, "close": close}


def _rounded(bars: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {c: v if c == "volume" else np.maximum(np.round(v, 2), 0.01) for c, v in bars.items()}


def _actions_of(
    name: str, days: np.ndarray, at: np.ndarray, close: np.ndarray, payout: np.ndarray, ratio: np.ndarray
) -> list[tuple[str, np.datetime64, str, float]]:
    """Splits and dividends after the symbol's first and up to its last bar; one inside a halt keeps its ex-date."""
    if not len(at):
        return []
    found = []
    for t in np.flatnonzero((payout > 0.0) | (ratio != 1.0)):
        if at[0] < t <= at[-1]:
            split = ratio[t] != 1.0
            value = ratio[t] if split else payout[t] * close[t - 1]
            found.append((name, days[t], "split" if split else "dividend", float(value)))
    return found
