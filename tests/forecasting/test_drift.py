"""The watch over a serving model: quiet while nothing happens, clear when something did, silent on too little data."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.drift import (
    BINS,
    BLOCK,
    DriftThresholds,
    fit_population,
    stability,
    watch_coverage,
    watch_population,
    watch_skill,
)

T = DriftThresholds()
SYMBOLS, SESSIONS = 5, 900


def market(seed: int, sessions: int = SESSIONS, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three features of five symbols: one drawn anew each session, one that all share and that moves slowly, one yes or no."""
    draw = np.random.default_rng(seed)
    own = draw.normal(0, size, (SYMBOLS, sessions))
    slow = np.zeros(sessions)
    for t in range(1, sessions):
        slow[t] = 0.98 * slow[t - 1] + draw.normal(0, 0.2 * size)
    seldom = (draw.random((SYMBOLS, sessions)) < 0.05).astype(float)
    values = np.stack([own, np.broadcast_to(slow, own.shape), seldom], axis=-1).reshape(-1, 3).astype(np.float32)
    return values, np.tile(np.arange(sessions), SYMBOLS)


NAMES = ("own", "slow", "seldom")


def test_stability__by_hand():
    """(30, 10) rows against (10, 30), half a row added to each: twice (30.5 - 10.5) / 41 x log(30.5 / 10.5)."""
    expected = 2 * (20 / 41) * np.log(30.5 / 10.5)
    assert stability(np.array([30.0, 10.0]), np.array([10.0, 30.0])) == pytest.approx(expected)
    assert stability(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0


def test_fit_population__counts_every_training_row_and_no_other():
    values, at = market(1)
    values[7, 0] = np.nan
    train = at < 700
    arrays = fit_population(values, at, train)
    assert arrays["population/counts"].sum(axis=1).tolist() == [3500.0] * 3
    assert arrays["population/counts"][0, BINS] == 1.0  # the undefined one
    own = values[train & np.isfinite(values[:, 0]), 0]
    assert arrays["population/edges"][0] == pytest.approx(np.quantile(own, np.arange(1, 10) / 10), abs=1e-6)
    assert all(np.isfinite(array).all() for array in arrays.values())
    late = values.copy()
    late[~train] = 1e6
    again = fit_population(late, at, train)
    assert all((arrays[name] == again[name]).all() for name in arrays)


def test_fit_population__usual_is_the_worst_block_against_the_rest():
    """The same from plain loops over blocks of 60 sessions that begin every 20."""
    values, at = market(2, 300)
    arrays = fit_population(values, at, np.ones(len(at), dtype=bool))
    edges, worst = arrays["population/edges"][1], 0.0
    bins = np.searchsorted(edges, values[:, 1], side="right")
    for begin in range(0, 300 - BLOCK + 1, 20):
        block = (at >= begin) & (at < begin + BLOCK)
        counts = [np.bincount(bins[rows], minlength=BINS + 1) for rows in (block, ~block)]
        worst = max(worst, stability(*counts))
    assert arrays["population/usual"][1] == pytest.approx(worst, rel=1e-6)


def test_watch_population__is_quiet_in_the_same_market_although_a_slow_feature_never_looks_the_same():
    values, at = market(3)
    arrays = fit_population(values, at, at < 800)
    found = watch_population(arrays, NAMES, values[at >= SESSIONS - BLOCK], BLOCK, T)
    assert [w.what for w in found] == [*NAMES, "features"]
    assert found[1].value > 0.25 or found[1].threshold > 0.25  # the customary bound alone would cry wolf
    assert [w.verdict for w in found] == ["steady"] * 4 and found[-1].action == "none"


def test_watch_population__of_another_world_asks_for_a_training_and_names_the_features():
    values, at = market(4)
    arrays = fit_population(values, at, at < 800)
    strange, later = market(5, BLOCK, size=5.0)
    strange[later >= 0, 2] = np.nan
    found = watch_population(arrays, NAMES, strange, BLOCK, T)
    assert {w.what: w.verdict for w in found}["own"] == "drifted" == found[2].verdict
    assert (found[-1].verdict, found[-1].action) == ("drifted", "retrain")
    assert "of 3 are further" in found[-1].sentence and "own" in found[-1].sentence


@pytest.mark.parametrize(
    ("arrays", "sessions", "why"),
    [({}, BLOCK, "before populations were kept"), ("short", BLOCK, "fewer than"), ("long", BLOCK - 1, "59 sessions")],
)
def test_watch_population__cannot_tell_on_too_little(arrays, sessions, why):
    if arrays:
        values, at = market(6, 120 if arrays == "short" else 400)
        arrays = fit_population(values, at, np.ones(len(at), dtype=bool))
    (one,) = watch_population(arrays, NAMES, np.zeros((10, 3), np.float32), sessions, T)
    assert (one.verdict, one.action) == ("cannot_tell", "none") and why in one.sentence


def losses(seed: int, sessions: int, **edge: float) -> dict[str, np.ndarray]:
    """Pinball losses of about 0.01 that all share, each forecaster with noise of its own and an edge in percent."""
    draw = np.random.default_rng(seed)
    shared = 0.01 * np.exp(draw.normal(0, 0.5, sessions))
    return {name: shared * (1 - e / 100 + draw.normal(0, 0.02, sessions)) for name, e in edge.items()}


def test_watch_skill__a_rival_that_is_better_beyond_luck_takes_over_and_the_best_one_does():
    found = watch_skill({1: losses(1, 120, lstm=0, ewma=3, har=5, drift=-10)}, "lstm", {1: 0.02}, "ewma", T)
    acted = [w for w in found if w.action != "none"]
    assert {w.action for w in acted if w.what.startswith("vs")} == {"fall_back"}
    assert [w.rival for w in acted if w.action == "fall_back"] == ["har"]
    assert "har is better beyond luck" in acted[0].sentence


def test_watch_skill__keeps_who_is_worse_at_one_horizon_and_better_on_the_whole():
    by = {1: losses(2, 120, lstm=0, ewma=3), 5: losses(3, 120, lstm=10, ewma=0)}
    found = watch_skill(by, "lstm", {}, "ewma", T)
    assert [w.verdict for w in found] == ["drifted", "steady"] and {w.action for w in found} == {"none"}


def test_watch_skill__lost_half_of_what_was_promised_asks_for_a_training():
    by = {1: losses(4, 200, lstm=0.2, ewma=0)}
    found = {w.what: w for w in watch_skill(by, "lstm", {1: 0.04}, "ewma", T)}
    assert found["promised"].action == "retrain" and found["promised"].threshold == pytest.approx(0.02)
    assert found["vs ewma"].verdict == "steady"
    kept = {w.what: w for w in watch_skill(by, "lstm", {1: 0.004}, "ewma", T)}
    assert kept["promised"].verdict == "steady"


def test_watch_skill__cannot_tell_before_forty_sessions_or_ten_horizons():
    by = {1: losses(5, 39, lstm=0, ewma=50), 20: losses(6, 199, lstm=0, ewma=50), 5: losses(7, 50, lstm=0, ewma=50)}
    found = {w.horizon: w for w in watch_skill(by, "lstm", {}, "ewma", T)}
    assert {h: w.verdict for h, w in found.items()} == {1: "cannot_tell", 20: "cannot_tell", 5: "drifted"}
    assert "39 served sessions have settled and 40 are needed" in found[1].sentence
    nothing = watch_skill({1: {"lstm": np.empty(0)}}, "lstm", {}, "ewma", T)
    assert [w.verdict for w in nothing] == ["cannot_tell"]


def test_watch_skill__equal_forecasters_are_left_alone():
    """200 markets in which nobody is better: at a level of 0.001 an alarm in one of them would be luck, three a fault."""
    alarms = 0
    for seed in range(200):
        found = watch_skill({1: losses(seed, 100, lstm=0, ewma=0, har=0)}, "lstm", {}, "ewma", T)
        alarms += any(w.action != "none" for w in found)
    print(f"false alarms: {alarms} of 200")
    assert alarms <= 2


@pytest.mark.parametrize(("share", "verdict"), [(0.80, "steady"), (0.77, "steady"), (0.60, "drifted"), (0.97, "drifted")])
def test_watch_coverage__off_by_more_than_the_band_beyond_luck(share, verdict):
    draw = np.random.default_rng(8)
    series = {"coverage_80": draw.binomial(20, share, 150) / 20, "coverage_90": draw.binomial(20, 0.9, 150) / 20}
    found = {w.what: w for w in watch_coverage({1: series}, "lstm", T)}
    assert found["coverage_80"].verdict == verdict and found["coverage_90"].verdict == "steady"
    assert found["coverage_80"].action == ("retrain" if verdict == "drifted" else "none")
