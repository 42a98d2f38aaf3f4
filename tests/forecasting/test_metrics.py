"""Each metric against a version so plain that nobody could doubt it."""

import numpy as np
import pytest
from scipy import stats

from forecasting import metrics

ACTUAL = np.array([1.00, 1.02, 0.97, 1.10])
POINT = np.array([1.01, 1.00, 1.00, 1.05])


def test_point_metrics__equal_their_definitions():
    errors = [0.01, 0.02, 0.03, 0.05]
    assert metrics.mae(ACTUAL, POINT) == pytest.approx(sum(errors) / 4)
    assert metrics.mse(ACTUAL, POINT) == pytest.approx(sum(e * e for e in errors) / 4)
    assert metrics.rmse(ACTUAL, POINT) == pytest.approx((sum(e * e for e in errors) / 4) ** 0.5)
    assert metrics.mape(ACTUAL, POINT) == pytest.approx(sum(e / a for e, a in zip(errors, ACTUAL, strict=True)) / 4)
    assert metrics.mase(ACTUAL, POINT, np.ones(4)) == pytest.approx(sum(errors) / (0 + 0.02 + 0.03 + 0.10))


def test_pinball__is_the_mean_over_levels_of_the_tilted_error():
    quantiles = np.array([-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03])
    plain = 0.0
    for level, q in zip(metrics.LEVELS, quantiles, strict=True):
        error = 0.015 - q
        plain += level * error if error > 0 else (level - 1) * error
    assert metrics.pinball(np.array([0.015]), quantiles[None])[0] == pytest.approx(plain / 7)


def test_pinball__agrees_with_scikit_learn():
    from sklearn.metrics import mean_pinball_loss

    draw = np.random.default_rng(1)
    actual, quantiles = draw.normal(size=50), np.sort(draw.normal(size=(50, 7)), axis=1)
    expected = np.mean([mean_pinball_loss(actual, quantiles[:, i], alpha=a) for i, a in enumerate(metrics.LEVELS)])
    assert metrics.pinball(actual, quantiles).mean() == pytest.approx(expected)


def test_pinball__is_smallest_at_the_true_quantiles():
    draws = np.random.default_rng(2).normal(size=200_000)
    true = stats.norm.ppf(metrics.LEVELS)
    best = metrics.pinball(draws, true).mean()
    assert best < metrics.pinball(draws, true * 1.05).mean()
    assert best < metrics.pinball(draws, true * 0.95).mean()
    assert best < metrics.pinball(draws, true + 0.05).mean()


def test_probability_up__reads_the_forecast_distribution():
    normal = stats.norm.ppf(metrics.LEVELS)
    p = metrics.probability_up(np.array([normal, normal + 0.3, normal - 0.3, normal + 9, normal - 9, np.zeros(7)]))
    assert p[0] == pytest.approx(0.5)
    assert p[1] == pytest.approx(stats.norm.cdf(0.3), abs=0.01)
    assert p[2] == pytest.approx(1 - stats.norm.cdf(0.3), abs=0.01)
    assert p[3] == pytest.approx(0.975) and p[4] == pytest.approx(0.025)
    assert 0.02 < p[5] < 0.98


def test_direction_hit_rate__leaves_out_what_did_not_move_and_what_did_not_say():
    moves = np.array([0.01, -0.02, 0.03, 0.0, 0.01])
    p_up = np.array([0.6, 0.6, 0.7, 0.9, 0.5])
    assert metrics.direction_hit_rate(moves, p_up) == pytest.approx(2 / 3)


def test_rank_correlation__is_the_mean_of_each_sessions_spearman():
    draw = np.random.default_rng(3)
    session = np.repeat([3, 1, 2], [6, 8, 4])  # the session of four symbols is too small to count
    actual, point = draw.normal(size=18), np.round(draw.normal(size=18), 1)  # ties on purpose
    expected = np.mean([stats.spearmanr(actual[session == s], point[session == s]).statistic for s in (1, 3)])
    assert metrics.rank_correlation_by_session(actual, point, session) == pytest.approx(expected)


def test_rank_correlations__of_many_sessions_each_alone_and_without_those_that_have_nothing_to_rank():
    draw = np.random.default_rng(4)
    session = draw.integers(0, 30, 400) * 7
    actual, point = np.round(draw.normal(size=(2, 400)), 1)  # ties within a session and between two
    point[session == 14], actual[session == 21] = 0.5, -1.0
    sessions, found = metrics.rank_correlations(actual, point, session)
    assert list(sessions) == [s for s in np.unique(session) if s not in (14, 21) and (session == s).sum() >= 5]
    alone = [stats.spearmanr(actual[session == s], point[session == s]).statistic for s in sessions]
    assert found == pytest.approx(alone, abs=1e-12)
