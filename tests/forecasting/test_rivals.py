"""The rivals against plain pandas, and the promise that each knows only what was known at its row."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecasting.inputs import make_inputs
from forecasting.metrics import LEVELS, pinball
from forecasting.rivals import RIVALS, fit_rivals, rival_quantiles, running_moments
from forecasting.scaling import Scaler
from forecasting.targets import log_returns
from tests.forecasting.markets import walks

NAMES = ("ret", "abs_ret", "momentum_20")
INPUTS = make_inputs(walks(8, 4, 400), NAMES, (1, 5))
TRAIN = np.isfinite(INPUTS.targets.standardised) & (INPUTS.panel.at < 250)[:, None]
VALID = np.isfinite(INPUTS.targets.standardised) & ((INPUTS.panel.at >= 250) & (INPUTS.panel.at < 320))[:, None]
X = Scaler.fit(INPUTS.values, TRAIN.any(axis=1))(INPUTS.values)
ARRAYS = fit_rivals(INPUTS, X, TRAIN, VALID)
ROWS = np.flatnonzero(INPUTS.panel.at >= 320)
MOMENTS = running_moments(INPUTS)


def quantiles(name: str, rows: np.ndarray = ROWS) -> np.ndarray:
    return rival_quantiles(name, ARRAYS, INPUTS, X, rows, MOMENTS)


def test_running_moments__equal_pandas_expanding():
    returns = pd.Series(log_returns(INPUTS.panel)).groupby(INPUTS.panel.symbol_index)
    mean = returns.transform(lambda r: r.expanding(20).mean())
    square = returns.transform(lambda r: (r**2).expanding(20).mean())
    np.testing.assert_allclose(MOMENTS.mean, mean, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(MOMENTS.scale, np.sqrt(square), rtol=1e-9)


def test_ewma__is_the_scale_times_the_pooled_training_quantiles():
    for k in range(2):
        pooled = (INPUTS.targets.returns[:, k] / INPUTS.targets.scale / np.sqrt((1, 5)[k]))[TRAIN[:, k]]
        expected = INPUTS.targets.scale[ROWS, None] * np.sqrt((1, 5)[k]) * np.quantile(pooled, LEVELS)
        np.testing.assert_allclose(quantiles("ewma")[:, k], expected, rtol=1e-6)


def test_persistence__has_the_last_close_as_its_median_and_drift_the_mean_move():
    assert (quantiles("persistence")[..., 3] == 0).all()
    shift = quantiles("drift")[:, 1, 3] - 5 * MOMENTS.mean[ROWS]
    table = ARRAYS["drift/table"][1, 3] * MOMENTS.scale[ROWS] * np.sqrt(5)
    np.testing.assert_allclose(shift, table, rtol=1e-6, atol=1e-12)


def test_ridge__predicts_like_scikit_learn_with_one_of_its_penalties():
    from sklearn.linear_model import Ridge

    y = np.clip(INPUTS.targets.standardised[TRAIN[:, 0], 0], -10, 10)
    center = quantiles("ridge")[:, 0] / INPUTS.targets.unit[ROWS, 0, None] - ARRAYS["ridge/table"][0]
    plain = [
        Ridge(alpha=a).fit(X[TRAIN[:, 0]].astype(float), y).predict(X[ROWS].astype(float)) for a in (1e2, 1e3, 1e4, 1e5, 1e6)
    ]
    assert min(np.abs(center[:, 0] - p).max() for p in plain) < 1e-6


@pytest.mark.parametrize("name", RIVALS)
def test_rival__learns_nothing_from_rows_after_training(name):
    """Only the ridge's penalty may look at validation rows; the test rows are nobody's."""
    poisoned = INPUTS.values.copy()
    poisoned[INPUTS.panel.at >= 320] = 77.0
    arrays = fit_rivals(INPUTS, Scaler.fit(poisoned, TRAIN.any(axis=1))(poisoned), TRAIN, VALID)
    assert all((arrays[key] == ARRAYS[key]).all() for key in ARRAYS if key.startswith(name))


@pytest.mark.parametrize("name", RIVALS)
def test_rival__is_calibrated_on_a_random_walk_and_in_order(name):
    q, actual = quantiles(name), INPUTS.targets.returns[ROWS]
    known = np.isfinite(actual[:, 0])
    assert (np.diff(q, axis=-1) >= 0).all()
    assert ((actual[known, 0] >= q[known, 0, 1]) & (actual[known, 0] <= q[known, 0, 5])).mean() == pytest.approx(0.8, abs=0.07)
    best = 0.01 * stats.norm.pdf(stats.norm.ppf(LEVELS)).mean()  # the loss of one who knows the walk: 0.00227
    assert pinball(actual[known, 0], q[known, 0]).mean() == pytest.approx(best, rel=0.08)


@pytest.mark.parametrize("name", RIVALS)
def test_rival__answers_a_row_the_same_alone_and_in_company(name):
    assert (quantiles(name, ROWS[[7]]) == quantiles(name)[[7]]).all()
