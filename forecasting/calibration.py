"""Calibration: the width of the network's quantiles, corrected by how wide they should have been of late.

A network's intervals are too wide for years and too narrow for others, and every symbol is so at once, because the sessions
are shared. So the correction is one number a session and horizon, the same for all symbols: the logarithm of a factor on the
distance of each quantile from the median. It is read from the model's own forecasts that **settled before the session**:
how often the outcomes of about PER_SESSION symbols a session fell inside the 50, 80 and 90 % intervals.

The excess of misses is averaged along the sessions at two speeds, and each average is believed as far as it holds independent
sessions: ``n / (n + PRIOR * sqrt(horizon) * (1 + SYMBOLS / symbols))`` with n the effective number of sessions over the
horizon, since outcomes that overlap are one another's echo. The slow average is drawn to nothing, the fast one to the slow.
With little to go by the correction is nothing. That is the time-ordered form of conformal prediction that tracks the error
(Gibbs and Candès 2021), with the step size taken from the amount of evidence and past forecasts left as they were.

Nothing here is fitted: the correction is a function of the model and of what was known, so a forecast can be made again to
the same bits. The volatility regime is in it, since the correction follows the regime as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from forecasting.inputs import Inputs
from forecasting.metrics import LEVELS

Ask = Callable[[np.ndarray], np.ndarray]  # rows int [N] -> the model's standardised quantiles [N, H, Q], not corrected

FORM = "tracked width 1"  # goes into the card: another rule must have another name
HALF_LIVES = (20, 120)  # sessions
WINDOW = 360  # sessions looked back on
PRIOR = 20.0  # sessions that an average must hold to be half believed, at one session ahead
SYMBOLS = 6.4  # variance of one symbol's own misses over that of a session's shared ones, on sp500 up to 2020
PER_SESSION = 24  # symbols asked a session; more change the correction by less than it is worth
LIMIT = 0.7  # a factor between a half and two
_MEDIAN = len(LEVELS) // 2
_INTERVALS = ((2, 4), (1, 5), (0, 6))  # positions in LEVELS of the 50, 80 and 90 % intervals
_WANTED = sum(LEVELS[high] - LEVELS[low] for low, high in _INTERVALS)
# How much the three shares together change when a normal distribution is scaled: the sum of 2 z phi(z).
_SLOPE = 1.22
_WEIGHTS = tuple(0.5 ** (np.arange(WINDOW) / half_life) for half_life in HALF_LIVES)


@dataclass(frozen=True)
class Misses:
    """What settled at each session, float64 [T, H]: ``count`` outcomes, and their summed ``error``, the log width missing."""

    count: np.ndarray
    error: np.ndarray


def asked_rows(symbol: np.ndarray, at: np.ndarray, session: np.ndarray, symbols: int) -> np.ndarray:
    """Which rows are asked, bool [R]: of ``symbols`` about PER_SESSION a session, in a fixed rotation.

    ``symbol`` int [R]: position among the model's symbols (-1: none of them, never asked); ``session`` datetime64[D] [T];
    ``at`` int [R]: positions in it. A row is asked or not whatever else is in the panel.
    """
    every = max(1, round(symbols / PER_SESSION))
    day = session.astype("datetime64[D]").astype(np.int64)[at]
    return (symbol >= 0) & (((symbol.astype(np.int64) * 2_654_435_761 + day * 40_503) >> 7) % every == 0)


def count_misses(quantiles: np.ndarray, outcomes: np.ndarray, settles_at: np.ndarray, sessions: int) -> Misses:
    """Collect outcomes [N, H] that were forecast by ``quantiles`` [N, H, Q] under the session where they settled.

    ``settles_at`` int [N, H]: position of that session, ``sessions`` or more where it is not known.
    """
    count, error = (np.zeros((sessions, outcomes.shape[1])) for _ in range(2))
    for k in range(outcomes.shape[1]):
        known = np.isfinite(outcomes[:, k]) & (settles_at[:, k] < sessions) & np.isfinite(quantiles[:, k]).all(axis=-1)
        y, q, settled = outcomes[known, k], quantiles[known, k], settles_at[known, k]
        hits = sum(((y >= q[:, low]) & (y <= q[:, high])).astype(np.float64) for low, high in _INTERVALS)
        count[:, k] = np.bincount(settled, minlength=sessions)
        error[:, k] = np.bincount(settled, (_WANTED - hits) / _SLOPE, minlength=sessions)
    return Misses(count, error)


def corrections(misses: Misses, horizons: tuple[int, ...], sessions: np.ndarray) -> np.ndarray:
    """The log factor on the width at each of ``sessions`` (int [M] positions), from what settled before it, [M, H]."""
    result = np.zeros((len(sessions), len(horizons)))
    width = misses.count.shape[1]
    before = np.zeros((WINDOW, width))  # a window is always WINDOW long, so that no sum depends on where a panel begins
    count, error = np.concatenate([before, misses.count]), np.concatenate([before, misses.error])
    mean = error / np.maximum(count, 1.0)
    for m, session in enumerate(sessions):
        window = slice(int(session) + WINDOW - 1, int(session) - 1 if session else None, -1)  # yesterday first
        c, e = count[window], mean[window]
        for k, horizon in enumerate(horizons):
            result[m, k] = _correction(c[:, k], e[:, k], horizon)
    return np.clip(result, -LIMIT, LIMIT)


def _correction(count: np.ndarray, error: np.ndarray, horizon: int) -> float:
    """From the newest to the oldest session: how many outcomes settled, and their mean error."""
    answer = 0.0
    for weight in reversed(_WEIGHTS):  # slow first
        w = weight * (count > 0)
        total = w.sum()
        if total <= 0.0:
            continue
        sessions = total * total / (w * w).sum() / horizon
        symbols = (w * count).sum() / total
        believed = sessions / (sessions + PRIOR * np.sqrt(horizon) * (1.0 + SYMBOLS / symbols))
        answer += believed * ((w * error).sum() / total - answer)
    return answer


def widened(quantiles: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Quantiles [N, H, Q] with each distance from the median times exp(``correction`` [N, H]); ascending stays ascending."""
    median = quantiles[..., _MEDIAN : _MEDIAN + 1]
    return median + (quantiles - median) * np.exp(correction)[..., None]


