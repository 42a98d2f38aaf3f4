"""The gate against forecasters whose fault is known. Each planted fault must be refused by its own check, in a sentence."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecasting.inputs import make_inputs
from forecasting.judging.evaluation import evaluate, judged_rows
from forecasting.judging.gate import GateThresholds, _coverage, decide
from forecasting.metrics import LEVELS
from forecasting.panel import Panel
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


def decision_on_named(named: dict[str, np.ndarray]):
    return decide(evaluate(INPUTS, MASK, ROWS, named), GateThresholds(), weights=WEIGHTS, leaks=())


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


def test_decide__a_horizon_is_worse_only_beyond_the_luck_of_all_horizons_and_rivals():
    """Much better at one session; at five the rival's own forecast, that with an error a session, and one too wide."""
    best, day = answers(GOOD)[RIVALS[0]][:, 1], INPUTS.panel.at[ROWS]
    erring = np.exp(np.random.default_rng(1).normal(0, 0.1, day.max() + 1))[day][:, None]
    said = {}
    for name, at_five in (("the same", best), ("unlucky", best * erring), ("worse", best * 1.25)):
        challenger = np.stack([GOOD[:, 0], at_five], axis=1)
        evaluation = evaluate(INPUTS, MASK, ROWS, answers(challenger))
        decision = decide(evaluation, GateThresholds(), weights=WEIGHTS, leaks=())
        said[name] = evaluation.compare("lstm", RIVALS[0], 5).t, decision.checks[2].sentence
    assert said["the same"][0] == 0.0 and "worse than" not in said["the same"][1]
    assert said["unlucky"][0] == pytest.approx(-2.55, abs=0.01)  # one look would have called that worse; 16 looks do not
    assert stats.norm.ppf(0.05 / 16) == pytest.approx(-2.73, abs=0.01) and "worse than" not in said["unlucky"][1]
    assert said["worse"][0] < -10 and "worse than persistence at horizon 5" in said["worse"][1]


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


def test_decide__says_where_the_level_comes_from():
    text = {c.code: c for c in decision_on(UNIT * NORMAL * 1.3, trials=40).checks}["G03"].sentence
    assert "against 0.00063 (0.05 over 2 horizons and 40 trials)" in text  # 0.05 / 80


def test_decide__wants_an_optional_rival_beaten_too_where_it_was_fitted():
    strong = decision_on_named(answers(GOOD, garch=GOOD))
    assert verdicts(strong)["G03"] == "fail" and "not better than garch" in strong.sentence
    assert strong.serves == strong.best_rival == "garch"
    weak = decision_on_named(answers(GOOD, garch=UNIT * NORMAL * 1.2))
    assert weak.verdict == "promoted" and weak.best_rival == "garch" and weak.serves == "lstm"


def test_decide__does_not_ask_for_a_rank_correlation_or_a_direction():
    """They are information: a forecaster with the right widths and no idea of the direction may serve."""
    decision = decision_on(GOOD)
    assert decision.verdict == "promoted"
    assert not any(word in check.sentence for check in decision.checks for word in ("rank", "direction"))


def test_decide__judges_by_the_thresholds_that_were_fixed_before_the_training():
    """K13: a threshold that was moved after the training closes the gate, and so does a card without one."""
    thresholds = GateThresholds()
    kept = decision_on(GOOD, fixed=thresholds.digest)
    assert kept.verdict == "promoted" and verdicts(kept)["G10"] == "pass"
    moved = decision_on(GOOD, thresholds=GateThresholds(alpha=0.2), fixed=thresholds.digest)
    assert moved.verdict == "cannot_tell" and verdicts(moved)["G10"] == "cannot_tell"
    assert f"not those that were fixed when the model was trained ({GateThresholds(alpha=0.2).digest[:8]} now" in moved.sentence
    assert moved.thresholds_digest == GateThresholds(alpha=0.2).digest
    assert verdicts(decision_on(GOOD, fixed=""))["G10"] == "cannot_tell"
    assert "G10" not in verdicts(decision_on(GOOD))  # trained for this decision, no card


def test_coverage__the_middle_half_counts_too():
    """The median right, the tails right, and the quartiles half as far out as they should be."""
    narrow = GOOD.copy()
    narrow[..., np.isin(LEVELS, (0.25, 0.75))] *= 0.5
    check = {c.code: c for c in decision_on(narrow).checks}["G05"]
    assert check.verdict == "fail" and "the 50% interval" in check.sentence


def test_coverage__rarely_refuses_a_forecaster_that_is_right():
    """Ten alike symbols, 250 sessions: without the allowance for chance one span of four would be refused."""
    refused, beyond = 0, 0
    for seed in range(20):
        panel = alike(seed, symbols=10, sessions=300)
        inputs = make_inputs(panel, ("ret",), (1, 5, 20))
        mask = np.isfinite(inputs.targets.standardised) & (panel.at >= 30)[:, None]
        rows = judged_rows(mask)
        true = 0.01 * np.sqrt(np.array((1, 5, 20)))[None, :, None] * NORMAL * np.ones((len(rows), 1, 1))
        e = evaluate(inputs, mask, rows, {"lstm": true})
        refused += _coverage(e, GateThresholds(), "lstm").verdict == "fail"
        gaps = [abs(e.value("lstm", h, f"coverage_{p}") - p / 100) for h in (1, 5, 20) for p in (50, 80, 90)]
        beyond += max(gaps) > 0.05
    assert refused <= 1 and beyond >= 4


def test_coverage__beyond_the_limit_no_span_is_too_short():
    """One symbol over 60 sessions: twenty sessions ahead that is three outcomes, and chance alone would excuse anything."""
    panel = alike(3, symbols=1, sessions=110)
    inputs = make_inputs(panel, ("ret",), (20,))
    mask = np.isfinite(inputs.targets.standardised) & (panel.at >= 30)[:, None]
    rows = judged_rows(mask)
    point = np.full((len(rows), 1, len(LEVELS)), 0.3) + np.arange(len(LEVELS)) * 1e-6  # holds nothing at all
    check = _coverage(evaluate(inputs, mask, rows, {"lstm": point}), GateThresholds(), "lstm")
    assert check.verdict == "fail" and check.threshold <= 0.15


def alike(seed: int, symbols: int, sessions: int) -> Panel:
    """Walks that share four tenths of their variance, each of one percent a session."""
    draw = np.random.default_rng(seed)
    common = draw.normal(0, 0.01, sessions) * np.sqrt(0.4)
    frames = []
    for i in range(symbols):
        close = 50 * np.exp(np.cumsum(common + draw.normal(0, 0.01, sessions) * np.sqrt(0.6)))
        days = pd.bdate_range("2012-01-02", periods=sessions)
        prices = {name: close for name in ("open", "high", "low", "close")}
        frames.append(pd.DataFrame({"symbol": f"S{i:02d}", "session": days, **prices, "volume": 1e6}))
    return Panel.from_frames(pd.concat(frames))


def test_decide__has_no_evaluation_without_every_rival():
    named = answers(GOOD)
    del named["ridge"]
    evaluation = evaluate(INPUTS, MASK, ROWS, named)
    decision = decide(evaluation, GateThresholds(), weights=WEIGHTS, leaks=())
    assert verdicts(decision)["G03"] == "fail" and "ridge missing" in decision.sentence
