"""The Diebold-Mariano test against another implementation, and against what it promises."""

import numpy as np
import pytest
from dieboldmariano import dm_test

from forecasting.judging.comparison import corrected, diebold_mariano, lags_for, long_run_variance


@pytest.mark.parametrize("horizon", [1, 5])
def test_diebold_mariano__agrees_with_the_dieboldmariano_package(horizon):
    draw = np.random.default_rng(5)
    ours, other = draw.normal(size=300) * 0.9, draw.normal(size=300)
    expected, p = dm_test(
        [0.0] * 300, list(ours), list(other), loss=lambda actual, x: x * x, h=horizon, one_sided=True, harvey_correction=True
    )
    got = diebold_mariano(ours**2, other**2, horizon, lags=horizon - 1, kernel="rectangular")
    assert got.t == pytest.approx(-expected, rel=1e-9)  # they subtract the other way round
    assert got.p == pytest.approx(p, rel=1e-6)


def test_long_run_variance__of_an_autoregression_is_near_its_known_value():
    draw = np.random.default_rng(6)
    noise, x = draw.normal(size=200_000), np.zeros(200_000)
    for i in range(1, len(x)):
        x[i] = 0.5 * x[i - 1] + noise[i]
    assert long_run_variance(x, 60) == pytest.approx(1 / (1 - 0.5) ** 2, rel=0.05)  # 4; the plain variance is 1.33
    assert long_run_variance(x, 0) == pytest.approx(1 / (1 - 0.25), rel=0.05)


def test_diebold_mariano__without_a_difference_finds_one_about_as_often_as_it_says():
    """Overlapping 20-session outcomes of two equal forecasters: at the 5 % level 400 trials give 20 by chance."""
    draw = np.random.default_rng(7)
    found = 0
    for _ in range(400):
        difference = np.convolve(draw.normal(size=619), np.ones(20) / 20, mode="valid")
        found += diebold_mariano(np.zeros(600), difference, 20).p < 0.05
    assert 8 <= found <= 44  # a plain t test finds over 150
    naive = sum(
        diebold_mariano(np.zeros(600), np.convolve(draw.normal(size=619), np.ones(20) / 20, mode="valid"), 1, lags=0).p < 0.05
        for _ in range(400)
    )
    assert naive > 100


def test_diebold_mariano__cannot_tell_from_nothing():
    assert diebold_mariano(np.ones(5), np.zeros(5), 1).p == 1.0
    same = diebold_mariano(np.ones(100), np.ones(100), 1)
    assert (same.t, same.p, same.sessions) == (0.0, 1.0, 100)


def test_lags_for__grow_with_the_horizon():
    assert [lags_for(h, 670) for h in (1, 5, 20)] == [6, 7, 30]


def test_corrected__is_holm_over_horizons_times_the_trials():
    assert corrected([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert corrected([0.01, 0.04, 0.03], trials=5) == pytest.approx([0.15, 0.30, 0.30])
    assert corrected([0.5, 0.9]) == [1.0, 1.0]
    assert corrected([0.2]) == [0.2]


def test_corrected__finds_something_in_nothing_at_most_as_often_as_it_says():
    """Three horizons of four trials, all without an edge: at the 5 % level about 20 of 400 searches find one."""
    draw = np.random.default_rng(8).uniform(size=(400, 4, 3))
    found = sum(min(min(corrected(p, trials=4)) for p in searched) < 0.05 for searched in draw)
    alone = sum((searched < 0.05).any() for searched in draw)
    assert 8 <= found <= 32 and alone > 150
