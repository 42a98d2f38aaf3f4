"""What tuning tries next, on which folds, and when it gives up; and that both samplers find what was planted."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from forecasting.errors import NotEnoughHistory, SettingError
from forecasting.lstm import LstmSpec
from forecasting.search_space import Inconsistent, space_of
from forecasting.tuning import Past, best_of, folds_of, hopeless, progress_of, propose, try_spec, with_base
from tests.forecasting.markets import walks

RATES = {"learning_rate": {"low": 1e-5, "high": 0.9, "log": True}}


def searched(space, sampler, trials, loss, seed=7) -> list[Past]:
    """A search of ``trials`` in which each is chosen after all before it ended."""
    past: list[Past] = []
    for number in range(1, trials + 1):
        changes = propose(space, sampler, seed, number, past)
        if changes is None:
            break
        past.append(Past(changes, "complete", loss(changes)))
    return past


# --- the space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"learning_rat": [0.1]}, r"tuning\.space\.learning_rat.*did you mean 'learning_rate'"),
        ({"learning_rate": 0.1}, r"tuning\.space\.learning_rate is 0\.1; expected a list of choices, or a range"),
        ({"learning_rate": [0.1, 0.1]}, r"choices that differ"),
        ({"learning_rate": {"low": 0.1}}, r"low and high"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, r"low below high"),
        ({"dropout": {"low": 0.0, "high": 0.5, "log": True}}, r"above 0 with log"),
        ({"dropout": [0.1, 1.5]}, r"tuning\.space\.dropout is 1\.5; expected input should be less than 1"),
        ({"seed": [1, 2, 3]}, r"a lucky seed is no better network"),
        ({"members": [1, 9]}, r"more are always better"),
        ({"variants": {"a": {"units": [8]}}, "units": [[4]]}, r"units either here or as a choice of its own"),
        ({}, r"at least one field"),
    ],
)
def test_space__says_what_is_wrong(values, says):
    with pytest.raises(SettingError, match=says):
        space_of(values)


def test_range__on_a_grid():
    space = space_of({
        "learning_rate": {"low": 0.001, "high": 1e-1, "log": True, "points": 3},
        "dropout": {"low": 0.0, "high": 0.5, "step": 0.25},
        "lookback": {"low": 20, "high": 60, "points": 3},
    })  # fmt: skip
    values = {name: sorted({point[name] for point in space.grid()}) for name in space.dimensions}
    assert values == {"learning_rate": [0.001, 0.01, 0.1], "dropout": [0.0, 0.25, 0.5], "lookback": [20, 40, 60]}
    assert len(space.grid()) == 27


def test_variants__are_several_architectures_in_one_comparison():
    space = space_of({
        "dropout": [0.1, 0.3],
        "variants": {
            "deep": {"units": [8, 8]},
            "windows": {"labels_per_sequence": 1, "bidirectional": True},
            "wrong": {"bidirectional": True},
        },
    })  # fmt: skip
    assert len(space.grid()) == 6
    deep = space.spec_of(LstmSpec(), {"variant": "deep", "dropout": 0.1})
    assert (deep.units, deep.dropout) == ((8, 8), 0.1)
    assert space.spec_of(LstmSpec(), {"variant": "windows", "dropout": 0.3}).bidirectional
    with pytest.raises(Inconsistent, match="bidirectional reads later sessions: it needs labels_per_sequence = 1"):
        space.spec_of(LstmSpec(), {"variant": "wrong", "dropout": 0.3})


def test_space__holds_the_base_specification_or_not():
    base, trial = LstmSpec(dropout=0.3), {0: Past({}, "complete", 0.99)}
    assert with_base(trial, space_of({"dropout": [0.1, 0.3]}), base)[0].changes == {"dropout": 0.3}
    assert with_base(trial, space_of({"dropout": [0.1, 0.2]}), base) == []


# --- the samplers ------------------------------------------------------------------------------------------------------


def test_grid__deals_out_every_combination_once_and_then_ends():
    space = space_of({"units": [[4], [8], [4, 4]], "dropout": [0.1, 0.3]})
    first, again, other = (searched(space, "grid", 20, lambda changes: 1.0, seed) for seed in (7, 7, 8))
    assert [trial.changes for trial in first] == [trial.changes for trial in again]
    assert [trial.changes for trial in first] != [trial.changes for trial in other]
    assert sorted(map(str, (trial.changes for trial in first))) == sorted(map(str, space.grid()))


def test_tpe__finds_a_planted_minimum_and_says_the_same_every_time():
    """Best at a rate of 0.01 with two layers; eight random draws, then it learns."""
    space = space_of(RATES | {"units": [[4], [8], [4, 4]]})

    def loss(changes):
        return (math.log10(changes["learning_rate"]) + 2) ** 2 + (changes["units"] != [4, 4])

    found, again = searched(space, "tpe", 40, loss), searched(space, "tpe", 40, loss)
    assert found == again
    best = min(found, key=lambda trial: trial.loss)
    assert best.changes["units"] == [4, 4] and 0.008 < best.changes["learning_rate"] < 0.0125


def test_tpe__ends_when_a_finite_space_is_used_up_and_repeats_nothing():
    space = space_of({"units": [[4], [8]], "dropout": {"low": 0.0, "high": 0.4, "step": 0.1}})
    found = searched(space, "tpe", 50, lambda changes: changes["dropout"])
    assert len(found) == 10 == len({str(trial.changes) for trial in found})


def test_tpe__stays_away_from_what_failed_was_given_up_or_is_under_way():
    """Ten trials say that low rates are best; the ones at 0.0001 that ended badly are not asked for again."""
    space = space_of(RATES | {"bidirectional": [False, True]})
    rates = [10 ** (-0.4 * i - 0.2) for i in range(10)]
    past = [Past({"learning_rate": float(f"{r:.3g}"), "bidirectional": False}, "complete", r) for r in rates]
    impossible = [Past({"learning_rate": r, "bidirectional": True}, "pruned") for r in (0.1, 0.01, 0.001, 1e-4, 2e-5)]
    running = [{"learning_rate": 3e-5, "bidirectional": False}]
    asked = [propose(space, "tpe", seed, 16, past + impossible, running) for seed in range(12)]
    assert sum(changes["bidirectional"] for changes in asked) <= 3
    assert np.median([changes["learning_rate"] for changes in asked]) < 0.001


def test_samplers__find_the_planted_best_learning_rate_of_a_network():
    """Sixty percent of each move is repeated; thirty updates of plain gradient descent learn that near a rate of 0.07 only."""
    panel = walks(3, 4, 500, 0.6)
    spec = LstmSpec(
        features=("ret",), horizons=(1,), lookback=3, labels_per_sequence=60, stem_units=0, units=(3,), head_units=0,
        dropout=0.0, members=1, epochs=1, min_updates=30, batch_size=16, patience=20, learning_rate=1e-4, linear_share=0.0,
    )  # fmt: skip
    folds = folds_of(panel.sessions, panel.sessions[-1].astype(object), 150, 1, spec)
    space = space_of({"learning_rate": {"low": 1e-4, "high": 0.9, "log": True, "points": 5}})
    tried: dict[float, float] = {}

    def loss(changes):
        rate = changes["learning_rate"]
        if rate not in tried:
            tried[rate] = try_spec(space.spec_of(spec, changes), panel, None, folds)[0]
        return tried[rate]

    grid, tpe = searched(space, "grid", 5, loss), searched(space, "tpe", 10, loss)
    rate = {name: min(past, key=lambda trial: trial.loss).changes["learning_rate"] for name, past in (("g", grid), ("t", tpe))}
    print({rate: round(loss, 4) for rate, loss in sorted(tried.items())}, rate)
    assert rate["g"] == 0.0924
    assert 0.02 < rate["t"] < 0.5
    assert min(trial.loss for trial in tpe) < min(trial.loss for trial in grid) + 0.005 < 0.95 < loss({"learning_rate": 1e-4})


# --- folds and curves --------------------------------------------------------------------------------------------------


def test_folds__follow_one_another_and_end_where_validation_ends():
    panel, spec = walks(1, 1, 1_000), LstmSpec(lookback=60)
    day = panel.sessions.astype("datetime64[D]").astype(object)
    folds = folds_of(panel.sessions, day[899], 250, 3, spec)
    assert [(fold.train_end, fold.valid_end) for fold in folds] == [
        (day[149], day[399]),
        (day[399], day[649]),
        (day[649], day[899]),
    ][1:]  # the first would learn from 150 sessions, fewer than it is validated on
    assert folds_of(panel.sessions, day[899], 100, 2, spec)[0].train_end == day[699]
    with pytest.raises(NotEnoughHistory, match="100 clean sessions"):
        folds_of(panel.sessions[:100], date(2030, 1, 1), 250, 3, spec)


def test_median_rule__says_what_optunas_pruner_says():
    """One fold, six completed trials, a seventh that is looked at: the same verdict at every look."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = np.random.default_rng(5)
    verdicts = []
    for _ in range(40):
        curves = [[np.minimum.accumulate(draw.normal(1, 0.05, 8)).tolist()] for _ in range(6)]
        mine = np.minimum.accumulate(draw.normal(1, 0.05, 8)).tolist()
        study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3))
        for curve in curves:
            study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values=dict(enumerate(progress_of(curve)))))
        for look in range(8):
            trial = optuna.trial.create_trial(value=1.0, intermediate_values=dict(enumerate(mine[: look + 1])))
            theirs = study.pruner.prune(study, trial)
            assert theirs == (hopeless([mine[: look + 1]], curves) is not None)
            verdicts.append(theirs)
    assert 60 < sum(verdicts) < 140


def test_median_rule__waits_for_company_and_for_the_first_looks():
    good = [[1.0, 0.9, 0.8, 0.7, 0.6]]
    assert hopeless([[1.0, 0.99, 0.99, 0.99]], [good] * 3) is None
    assert hopeless([[1.0, 0.99, 0.99]], [good] * 4) is None
    assert hopeless([[1.0, 0.99, 0.99, 0.99]], [good] * 4) == (
        "0.9900 of the first loss at look 3 of fold 1, the median of 4 trials is 0.7000"
    )
    assert hopeless([[1.0, 0.5], [1.0, 0.99, 0.99, 0.8]], [[*good, [1.0, 1.0, 0.9, 0.9]]] * 4) is None  # 0.65 against 0.75


def test_best__is_the_first_of_the_completed_with_the_lowest_loss():
    past = {0: Past({}, "complete", 0.99), 1: Past({}, "pruned"), 2: Past({}, "complete", 0.98), 3: Past({}, "complete", 0.98)}
    assert best_of(past) == 2
    assert best_of({1: Past({}, "failed")}) is None
