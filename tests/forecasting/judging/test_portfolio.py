"""The paper portfolio against one kept by hand, day by day, symbol by symbol."""

import numpy as np
import pytest

from forecasting.judging.portfolio import paper_portfolio, sharpe_error
from forecasting.targets import log_returns
from tests.forecasting.markets import walks

PANEL = walks(3, 10, 80)
ROWS = np.flatnonzero((PANEL.at >= 10) & (PANEL.at < 60))


def by_hand(signal: dict[tuple[int, int], float], horizon: int, cost: float) -> list[float]:
    """Returns of the sessions 11, 12, ...: two of ten symbols bought and two sold a session, each held ``horizon`` sessions."""
    moves = {(int(t), int(s)): m for t, s, m in zip(PANEL.at, PANEL.symbol_index, log_returns(PANEL), strict=True)}
    weights: dict[int, dict[int, float]] = {}
    for t in range(10, 60):
        order = sorted(range(10), key=lambda s: signal[t, s])
        for day in range(t, t + horizon):  # held over the session after ``day``
            held = weights.setdefault(day, dict.fromkeys(range(10), 0.0))
            for s in order[-2:]:
                held[s] += 0.5 / horizon
            for s in order[:2]:
                held[s] -= 0.5 / horizon
    nothing, result = dict.fromkeys(range(10), 0.0), []
    for day in sorted(weights):
        traded = sum(abs(weights[day][s] - weights.get(day - 1, nothing)[s]) for s in range(10))
        earned = sum(weights[day][s] * (np.exp(moves[day + 1, s]) - 1) for s in range(10))
        result.append(earned - cost * traded)
    result[-1] -= cost * sum(abs(w) for w in weights[max(weights)].values())  # sold at the end
    return result


@pytest.mark.parametrize("horizon", [1, 5])
def test_paper_portfolio__earns_what_one_kept_by_hand_does(horizon):
    draw = np.random.default_rng(1).normal(size=len(ROWS))
    signal = {(int(PANEL.at[r]), int(PANEL.symbol_index[r])): v for r, v in zip(ROWS, draw, strict=True)}
    got = paper_portfolio(PANEL, ROWS, draw, horizon, cost_bps=10)
    expected = by_hand(signal, horizon, 0.001)
    assert got.daily == pytest.approx(expected, abs=1e-15)
    assert got.yearly_return == pytest.approx(252 * np.mean(expected))
    assert got.sharpe == pytest.approx(np.sqrt(252) * np.mean(expected) / np.std(expected))
    wealth = np.concatenate([[0], np.cumsum(expected)])
    assert got.drawdown == pytest.approx(max(wealth[i] - wealth[j] for i in range(len(wealth)) for j in range(i, len(wealth))))
    assert got.sessions[0] == PANEL.sessions[11] and len(got.sessions) == 50 + horizon - 1
    order = np.random.default_rng(2).permutation(len(ROWS))
    assert (paper_portfolio(PANEL, ROWS[order], draw[order], horizon, cost_bps=10).daily == got.daily).all()


def test_paper_portfolio__knowing_tomorrow_is_rich_and_costs_are_what_is_traded():
    tomorrow = np.roll(log_returns(PANEL), -1)[ROWS]
    free, dear = (paper_portfolio(PANEL, ROWS, tomorrow, 1, cost_bps=c) for c in (0, 10))
    assert free.sharpe > 20
    assert free.yearly_return - dear.yearly_return == pytest.approx(252 * free.turnover * 0.001)
    assert dear.yearly_cost == pytest.approx(252 * dear.turnover * 0.001)
    steady = paper_portfolio(PANEL, ROWS, PANEL.symbol_index[ROWS].astype(float), 1, cost_bps=10)
    assert steady.turnover == pytest.approx(4 / 50)  # bought (2) and sold (2) once in 50 sessions


def test_paper_portfolio__of_no_opinion_or_too_few_symbols_is_none():
    assert paper_portfolio(PANEL, ROWS, np.zeros(len(ROWS)), 5) is None
    four = PANEL.only(PANEL.symbols[:4])
    rows = np.flatnonzero(four.at >= 10)
    assert paper_portfolio(four, rows, np.arange(len(rows)) * 1.0, 5) is None


def test_sharpe_error__is_the_spread_of_sharpe_ratios_of_many_samples():
    """Also where returns are skewed: gamma draws less their mean, plus an edge."""
    draw = np.random.default_rng(4).gamma(2.0, size=(4000, 500)) - 1.6
    ratios = draw.mean(axis=1) / draw.std(axis=1)
    assert np.mean([sharpe_error(d) for d in draw[:200]]) == pytest.approx(ratios.std(), rel=0.05)
