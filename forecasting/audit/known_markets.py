"""Markets where the truth is known, and forecasters that are broken on purpose.

A random walk holds nothing to find. An AR(1) holds exactly one thing: the share ``strength`` of a session's move that comes
back in the next. A broken forecaster is made from a good one by one fault, so that what is refused is the fault.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forecasting.inputs import Inputs
from forecasting.metrics import LEVELS
from forecasting.panel import Panel
from forecasting.targets import log_returns

SYMBOLS, SESSIONS = 10, 1_500  # of every market of the controls
_START = np.datetime64("2012-01-02", "D")
_DAILY = 0.015  # median volatility of a symbol
_OVERNIGHT = 0.3  # share of the variance between close and open
_MEDIAN = int(np.argmin(np.abs(LEVELS - 0.5)))


def ar1_market(seed: int, strength: float = 0.0, symbols: int = SYMBOLS, sessions: int = SESSIONS) -> Panel:
    """Independent symbols whose log returns follow r_t = strength * r_(t-1) + e_t, e Gaussian of constant volatility.

    ``strength`` 0 is the random walk. Each symbol has its own level, volatility (0.015 a session, times or divided by about
    1.35) and random stream (from ``seed`` and its position); the day inside is a Brownian bridge from open to close. Sessions
    are weekdays from 2012-01-02; no splits, no dividends. Nothing but ``strength`` tells anything about a later return, and
    nothing at all about a later volatility.
    """
    days = np.busday_offset(_START, np.arange(sessions), roll="forward")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("open", "high", "low", "close", "volume")}
    for i in range(symbols):
        for name, column in _bars(np.random.default_rng([seed, i]), strength, sessions).items():
            parts[name].append(column)
    at = np.tile(np.arange(sessions, dtype=np.int32), symbols)
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    return Panel(
        tuple(f"S{i + 1:04d}" for i in range(symbols)), np.arange(symbols + 1, dtype=np.int64) * sessions,
        days.astype("datetime64[D]"), at, at.copy(), **columns,
        split=np.ones(len(at)), dividend=np.zeros(len(at)),
    )  # fmt: skip


def _bars(draw: np.random.Generator, strength: float, sessions: int) -> dict[str, np.ndarray]:
    """One symbol's open, high, low, close and volume, float64 [sessions] each."""
    volatility, price = _DAILY * np.exp(0.3 * draw.standard_normal()), 40.0 * np.exp(0.6 * draw.standard_normal())
    shock, gap, traded = draw.standard_normal((3, sessions))
    reach = -2.0 * (1 - _OVERNIGHT) * volatility**2 * np.log(1.0 - draw.random((2, sessions)))
    move = volatility * shock
    for t in range(1, sessions):
        move[t] += strength * move[t - 1]
    overnight = _OVERNIGHT * move + np.sqrt(_OVERNIGHT * (1 - _OVERNIGHT)) * volatility * gap
    intraday = move - overnight
    close = price * np.exp(np.cumsum(move))
    opened = close * np.exp(-intraday)
    up, down = ((intraday + sign * np.sqrt(intraday**2 + reach[k])) / 2 for k, sign in enumerate((1, -1)))
    high, low = opened * np.exp(up), opened * np.exp(down)  # the exact laws of a bridge's maximum and of its minimum
    return {
        "open": opened, "high": np.maximum.reduce([high, opened, close]), "low": np.minimum.reduce([low, opened, close]),
        "close": close, "volume": np.rint(1e6 * np.exp(0.3 * traded)),
    }  # fmt: skip


def _echo(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The last session's move, said again as the median of every horizon."""
    return q - _median(q) + last[:, None, None]


def _constant(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The same quantiles in units of the scale, whatever happened."""
    return np.median(q / unit[..., None], axis=0) * unit[..., None]


def _same_returns(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The same returns for ever, for every symbol."""
    return np.broadcast_to(np.median(q, axis=0), q.shape)


def _sign_flipped(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """What is said of a rise is said of a fall."""
    return -q[..., ::-1]


def _scaled(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Percent taken for fractions: everything times 100."""
    return 100.0 * q


def _shuffled(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The right answers to other rows."""
    return q[np.random.default_rng(0).permutation(len(q))]


def _late(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The answer of the row before: joined one session too late."""
    return np.roll(q, 1, axis=0)


def _too_narrow(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Intervals of half their width."""
    return _median(q) + 0.5 * (q - _median(q))


def _not_a_number(q: np.ndarray, unit: np.ndarray, last: np.ndarray) -> np.ndarray:
    """One forecast of all is no number."""
    broken = q.copy()
    broken[len(q) // 2, 0, 0] = np.nan
    return broken


def _median(q: np.ndarray) -> np.ndarray:
    return q[..., _MEDIAN : _MEDIAN + 1]


#: fault -> (quantiles [N, H, Q], one scale unit as a log return [N, H], the last move [N]) to broken quantiles.
FAULTS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "echo": _echo, "constant": _constant, "same returns": _same_returns, "sign flipped": _sign_flipped, "times 100": _scaled,
    "shuffled": _shuffled, "one session late": _late, "too narrow": _too_narrow, "not a number": _not_a_number,
}  # fmt: skip


def broken(fault: str, quantiles: np.ndarray, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """The quantiles [N, H, Q] of a good forecaster for ``rows`` of ``inputs`` with one of FAULTS, float64 [N, H, Q]."""
    last = np.nan_to_num(log_returns(inputs.panel)[rows])
    return FAULTS[fault](quantiles.astype(np.float64), inputs.targets.unit[rows], last)
