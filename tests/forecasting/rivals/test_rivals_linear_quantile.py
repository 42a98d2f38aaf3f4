"""Linear quantiles against scikit-learn's linear programme, and where the truth is linear."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import QuantileRegressor

from forecasting.metrics import LEVELS, pinball
from forecasting.rivals.linear_quantile import _derivatives, regression

DRAW = np.random.default_rng(12)
X = DRAW.normal(size=(1000, 3)).astype(np.float32)
SPREAD = np.exp(0.3 * np.clip(X[:, 1], -2, 2))
Y = 0.2 * X[:, 0] + SPREAD * DRAW.standard_t(5, size=1000)


@pytest.mark.parametrize("level", LEVELS[::2])
def test_regression__costs_what_the_linear_programme_costs(level):
    """The smoothing moves the minimum by no more than some ten-thousandths of the loss."""
    exact = QuantileRegressor(quantile=level, alpha=0.0, solver="highs").fit(X.astype(float), Y)
    found = regression(X, Y, level, 0.0, np.zeros(4))
    loss = [
        pinball(Y, (c + X @ b)[:, None], np.array([level])).mean()
        for c, b in ((exact.intercept_, exact.coef_), (found[0], found[1:]))
    ]
    assert loss[0] <= loss[1] + 1e-12 and loss[1] < loss[0] * (1 + 5e-4)
    np.testing.assert_allclose(found, [exact.intercept_, *exact.coef_], atol=0.1)
    assert (found[0] + X @ found[1:] > Y).mean() == pytest.approx(level, abs=0.006)


def test_regression__finds_the_coefficients_that_made_the_data():
    x = DRAW.normal(size=(100_000, 2)).astype(np.float32)
    y = 0.1 * x[:, 0] + (1 + 0.2 * np.clip(x[:, 1], -3, 3)) * DRAW.normal(size=100_000)
    for level in (0.05, 0.5, 0.9):
        z = stats.norm.ppf(level)
        np.testing.assert_allclose(regression(x, y, level, 0.0, np.zeros(3)), [z, 0.1, 0.2 * z], atol=0.02)


def test_regression__shrinks_with_the_penalty_and_leaves_the_constant():
    sizes = [np.abs(regression(X, Y, 0.9, penalty, np.zeros(4))[1:]).sum() for penalty in (0.0, 0.01, 0.1, 1.0, 100.0)]
    assert all(a > b for a, b in zip(sizes, sizes[1:], strict=False)) and sizes[-1] < 0.01
    assert regression(X, Y, 0.9, 100.0, np.zeros(4))[0] == pytest.approx(np.quantile(Y, 0.9), abs=0.02)


def test_regression__ends_where_it_ends_from_any_start():
    ends = [regression(X, Y, 0.25, 1e-3, start) for start in (np.zeros(4), np.full(4, 5.0), np.array([-8.0, 3, -3, 1]))]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], atol=1e-5)


def test_regression__minds_no_feature_that_never_moves():
    x = np.column_stack([X, np.zeros(1000, np.float32)])
    np.testing.assert_allclose(
        regression(x, Y, 0.5, 1e-3, np.zeros(5))[:4], regression(X, Y, 0.5, 1e-3, np.zeros(4)), atol=1e-6
    )


def test_derivatives__are_those_of_the_loss():
    beta, step = np.array([0.3, 0.1, -0.2, 0.05]), 1e-5
    _, slope, curve = _derivatives(X, Y, 0.75, 0.01, 0.1, beta)
    for f, unit in enumerate(np.eye(4)):
        up, down = (_derivatives(X, Y, 0.75, 0.01, 0.1, beta + sign * step * unit) for sign in (1, -1))
        assert slope[f] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-6)
        np.testing.assert_allclose(curve[f], (up[1] - down[1]) / (2 * step), atol=0.01)
