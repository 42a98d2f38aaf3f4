"""HAR against a regression written out in pandas and scikit-learn."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from forecasting.inputs import make_inputs
from forecasting.metrics import LEVELS, pinball
from forecasting.panel import Panel
from forecasting.rivals import Known, ewma, har
from forecasting.rivals.known import Labels
from tests.forecasting.markets import walks


def breathing(symbols: int, sessions: int) -> Panel:
    """Walks whose volatility follows a slow and a fast component: what HAR is made for."""
    panel, draw = walks(21, symbols, sessions), np.random.default_rng(5)
    columns = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
    for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        slow, fast, last = 0.0, 0.0, 50.0
        for t in range(a, b):
            slow, fast = 0.99 * slow + draw.normal(0, 0.07), 0.7 * fast + draw.normal(0, 0.25)
            steps = 0.0025 * np.exp(slow + fast) * draw.normal(size=16)
            path = last * np.exp(np.cumsum(steps))
            columns["open"][t], columns["close"][t] = path[0], path[-1]
            columns["high"][t], columns["low"][t] = path.max(), path.min()
            last = path[-1]
    return replace(panel, **columns)


PANEL = breathing(6, 1200)
INPUTS = make_inputs(PANEL, ("ret",), (1, 5))
KNOWN = Known(INPUTS, np.zeros((PANEL.rows, 1), np.float32), PANEL.symbols)
KNOWN_OUTCOME = np.isfinite(INPUTS.targets.standardised)
TRAIN = KNOWN_OUTCOME & (INPUTS.targets.settles_at < 900)
PARTS = har.fit(KNOWN, Labels(KNOWN, TRAIN, TRAIN))
ROWS = np.flatnonzero((PANEL.at >= 900) & KNOWN_OUTCOME.all(axis=1))


def test_har__is_the_log_regression_of_pandas_and_scikit_learn():
    frame = pd.DataFrame({c: getattr(PANEL, c) for c in ("open", "high", "low", "close")}).assign(s=PANEL.symbol_index)
    before = frame.groupby("s")["close"].shift()
    overnight = np.log(frame["open"] / before)
    frame["ranged"] = overnight.fillna(0) ** 2 + np.log(frame["high"] / frame["low"]) ** 2 / (4 * np.log(2))
    frame["squared"] = np.log(frame["close"] / before) ** 2
    frame.loc[before.isna(), "ranged"] = np.nan  # the first session has no night before it
    terms = {}
    for column, windows in (("ranged", (1, 5, 22, 66, 252)), ("squared", (5, 22, 66, 252))):
        for w in windows:
            mean = frame.groupby("s")[column].transform(lambda v, n=w: v.rolling(n, min_periods=1).mean())
            terms[column, w] = np.log(mean.clip(lower=1e-8))
    x = pd.DataFrame(terms)
    for k, horizon in enumerate((1, 5)):
        ahead = frame.groupby("s")["ranged"].transform(lambda v, h=horizon: v.rolling(h).mean().shift(-h))
        fit = LinearRegression().fit(x[TRAIN[:, k]].to_numpy(), np.log(ahead[TRAIN[:, k]].to_numpy()))
        scale = np.exp(fit.predict(x.fillna(0).to_numpy()) / 2) * np.sqrt(horizon)
        table = np.quantile((INPUTS.targets.returns[:, k] / scale)[TRAIN[:, k]], LEVELS)
        found = har.quantiles(PARTS, KNOWN, ROWS)[:, k]
        np.testing.assert_allclose(found, scale[ROWS, None] * table, rtol=2e-3, atol=1e-7)


def test_har__beats_ewma_where_volatility_is_made_that_way():
    table = ewma.fit(KNOWN, Labels(KNOWN, TRAIN, TRAIN))
    for k in range(2):
        actual = INPUTS.targets.returns[ROWS, k]
        ours = pinball(actual, har.quantiles(PARTS, KNOWN, ROWS)[:, k]).mean()
        assert 1 - ours / pinball(actual, ewma.quantiles(table, KNOWN, ROWS)[:, k]).mean() > 0.01


def test_har__learns_from_no_row_whose_variance_reaches_past_its_outcome():
    """Where bars are missing, five bars later is more than five sessions later: the sum would end after the training span."""
    gaps = PANEL.take_rows(~((PANEL.symbol_index == 2) & (PANEL.at >= 880) & (PANEL.at < 899)))
    later = replace(gaps, high=np.where(gaps.at >= 900, gaps.high * 3, gaps.high))
    fitted = []
    for panel in (gaps, later):
        inputs = make_inputs(panel, ("ret",), (1, 5))
        known = Known(inputs, np.zeros((panel.rows, 1), np.float32), panel.symbols)
        train = np.isfinite(inputs.targets.standardised) & (inputs.targets.settles_at < 900)
        fitted.append(har.fit(known, Labels(known, train, train)))
    assert all(np.array_equal(fitted[0][part], fitted[1][part]) for part in fitted[0])


def test_har__lives_on_closes_alone_and_through_a_market_that_stood_still():
    flat = np.where((PANEL.at >= 950) & (PANEL.at < 980), 7.0, PANEL.close)
    panel = replace(PANEL, open=flat, high=flat, low=flat, close=flat)
    inputs = make_inputs(panel, ("ret",), (1, 5))
    rows = np.flatnonzero(np.isfinite(inputs.targets.scale))
    q = har.quantiles(PARTS, Known(inputs, KNOWN.x, panel.symbols), rows)
    assert np.isfinite(q).all() and (np.diff(q, axis=-1) >= 0).all()
