"""What the product says of markets where the truth is known: the cases, and how one is tried.

    random_walk      nothing can be found: a promotion is a false alarm
    ar1              a planted signal of some strength: it must be found
    broken           a good model with one fault (an echo, a constant, ...): the gate must refuse it
    leak             a feature, a fitted number or a split that has seen the future: the audit must name it
    honest           the same kind of thing without a leak: the audit must let it pass

Markets go the way of the product: ``fit_model``, ``audit_model``, ``judge``, ``decide``, spans as the settings have them.
Only the network is smaller (QUICK); some cases are tried with the default specification as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forecasting.audit.known_markets import FAULTS, ar1_market, broken
from forecasting.audit.planted_leaks import HONEST, LEAKS, caught
from forecasting.audit.training import audit_model
from forecasting.judging.backtest import judge
from forecasting.judging.evaluation import Evaluation, evaluate
from forecasting.judging.gate import Decision, GateThresholds, decide
from forecasting.judging.judgement import ask
from forecasting.lstm.network import LstmSpec
from forecasting.models import Fitted, fit_model
from forecasting.splits import Spans, default_spans

Size = Literal["small", "full"]
NETWORKS = ("quick", "default")

#: Trains in two seconds on a market of the controls; everything else is as in the default specification.
QUICK = LstmSpec(
    members=2, units=(12,), stem_units=16, head_units=16, lookback=20, labels_per_sequence=60, dropout=0.1,
    learning_rate=3e-3, min_updates=150,
)  # fmt: skip

#: Rivals that learn from the features: where one of them serves, the product may have found what there is to find.
LEARNERS = ("ridge", "linear_quantile")
NOTHING = "nothing found"


@dataclass(frozen=True)
class Case:
    """One thing to try. ``strength``: of the planted signal, None where there is none. ``network``: one of NETWORKS."""

    control: str
    name: str
    seed: int = 0
    strength: float | None = None
    network: str = "quick"


@dataclass(frozen=True)
class Answer:
    """What the product said of a case, and whether that was right; ``code``: the check or property that decided."""

    control: str
    case: str
    strength: float | None
    expected: str
    answer: str
    right: bool
    code: str | None
    sentence: str


@dataclass(frozen=True)
class Tally:
    """All answers of one control and strength. ``bar``: how many of the cases must be right; None: for information."""

    control: str
    strength: float | None
    cases: int
    right: int
    promoted: int
    bar: int | None

    @property
    def met(self) -> bool | None:
        return None if self.bar is None else self.right >= self.bar


def cases(size: Size) -> tuple[Case, ...]:
    """What is tried: at small size in some two minutes; at full size many more; of each kind as much at any moment."""
    walks, found, weak, markets, default = {"small": (6, 3, 1, 1, 0), "full": (200, 40, 40, 3, 2)}[size]
    kinds = [[Case("broken", f"market {seed}", seed, 0.3) for seed in range(markets)]]
    for strength, count in ((0.3, found), (0.2, weak), (0.1, weak)):
        kinds.append([Case("ar1", f"{strength} seed {seed}", seed, strength) for seed in range(count)])
    kinds.append([Case("random_walk", f"seed {seed}", seed) for seed in range(walks)])
    kinds.append([Case("leak", name) for name in LEAKS] + [Case("honest", name) for name in HONEST])
    for control, strength in (("ar1", 0.3), ("random_walk", None)):
        names = [f"{strength or 'walk'} seed {seed}, default network" for seed in range(default)]
        kinds.append([Case(control, name, seed, strength, "default") for seed, name in enumerate(names)])
    placed = [((i + 1) / len(kind), case) for kind in kinds for i, case in enumerate(kind)]
    return tuple(case for _, case in sorted(placed, key=lambda pair: pair[0]))


def try_case(case: Case, thresholds: GateThresholds, default: LstmSpec) -> tuple[Answer, ...]:
    """The answers to one case: one, or one a fault for a broken forecaster. Deterministic."""
    if case.control in ("leak", "honest"):
        return (_audited(case),)
    market = Market.of(case, default)
    if case.control == "broken":
        return tuple(_with_fault(case, fault, market, thresholds) for fault in FAULTS)
    evaluation = judge(market.fitted, market.panel, None, market.spans)
    decision = decide(evaluation, thresholds, weights=market.fitted.arrays, leaks=market.leaks)
    said = verdict_on(evaluation, decision, thresholds)
    planted = case.control == "ar1"
    right = (said != NOTHING) if planted else (said == NOTHING)
    expected = "found" if planted else NOTHING
    text = decision.sentence if decision.verdict == "promoted" else f"{decision.serves} serves: {decision.sentence}"
    return (Answer(case.control, case.name, case.strength, expected, said, right, _code(decision), text),)


def verdict_on(evaluation: Evaluation, decision: Decision, thresholds: GateThresholds) -> str:
    """'promoted' where the network was; 'found by NAME' where a rival serves that learns from the features and beats each one
    that does not beyond luck (the gate's level, divided by the rivals that could have been it); else 'nothing found'."""
    if decision.verdict == "promoted":
        return "promoted"
    ours = decision.serves
    others = [name for name in evaluation.forecasters if name not in ("lstm", *LEARNERS)]
    level = thresholds.alpha / len(evaluation.horizons) / len(LEARNERS)
    beats = all(min(evaluation.compare(ours, name, h).p for h in evaluation.horizons) < level for name in others)
    return f"found by {ours}" if ours in LEARNERS and beats else NOTHING


def tally(answers: Sequence[Answer]) -> tuple[Tally, ...]:
    """The answers by control and strength, with what must be right of them.

    At most 5 % of the random walks may be wrong (one at small size), at least 95 % of the AR(1) of 0.3 must be found (all but
    one at small size); power below 0.3 is information; every broken forecaster, leak and honest twin must be told right.
    """
    counted, right, promoted = Counter(), Counter(), Counter()
    for one in answers:
        key = one.control, one.strength
        counted[key] += 1
        right[key] += one.right
        promoted[key] += one.answer == "promoted"
    order = sorted(counted, key=lambda key: (key[0], key[1] or 0.0))
    return tuple(Tally(*key, counted[key], right[key], promoted[key], _bar(*key, counted[key])) for key in order)


def _bar(control: str, strength: float | None, count: int) -> int | None:
    if control == "ar1" and strength is not None and strength < 0.3:
        return None
    if control in ("random_walk", "ar1"):
        return count - max(1, int(0.05 * count))
    return count


@dataclass(frozen=True)
class Market:
    """A trained model and the market that it was trained on."""

    panel: object
    spans: Spans
    fitted: Fitted
    leaks: tuple[str, ...] | None

    @classmethod
    def of(cls, case: Case, default: LstmSpec) -> Market:
        spec = default if case.network == "default" else QUICK
        panel = ar1_market(case.seed, case.strength or 0.0)
        spans = default_spans(panel.sessions, panel.sessions[-1].astype(object), 250, 500, spec.lookback)
        fitted = fit_model(spec, panel, None, spans)
        return cls(panel, spans, fitted, audit_model(fitted, panel, None, spans))


def _with_fault(case: Case, fault: str, market: Market, thresholds: GateThresholds) -> Answer:
    answers = ask(market.fitted, market.panel, None, market.spans)
    quantiles = dict(answers.quantiles)
    quantiles["lstm"] = broken(fault, quantiles["lstm"], answers.inputs, answers.rows)
    with np.errstate(invalid="ignore"):
        evaluation = evaluate(answers.inputs, answers.mask, answers.rows, quantiles)
    decision = decide(evaluation, thresholds, weights=market.fitted.arrays, leaks=market.leaks)
    name, right = f"{fault}, {case.name}", decision.verdict == "refused" and decision.serves != "lstm"
    return Answer("broken", name, None, "refused", decision.verdict, right, _code(decision), decision.sentence)


def _audited(case: Case) -> Answer:
    report = caught(case.name)
    found = bool(report.findings)
    first = str(report.findings[0]) if found else f"{report.compared:,} values compared"
    expected, answer = ("caught" if case.control == "leak" else "passed"), ("caught" if found else "passed")
    right = answer == expected and report.compared > 0
    return Answer(case.control, case.name, None, expected, answer, right, report.findings[0].code if found else None, first)


def _code(decision: Decision) -> str | None:
    """The first check that closed the gate."""
    return next((check.code for check in decision.checks if check.verdict != "pass"), None)
