"""Markets where the truth is known really are what they say, faults are what they are called, and the bars are held."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.audit.controls import Answer, cases, tally
from forecasting.audit.known_markets import FAULTS, ar1_market, broken
from forecasting.inputs import make_inputs
from forecasting.metrics import LEVELS
from forecasting.targets import log_returns


def autocorrelations(strength: float) -> np.ndarray:
    """Of the returns at lags 1 to 3, the mean over ten symbols and 1,500 sessions."""
    panel = ar1_market(0, strength)
    moves = [log_returns(panel)[a + 1 : b] for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True)]
    return np.mean([[np.corrcoef(m[lag:], m[:-lag])[0, 1] for lag in (1, 2, 3)] for m in moves], axis=0)


@pytest.mark.parametrize(("strength", "expected"), [(0.0, (0, 0, 0)), (0.1, (0.1, 0.01, 0)), (0.3, (0.3, 0.09, 0.027))])
def test_ar1_market__repeats_what_it_says_of_a_move_and_no_more(strength: float, expected: tuple) -> None:
    assert autocorrelations(strength) == pytest.approx(expected, abs=0.02)  # 2.5 standard errors of 15,000 moves


def test_ar1_market__has_possible_bars_and_no_memory_in_its_volatility() -> None:
    panel = ar1_market(3, 0.3)
    assert panel.rows == 15_000 and len(panel.sessions) == 1_500
    assert (panel.low <= np.minimum(panel.open, panel.close)).all() and (
        panel.high >= np.maximum(panel.open, panel.close)
    ).all()
    walk = ar1_market(3)
    sizes = [np.abs(log_returns(walk)[a + 1 : b]) for a, b in zip(walk.starts[:-1], walk.starts[1:], strict=True)]
    assert abs(np.mean([np.corrcoef(s[1:], s[:-1])[0, 1] for s in sizes])) < 0.02


def test_ar1_market__is_the_same_to_the_bit_and_another_for_another_seed() -> None:
    one, two, other = ar1_market(5, 0.2), ar1_market(5, 0.2), ar1_market(6, 0.2)
    assert (one.close == two.close).all() and (one.close != other.close).all()
    assert (ar1_market(5, 0.2, symbols=4).close == one.close[: 4 * 1_500]).all()  # company changes nobody


def test_faults__are_what_they_are_called() -> None:
    panel = ar1_market(1, symbols=2, sessions=60)
    inputs = make_inputs(panel, ("ret",), (1, 5))
    rows = np.array([30, 31, 32, 90])
    unit, last = inputs.targets.unit[rows], log_returns(panel)[rows]
    good = (LEVELS - 0.4) * unit[..., None] * np.array([1.0, 2.0, 3.0, 4.0])[:, None, None]
    said = {fault: broken(fault, good, inputs, rows) for fault in FAULTS}
    assert said["echo"][:, 1, 3] == pytest.approx(last)
    assert said["constant"] / unit[..., None] == pytest.approx(np.broadcast_to((LEVELS - 0.4) * 2.5, (4, 2, 7)))
    assert (said["same returns"] == said["same returns"][:1]).all()
    assert said["sign flipped"][:, :, 3] == pytest.approx(-good[:, :, 3]) and (np.diff(said["sign flipped"]) > 0).all()
    assert said["times 100"] == pytest.approx(100 * good)
    assert sorted(said["shuffled"][:, 0, 0]) == pytest.approx(sorted(good[:, 0, 0]))
    assert (said["one session late"][1:] == good[:-1]).all()
    assert np.ptp(said["too narrow"], axis=-1) == pytest.approx(0.5 * np.ptp(good, axis=-1))
    assert np.isnan(said["not a number"]).sum() == 1


def answered(control: str, strength: float | None, right: int, of: int) -> list[Answer]:
    return [Answer(control, str(i), strength, "", "promoted", i < right, None, "") for i in range(of)]


@pytest.mark.parametrize(
    ("control", "strength", "right", "of", "met"),
    [
        ("random_walk", None, 190, 200, True), ("random_walk", None, 189, 200, False), ("random_walk", None, 7, 8, True),
        ("ar1", 0.3, 38, 40, True), ("ar1", 0.3, 37, 40, False), ("ar1", 0.1, 0, 40, None),
        ("broken", None, 27, 27, True), ("broken", None, 26, 27, False), ("leak", None, 24, 25, False),
    ],
)  # fmt: skip
def test_tally__five_of_a_hundred_may_be_luck_and_no_broken_model_may_pass(control, strength, right, of, met) -> None:
    (one,) = tally(answered(control, strength, right, of))
    assert (one.cases, one.right, one.met) == (of, right, met)


def test_cases__at_full_size_are_two_hundred_walks_and_no_name_comes_twice() -> None:
    full = cases("full")
    assert sum(case.control == "random_walk" and case.network == "quick" for case in full) == 200
    assert sum(case.control == "ar1" and case.strength == 0.3 and case.network == "quick" for case in full) == 40
    assert len({(case.control, case.name) for case in full}) == len(full)
    assert {case.control for case in cases("small")} == {case.control for case in full}