def needed_origins(settles_at: np.ndarray, sessions: np.ndarray) -> np.ndarray:
    """Which rows say something about any of ``sessions``, bool [R]: an outcome settled in one of their windows."""
    last = int(sessions.max(initial=0)) + 1
    inside = np.zeros(last + 1, dtype=bool)
    for session in np.unique(sessions):
        inside[max(0, int(session) - WINDOW) : int(session)] = True
    found = np.zeros(len(settles_at), dtype=bool)
    for k in range(settles_at.shape[1]):
        found |= inside[np.minimum(settles_at[:, k], last)]
    return found


def correct(
    ask: Ask,
    inputs: Inputs,
    ready: np.ndarray,
    symbols: tuple[str, ...],
    since: object,
    rows: np.ndarray,
    quantiles: np.ndarray,
) -> np.ndarray:
    """The standardised ``quantiles`` [N, H, Q] of ``rows`` (int [N]), corrected by what settled before each row's session.

    ``ask``: the model's own answer for any rows; ``ready`` bool [R]: rows that it can be asked for; ``symbols``: the model's;
    ``since``: the end of its training span: only later origins count, where it had not seen the outcome.
    """
    panel, targets = inputs.panel, inputs.targets
    position = {symbol: i for i, symbol in enumerate(symbols)}
    own = np.array([position.get(symbol, -1) for symbol in panel.symbols], dtype=np.int64)[panel.symbol_index]
    wanted, which = np.unique(panel.at[rows], return_inverse=True)
    chosen = ready & asked_rows(own, panel.at, panel.sessions, len(symbols))
    chosen &= panel.session > np.datetime64(str(since)[:10], "D")
    past = np.flatnonzero(chosen & needed_origins(targets.settles_at, wanted))
    if not len(past):
        return quantiles
    misses = count_misses(ask(past), targets.standardised[past], targets.settles_at[past], len(panel.sessions))
    return widened(quantiles, corrections(misses, targets.horizons, wanted)[which])
