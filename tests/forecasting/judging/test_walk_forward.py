"""Walking forward: folds that tile the test span, answers that join to the rows of one split, nothing seen too early."""

from datetime import date

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.judging.backtest import How, full_backtest
from forecasting.judging.gate import GateThresholds
from forecasting.judging.judgement import ask, judge, judged
from forecasting.judging.walk_forward import ask_fold, by_fold, folds, joined
from forecasting.lstm import LstmSpec
from forecasting.models import fit_model
from forecasting.splits import Spans, label_masks
from forecasting.targets import make_targets
from tests.forecasting.markets import walks

PANEL = walks(11, 6, 500)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[250], DAYS[330], DAYS[499], embargo=3)
SPEC = LstmSpec(
    features=("ret", "range"), units=(4,), stem_units=0, head_units=4, lookback=20, labels_per_sequence=40, epochs=1,
    min_updates=4, batch_size=8, members=1, horizons=(1, 5),
)  # fmt: skip


def test_folds__tile_the_test_span_and_move_the_rest_along():
    made = folds(PANEL.sessions, SPANS, 50)
    place = {day: i for i, day in enumerate(DAYS)}
    assert [(place[f.train_end], place[f.valid_end], place[f.test_end]) for f in made] == [
        (250, 330, 380), (300, 380, 430), (350, 430, 499),  # 19 sessions are too few for a fold of their own
    ]  # fmt: skip
    assert {f.embargo for f in made} == {3} and {f.train_begin for f in made} == {None}
    assert [place[f.test_end] for f in folds(PANEL.sessions, SPANS, 48)] == [378, 426, 474, 499]


def test_folds__rolling_keep_the_length_of_the_training_span():
    made = folds(PANEL.sessions, SPANS, 50, train_sessions=200)
    learn = [(f.train_begin, f.train_end) for f in made]
    assert learn == [(DAYS[51], DAYS[250]), (DAYS[101], DAYS[300]), (DAYS[151], DAYS[350])]
    masks = label_masks(PANEL, make_targets(PANEL, (1, 5)), made[1])
    learnt = np.unique(PANEL.at[masks["train"].any(axis=1)])
    assert (learnt.min(), learnt.max()) == (101, 296)  # origins 101..300 less the horizon of 1 and the embargo of 3


@pytest.mark.parametrize("every", [7, 50, 400])
def test_folds__no_label_of_a_span_comes_within_the_embargo_of_the_next(every):
    """K8 and K9, for each fold."""
    targets = make_targets(PANEL, (1, 5, 20))
    for fold in folds(PANEL.sessions, SPANS, every):
        masks = label_masks(PANEL, targets, fold)
        for earlier, later in (("train", "valid"), ("valid", "test")):
            last = targets.settles_at[masks[earlier]].max()
            assert last + fold.embargo < PANEL.at[masks[later].any(axis=1)].min()


def test_folds__say_what_is_wrong_with_the_dates():
    with pytest.raises(InputError, match="move the dates into what the prices cover"):
        folds(PANEL.sessions, Spans(date(2030, 1, 1), date(2031, 1, 1), date(2032, 1, 1)), 50)
    with pytest.raises(InputError, match="give 1 or more"):
        folds(PANEL.sessions, SPANS, 0)


@pytest.fixture(scope="module")
def fitted():
    return fit_model(SPEC, PANEL, None, SPANS)


def test_joined__answers_of_one_model_are_those_of_one_split(fitted):
    """The same rows, the same losses, bit by bit: outcomes that settle in the next fold are not lost."""
    made = folds(PANEL.sessions, SPANS, 50)
    together = joined([ask_fold(fitted, PANEL, None, fold, SPANS.test_end) for fold in made])
    whole = ask(fitted, PANEL, None, SPANS)
    assert (together.rows == whole.rows).all() and (together.mask == whole.mask).all()
    one, two = judged(together, more=(by_fold(PANEL, made),)).evaluation, judge(fitted, PANEL, None, SPANS)
    assert (one.losses["lstm"][5] == two.losses["lstm"][5]).all()
    assert one.table.equals(two.table)
    folded = one.slices[(one.slices.kind == "fold") & (one.slices.metric == "pinball") & (one.slices.horizon == 5)]
    assert folded[folded.forecaster == "lstm"]["n_sessions"].tolist() == [50, 50, 64]  # 499 - 330, less five


@pytest.fixture(scope="module")
def walked():
    how = How(retrain_every=90, train_sessions=220, trials=4, sectors={"S00": "Energy"})
    return full_backtest(PANEL, None, SPEC, SPANS, GateThresholds(), how)


def test_full_backtest__trains_a_model_a_fold_on_what_was_known_by_then(walked):
    cards = [f.card["spans"] for f in walked.fitted]
    assert [(c["train_end"], c["valid_end"]) for c in cards] == [
        (str(DAYS[250]), str(DAYS[330])), (str(DAYS[340]), str(DAYS[420])),
    ]  # fmt: skip
    late = fit_model(SPEC, PANEL.until(DAYS[420]), None, folds(PANEL.sessions, SPANS, 90, 220)[1])
    assert all((late.arrays[key] == walked.fitted[1].arrays[key]).all() for key in late.arrays)


def test_full_backtest__reports_the_whole_and_every_cut(walked):
    report = walked.report
    one = report["horizons"][0]
    assert len(report["folds"]) == 2 and report["trials"] == 4
    assert one["sessions"] == 168 and list(one["by_fold"]) == [str(DAYS[330]), str(DAYS[420])]
    assert list(one["by_year"]) == ["2013"] and set(one["by_sector"]) == {"Energy", "unknown"}
    assert set(one["by_regime"]) <= {"low", "middle", "high"} and len(one["by_symbol"]) == 6
    assert set(one["coverage"]) == {"50", "80", "90"} and list(one["below"]) == ["05", "10", "25", "50", "75", "90", "95"]
    wide = [h["coverage_error"]["80"] for h in report["horizons"]]
    assert 0 < wide[0] < wide[-1] < 0.2  # outcomes that overlap say less
    assert one["by_year"]["2013"]["skill"] == pytest.approx(one["skill"]["ewma"])
    p = [h["p"]["ewma"] for h in report["horizons"]]
    assert [h["p_corrected"]["ewma"] for h in report["horizons"]] == pytest.approx(
        [min(1, 4 * max(2 * min(p), x)) if x == max(p) else min(1, 4 * 2 * x) for x in p]
    )
    assert report["portfolio"]["about"].endswith("information, not a gate") and report["portfolio"]["horizon"] == 5
    assert "lstm" in report["portfolio"]["forecasters"]
    assert [s["name"] for s in report["stages"]] == ["train", "audit", "evaluate", "gate"]
