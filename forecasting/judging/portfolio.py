"""A paper portfolio of the forecasts: what their ranking would have earned after costs. Information, never a gate.

Each session the symbols are ranked by the forecast median over its scale; the top fifth is bought and the bottom fifth sold
short, in equal weights, and held for ``horizon`` sessions. So ``horizon`` such portfolios overlap, each with its share of the
capital (Jegadeesh and Titman 1993), and no start date is luckier than another. Weights are restored every session; the trades
that this needs are not charged, those that a new ranking needs are.

Not in it: dividends (the returns are of the quoted close), the fee for borrowing shares, taxes, and the question whether
the close can be had.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.panel import Panel
from forecasting.targets import log_returns

SESSIONS_A_YEAR = 252
FEWEST_SYMBOLS = 5  # a fifth is a symbol at least


@dataclass(frozen=True)
class Paper:
    """What the portfolio did; returns are fractions of the capital, of which one is long and one is short.

    ``daily``: return of each session after costs, float64 [n]; ``sessions`` the dates of these, datetime64[D] [n].
    ``sharpe`` is a year's, with its standard error; ``turnover`` the share of capital traded a session (both legs);
    ``drawdown`` the deepest fall of the summed returns below their highest point so far.
    """

    horizon: int
    cost_bps: float
    sessions: np.ndarray
    daily: np.ndarray
    yearly_return: float
    yearly_cost: float
    volatility: float
    sharpe: float
    sharpe_error: float
    turnover: float
    drawdown: float

    def as_report(self) -> dict:
        """The figures without the series, JSON-able but for NaN."""
        names = ("yearly_return", "yearly_cost", "volatility", "sharpe", "sharpe_error", "turnover", "drawdown")
        return {name: getattr(self, name) for name in names} | {"sessions": len(self.daily)}


def paper_portfolio(
    panel: Panel, rows: np.ndarray, signal: np.ndarray, horizon: int, cost_bps: float = 10.0, fraction: float = 0.2
) -> Paper | None:
    """The portfolio that follows ``signal`` (float [N], one a row of ``rows``, int [N]; larger: rather to be bought).

    ``cost_bps``: costs of a trade in hundredths of a percent of what is traded. None where no session has five symbols with
    different signals. A symbol without a bar on a session earns nothing that session.
    """
    targets = _targets(panel, rows, signal, fraction)  # [T, S]
    days = np.flatnonzero(np.abs(targets).sum(axis=1))
    if not len(days):
        return None
    first, last = days[0], min(days[-1] + horizon, len(panel.sessions) - 1)
    held = np.zeros((last - first + 2, len(panel.symbols)))  # held[t]: from the close of session first + t - 1 to the next
    for lag in range(horizon):
        part = targets[first : last + 1 - lag]
        held[1 + lag : 1 + lag + len(part)] += part / horizon
    moves = _moves(panel)[first : last + 1]
    trades = np.abs(np.diff(held, axis=0)).sum(axis=1)  # at the close of session first + t
    traded = np.append(trades[:-2], trades[-2:].sum()) if len(trades) > 1 else trades[:0]  # the end is sold with the last day
    paid = traded * cost_bps / 1e4
    daily = (held[1:-1] * moves[1:]).sum(axis=1) - paid
    return _summary(horizon, cost_bps, panel.sessions[first + 1 : last + 1], daily, paid, traded)


def sharpe_error(returns: np.ndarray) -> float:
    """Standard error of mean / deviation of one session's returns: Mertens (2002), which is Lo's (2002) for normal returns."""
    z = (returns - returns.mean()) / returns.std()
    ratio = returns.mean() / returns.std()
    skew, kurtosis = (z**3).mean(), (z**4).mean()
    return float(np.sqrt(max(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2, 0.0) / len(returns)))


def _targets(panel: Panel, rows: np.ndarray, signal: np.ndarray, fraction: float) -> np.ndarray:
    """The weights wanted at each session, float64 [T, S]: +1 in all over the top, -1 over the bottom."""
    wanted = np.zeros((len(panel.sessions), len(panel.symbols)))
    at, symbol = panel.at[rows], panel.symbol_index[rows]
    order = np.lexsort((symbol, signal, at))  # ties by the symbols' order, so that the answer does not depend on the rows'
    borders = np.flatnonzero(np.diff(at[order])) + 1
    for some in np.split(order, borders):
        if len(some) < FEWEST_SYMBOLS or signal[some[-1]] - signal[some[0]] <= 1e-12:
            continue
        few = max(1, int(len(some) * fraction))
        wanted[at[some[0]], symbol[some[-few:]]] = 1 / few
        wanted[at[some[0]], symbol[some[:few]]] = -1 / few
    return wanted


def _moves(panel: Panel) -> np.ndarray:
    """Simple returns of each symbol at each session with splits undone, float64 [T, S]; 0 without a bar."""
    moves = np.zeros((len(panel.sessions), len(panel.symbols)))
    moves[panel.at, panel.symbol_index] = np.expm1(np.nan_to_num(log_returns(panel), nan=0.0))
    return moves


def _summary(
    horizon: int, cost_bps: float, sessions: np.ndarray, daily: np.ndarray, paid: np.ndarray, trades: np.ndarray
) -> Paper | None:
    if len(daily) < 2 or not daily.std() > 0:
        return None
    year = np.sqrt(SESSIONS_A_YEAR)
    wealth = np.append(0.0, np.cumsum(daily))
    return Paper(
        horizon, cost_bps, sessions, daily,
        yearly_return=float(daily.mean() * SESSIONS_A_YEAR), yearly_cost=float(paid.mean() * SESSIONS_A_YEAR),
        volatility=float(daily.std() * year), sharpe=float(daily.mean() / daily.std() * year),
        sharpe_error=sharpe_error(daily) * float(year), turnover=float(trades.mean()),
        drawdown=float((np.maximum.accumulate(wealth) - wealth).max()),
    )  # fmt: skip
