"""The whole path on markets where the truth is known: nothing to find in a random walk, something in a planted signal."""

from forecasting.backtest import backtest
from forecasting.gate import GateThresholds
from forecasting.lstm import LstmSpec
from forecasting.panel import Panel
from forecasting.splits import default_spans
from sources.synthetic import SyntheticMarket

SPEC = LstmSpec(members=1, min_updates=80, lookback=20, labels_per_sequence=60, units=(12,))


def decide_on(**market):
    drawn = SyntheticMarket(**market).drawn
    panel = Panel.from_frames(drawn.bars, drawn.actions)
    spans = default_spans(panel.sessions, panel.sessions[-1].astype(object), 250, 250, SPEC.lookback)
    return backtest(panel, None, SPEC, spans, GateThresholds())[3]


def test_gate__promotes_at_most_two_of_forty_random_walks():
    decisions = [decide_on(seed=seed, kind="random_walk", symbols=6, sessions=900) for seed in range(40)]
    promoted = [seed for seed, decision in enumerate(decisions) if decision.verdict == "promoted"]
    assert len(promoted) <= 2, [decisions[seed].sentence for seed in promoted]
    assert all(decision.serves != "lstm" for seed, decision in enumerate(decisions) if seed not in promoted)


def test_gate__promotes_on_a_planted_signal():
    decision = decide_on(seed=0, kind="market", symbols=20, sessions=1500, signal=0.25)
    assert decision.verdict == "promoted", decision.sentence
    assert all(check.verdict == "pass" for check in decision.checks)
