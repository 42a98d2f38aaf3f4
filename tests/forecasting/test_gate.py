"""The gate against forecasters whose fault is known. Each planted fault must be refused by its own check, in a sentence."""

import numpy as np
import pytest
from scipy import stats

from forecasting.evaluation import evaluate, judged_rows
from forecasting.gate import GateThresholds, decide
from forecasting.inputs import make_inputs
from forecasting.metrics import LEVELS
from forecasting.rivals import RIVALS
from forecasting.targets import log_returns
from tests.forecasting.markets import walks

NORMAL = stats.norm.ppf(LEVELS)
WEIGHTS = {"w": np.ones(3, np.float32)}
INPUTS = make_inputs(walks(21, 8, 500), ("ret",), (1, 5))
MASK = np.isfinite(INPUTS.targets.standardised) & (INPUTS.panel.at >= 150)[:, None]
ROWS = judged_rows(MASK)
UNIT = INPUTS.targets.unit[ROWS][..., None]
TRUE = 0.01 * np.sqrt(np.array((1, 5)))[None, :, None] * np.ones_like(UNIT)  # the walks move by one percent a session
LAST_MOVE = log_returns(INPUTS.panel)[ROWS][:, None, None]
GOOD = UNIT * 0.02 * NORMAL + TRUE * 0.98 * NORMAL  # knows the scale better than any rival


def answers(challenger: np.ndarray, **others: np.ndarray) -> dict[str, np.ndarray]:
    rivals = {name: UNIT * NORMAL * (1.3 + 0.1 * i) for i, name in enumerate(RIVALS)}
    return {"lstm": challenger, **rivals, **others}


def decision_on(challenger: np.ndarray, champion: np.ndarray | None = None, thresholds=None, **arguments):
    named = answers(challenger) if champion is None else answers(challenger, champion=champion)
    evaluation = evaluate(INPUTS, MASK, ROWS, named)
    arguments = {"weights": WEIGHTS, "leaks": ()} | arguments
    return decide(evaluation, thresholds or GateThresholds(), "champion" if champion is not None else None, **arguments)


def verdicts(decision) -> dict[str, str]:
    return {check.code: check.verdict for check in decision.checks}


def test_decide__opens_for_a_forecaster_that_is_better_than_every_rival():
    decision = decision_on(GOOD)
    assert decision.verdict == "promoted" and decision.serves == "lstm"
    assert set(verdicts(decision).values()) == {"pass"}
    assert "below that of the best rival, persistence" in decision.why


@pytest.mark.parametrize(
    ("fault", "challenger", "code"),
    [
        ("no better than a rival", UNIT * NORMAL * 1.3, "G03"),
        ("sign flipped and shifted", GOOD - 0.01, "G03"),
        ("intervals half as wide as they should be", GOOD * 0.5, "G05"),
        ("intervals twice as wide", GOOD * 2, "G05"),
        ("says the last move again", GOOD + LAST_MOVE, "G06"),
        ("says the last move with the sign turned", GOOD - LAST_MOVE, "G06"),
        ("the same standardised forecast for ever", UNIT * NORMAL, "G07"),
        ("a hundred times too large", GOOD * 100, "G08"),
        ("one forecast that is no number", np.where(np.arange(len(ROWS))[:, None, None] == 5, np.nan, GOOD), "G01"),
    ],
)
def test_decide__refuses(fault, challenger, code):
    decision = decision_on(challenger)
    assert verdicts(decision)[code] == "fail", fault
    assert decision.verdict == "refused" and decision.serves == "persistence"
    assert all(check.sentence.startswith(check.code) and check.sentence == check.sentence.strip() for check in decision.checks)


def test_decide__refuses_weights_that_are_no_numbers_and_leaks():
    assert verdicts(decision_on(GOOD, weights={"w": np.array([1.0, np.nan])}))["G01"] == "fail"
    leaky = decision_on(GOOD, leaks=("K1 ret at S00 2012-03-05: changes when the data ends there (4 cells)",))
    assert verdicts(leaky)["G09"] == "fail" and "K1 ret" in leaky.sentence


def test_decide__stays_closed_when_it_cannot_tell():
    unaudited = decision_on(GOOD, leaks=None)
    assert verdicts(unaudited)["G09"] == "cannot_tell" and unaudited.verdict == "cannot_tell"
    short = decision_on(GOOD, thresholds=GateThresholds(min_sessions=1000))
    assert verdicts(short)["G02"] == "cannot_tell"
    assert short.serves == "persistence" and "too few judged sessions: 345 of the 1000 needed" in short.sentence


def test_decide__keeps_the_champion_unless_the_challenger_is_better_than_it_too():
    equal = decision_on(GOOD, champion=GOOD)
    assert equal.verdict == "refused" and equal.serves == "champion" and verdicts(equal)["G04"] == "fail"
    weak = decision_on(GOOD, champion=UNIT * NORMAL * 1.2)
    assert weak.verdict == "promoted"
    fallen = decision_on(GOOD * 0.5, champion=UNIT * NORMAL * 3)
    assert fallen.serves == "persistence"  # neither may serve


def test_decide__asks_for_more_after_more_trials():
    """Better in some sessions and worse in others: convincing once, but not as the best of a million."""
    lucky = np.random.default_rng(1).random(500) < 0.8
    wavering = np.where(lucky[INPUTS.panel.at[ROWS]][:, None, None], GOOD, UNIT * NORMAL * 1.7)
    one, many = decision_on(wavering), decision_on(wavering, trials=1_000_000)
    rivals = [{c.code: c for c in decision.checks}["G03"] for decision in (one, many)]
    assert [c.threshold for c in rivals] == [0.05 / 2, 0.05 / 2_000_000]  # two horizons
    assert [c.verdict for c in rivals] == ["pass", "fail"]


def test_decide__has_no_evaluation_without_every_rival():
    named = answers(GOOD)
    del named["ridge"]
    evaluation = evaluate(INPUTS, MASK, ROWS, named)
    decision = decide(evaluation, GateThresholds(), weights=WEIGHTS, leaks=())
    assert verdicts(decision)["G03"] == "fail" and "ridge missing" in decision.sentence
