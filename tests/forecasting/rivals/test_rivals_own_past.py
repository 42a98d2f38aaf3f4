"""The rivals that repeat a symbol's own past, against plain pandas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.inputs import make_inputs
from forecasting.metrics import LEVELS
from forecasting.rivals import Known, historical, seasonal
from forecasting.rivals.known import Labels
from forecasting.targets import log_returns
from tests.forecasting.markets import walks

PANEL = walks(3, 3, 900)
INPUTS = make_inputs(PANEL, ("ret",), (1, 5, 20))
KNOWN = Known(INPUTS, np.zeros((PANEL.rows, 1), np.float32), PANEL.symbols)
LABELS = np.isfinite(INPUTS.targets.standardised)
RETURNS = pd.Series(log_returns(PANEL)).groupby(PANEL.symbol_index)
EVERY_ROW = np.arange(PANEL.rows)


@pytest.mark.parametrize("horizon, season, back", [(1, 5, 4), (5, 5, 0), (1, 252, 251), (20, 252, 232)])
def test_seasonal__is_the_sum_of_the_returns_one_season_before(horizon, season, back):
    """Tomorrow's weekly season is the return of four sessions ago; that of 20 sessions by the year ended 232 sessions ago."""
    expected = RETURNS.transform(lambda r: r.rolling(horizon).sum().shift(back)).to_numpy()
    found = seasonal._one_season_ago(KNOWN, EVERY_ROW, horizon, season)
    young = KNOWN.nth < season
    assert (found[young] == 0).all() and young.sum() == 3 * season
    np.testing.assert_allclose(found[~young], expected[~young], atol=1e-12)


def test_seasonal__repeats_the_last_week_over_a_longer_horizon():
    week = RETURNS.transform(lambda r: r.rolling(5).sum()).to_numpy()
    first_two = RETURNS.transform(lambda r: r.rolling(2).sum().shift(3)).to_numpy()  # sessions 1 and 2 of the last five
    old = KNOWN.nth >= 5
    for horizon, expected in ((20, 4 * week), (22, 4 * week + first_two)):
        found = seasonal._one_season_ago(KNOWN, EVERY_ROW, horizon, 5)
        np.testing.assert_allclose(found[old], expected[old], atol=1e-12)


@pytest.mark.parametrize("period, chosen", [(5, 5), (252, 252)])
def test_seasonal__finds_the_season_that_was_planted(period, chosen):
    """Each session's move is that of one season before, and a little noise."""
    draw = np.random.default_rng(4)
    close = PANEL.close.copy()
    for a, b in zip(PANEL.starts[:-1], PANEL.starts[1:], strict=True):
        moves = draw.normal(0, 0.01, b - a)
        for t in range(period, b - a):
            moves[t] = moves[t - period] + draw.normal(0, 0.0005)
        close[a:b] = 50 * np.exp(np.cumsum(moves))
    panel = replace(PANEL, close=close)
    inputs = make_inputs(panel, ("ret",), (1, 5, 20))
    known = Known(inputs, KNOWN.x, panel.symbols)
    early = LABELS & (inputs.targets.settles_at < 700)
    parts = seasonal.fit(known, Labels(known, early, LABELS & (panel.at >= 700)[:, None]))
    assert (parts["seasons"] == chosen).all()
    later = np.flatnonzero((panel.at >= 700) & LABELS[:, 0])
    q = seasonal.quantiles(parts, known, later)[:, 0]
    assert np.abs(q[:, 3] - inputs.targets.returns[later, 0]).mean() < 0.001  # persistence is off by 0.008


def test_historical__is_the_quantile_of_the_last_500_moves_and_pooled_before_there_are_60():
    parts = historical.fit(KNOWN, Labels(KNOWN, LABELS, LABELS))
    found = historical.quantiles(parts, KNOWN, EVERY_ROW)
    compared = 0
    for k, horizon in enumerate((1, 5, 20)):
        moves = RETURNS.transform(lambda r, h=horizon: r.rolling(h).sum()).to_numpy()
        for row in range(20, PANEL.rows, 7):
            nth = row % 900
            own = moves[row - min(nth, 499) : row + 1]
            own = own[np.isfinite(own)]  # the first moves of a symbol are not known
            if nth >= 20 and len(own) < 60:
                pooled = KNOWN.moments.scale[row] * np.sqrt(horizon) * parts["table"][k]
                np.testing.assert_allclose(found[row, k], pooled, rtol=1e-6)
            elif nth >= 20:
                np.testing.assert_allclose(found[row, k], np.quantile(own, LEVELS), atol=1e-12)
                compared += 1
    assert compared > 1000


def test_historical__answers_any_rows_in_any_order():
    parts = historical.fit(KNOWN, Labels(KNOWN, LABELS, LABELS))
    whole = historical.quantiles(parts, KNOWN, EVERY_ROW)
    some = np.array([1700, 300, 301, 302, 899, 900, 1799, 1200, 40, 2500, 2501])
    np.testing.assert_array_equal(historical.quantiles(parts, KNOWN, some), whole[some])
