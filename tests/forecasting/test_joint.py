"""Ranks: drawn jointly, counted, scored."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting import joint


def walks(sessions: int, sizes: list[float], common: float = 0.0, seed: int = 1) -> np.ndarray:
    """Daily log returns [T, S] of symbols of these sizes that share a factor."""
    random = np.random.default_rng(seed)
    own = random.normal(size=(sessions, len(sizes))) * np.array(sizes)
    return own + common * random.normal(size=(sessions, 1))


def test_ranked_probability_score__is_the_m6_competitions() -> None:
    equal = np.full((5, 5), 0.2)
    sure = np.eye(5)

    assert joint.ranked_probability_score(equal, np.arange(5)).mean() == pytest.approx(0.16)
    assert joint.ranked_probability_score(equal, np.arange(5)) == pytest.approx([0.24, 0.12, 0.08, 0.12, 0.24])
    assert joint.ranked_probability_score(sure, np.arange(5)).tolist() == [0, 0, 0, 0, 0]
    assert joint.ranked_probability_score(sure[[0]], np.array([4])).tolist() == [0.8]  # as wrong as can be: 4 of 5 steps


def test_ranked_probability_score__against_a_loop() -> None:
    random = np.random.default_rng(3)
    chances, came = random.dirichlet(np.ones(5), size=20), random.integers(0, 5, 20)

    for p, c, found in zip(chances, came, joint.ranked_probability_score(chances, came), strict=True):
        steps = [(sum(p[: i + 1]) - (1.0 if c <= i else 0.0)) ** 2 for i in range(5)]
        assert found == pytest.approx(sum(steps) / 5)


def test_fifths_of__seven_values() -> None:
    assert joint.fifths_of(np.array([0.3, -0.1, 0.0, 0.9, 0.2, 0.5, -0.4])).tolist() == [2, 0, 1, 4, 2, 3, 0]
    assert joint.fifths_of(np.array([1.0, 1.0, 1.0, 1.0, 1.0])).tolist() == [0, 1, 2, 3, 4]  # ties: the order given


def test_fifth_shares__counted_by_hand_for_two_paths() -> None:
    paths = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])

    shares = joint.fifth_shares(paths)

    assert shares[0].tolist() == [0.5, 0, 0, 0, 0.5]  # once the lowest, once the highest of six
    assert shares[1].tolist() == [0.5, 0, 0, 0.5, 0]  # of six ranks the two lowest are the first fifth
    expected = [joint.fifths_of(path) for path in paths]
    for s in range(6):
        assert shares[s].tolist() == [np.mean([f[s] == k for f in expected]) for k in range(5)]


def test_bootstrap__fifths_sum_to_one_and_a_restless_symbol_is_at_the_ends() -> None:
    returns = walks(600, [0.01] * 9 + [0.05])

    chances = joint.bootstrap(returns, horizon=20, seed=5)

    assert np.abs(chances.fifths.sum(axis=1) - 1).max() < 1e-12
    assert chances.fifths.sum(axis=0) == pytest.approx(np.full(5, 2.0))  # ten symbols, two a fifth in every path
    restless, quiet = chances.fifths[9], chances.fifths[:9].mean(axis=0)
    assert restless[0] + restless[4] > 0.7 and quiet[0] + quiet[4] < 0.4
    assert np.abs(chances.up - 0.5).max() < 0.06  # demeaned: past means say nothing


def test_draws__keep_the_correlation_between_symbols() -> None:
    """Two symbols that move as one are ranked side by side; drawn one by one they would be so in one path of five."""
    returns = walks(500, [0.01] * 10)
    returns[:, 1] = returns[:, 0] + 1e-6 * returns[:, 2]

    paths = joint.draw_paths(returns - returns.mean(axis=0), horizon=20, seed=2, draws=2_000)
    ranks = paths.argsort(axis=1).argsort(axis=1)

    assert np.corrcoef(paths[:, 0], paths[:, 1])[0, 1] > 0.999
    assert (np.abs(ranks[:, 0] - ranks[:, 1]) == 1).mean() > 0.95
    assert np.corrcoef(paths.T)[2:, 2:][~np.eye(8, dtype=bool)].mean() == pytest.approx(
        np.corrcoef(returns.T)[2:, 2:][~np.eye(8, dtype=bool)].mean(), abs=0.02
    )


def test_draws__same_seed_same_bits_and_every_session_equally_often() -> None:
    past = np.eye(50)  # path column s counts how often session s was drawn

    first, again = (joint.draw_paths(past, 20, seed=7, draws=500) for _ in range(2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, joint.draw_paths(past, 20, seed=8, draws=500))
    assert first.sum(axis=0).tolist() == [200.0] * 50  # 500 x 20 draws of 50 sessions


def test_modelled__follows_the_forecasters_width_and_median() -> None:
    returns = walks(1_100, [0.01] * 10, common=0.01)
    width, median = np.full(10, 0.1), np.zeros(10)
    width[0], median[1] = 0.3, 0.02

    chances = joint.modelled(returns, 20, median, width, seed=1)

    ends = chances.fifths[:, 0] + chances.fifths[:, 4]
    assert ends.argmax() == 0 and ends[0] > ends[1:].max() + 0.1
    assert chances.up[1] == pytest.approx(0.5 + 0.2, abs=0.03)  # 0.02 above 0 where 0.1 is 2.56 deviations: normal(0.51) = 0.69
    assert chances.up[2:] == pytest.approx(np.full(8, 0.5), abs=0.02)
    assert np.array_equal(joint.modelled(returns, 20, median, width, seed=1).fifths, chances.fifths)


def test_season__a_symbol_that_jumps_every_63_sessions_is_expected_to_jump_when_the_next_is_due() -> None:
    returns = walks(63 * 12 + 100, [0.01] * 5)
    returns[-55::-63, 0] += 0.10  # 55 sessions ago and each quarter before: due again in 9 sessions
    returns[-20::-63, 1] += 0.10  # due in 44 sessions

    ratio = joint.season(returns, horizon=20)

    assert ratio[0] > 0.35 and ratio[1] < -0.2
    assert np.abs(ratio[2:]).max() < 0.1
    assert joint.season(returns[-100:], horizon=20).tolist() == [0] * 5  # one quarter tells nothing


def test_filled__a_newcomer_gets_the_markets_sessions_and_its_own_size() -> None:
    returns = walks(400, [0.01] * 6, common=0.02)
    returns[:300, 5] = np.nan

    whole = joint.filled(returns)

    assert np.isfinite(whole).all() and np.array_equal(whole[:, :5], returns[:, :5])
    assert np.array_equal(whole[300:, 5], returns[300:, 5])
    assert whole[:300, 5].std() == pytest.approx(whole[300:, 5].std(), rel=0.15)
    assert np.corrcoef(whole[:300, 5], returns[:300, :5].mean(axis=1))[0, 1] > 0.8


def test_chances__nothing_later_changes_them() -> None:
    returns = walks(1_200, [0.01, 0.02, 0.03, 0.01, 0.02, 0.015])
    width, median = np.linspace(0.1, 0.3, 6), np.zeros(6)

    then = joint.modelled(returns[:1_100], 20, median, width, seed=4)
    other = returns.copy()
    other[1_100:] *= 1_000
    now = joint.modelled(other[:1_100], 20, median, width, seed=4)

    assert np.array_equal(then.fifths, now.fifths) and np.array_equal(then.up, now.up)
