"""The gate between a challenger and service. Each check answers pass, fail or cannot tell, with a sentence for a person.

    G01 finite        weights and forecasts are finite numbers
    G02 sessions      the judged span is long enough to tell anything
    G03 rivals        lower pinball loss than every rival, beyond luck
    G04 champion      lower pinball loss than the reigning champion, beyond luck
    G05 coverage      50, 80 and 90 % intervals hold about what they promise
    G06 echo          the forecast move is not the last move said again
    G07 constant      the forecast is not the same whatever happened
    G08 band          no quantile lies absurdly far out
    G09 leak          the leak audit of this training run found nothing
    G10 thresholds    what the gate asks for was fixed before the model was trained

"Cannot tell" closes the gate as a failure does. A closed gate is a decision, not a crash: the champion, or the best
rival, keeps serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from forecasting.judging.evaluation import INTERVALS, Evaluation
from forecasting.rivals import RIVALS, rivals_among

Verdict = Literal["pass", "fail", "cannot_tell"]
_PROMISED = tuple((metric, int(metric.removeprefix("coverage_")) / 100) for metric, _, _ in INTERVALS)


class GateThresholds(BaseModel):
    """What the gate asks for; fixed before the run, its digest is kept with each decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_sessions: int = Field(120, ge=20, description="judged sessions below which nothing can be told")
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="chance of passing against a rival by luck, over all horizons and trials"
    )
    worse_alpha: float = Field(
        0.05, gt=0, lt=0.5, description="chance of being called worse somewhere by luck, over all horizons and rivals"
    )
    coverage_tolerance: float = Field(0.05, gt=0, lt=0.5, description="how far coverage may be from what the interval promises")
    coverage_limit: float = Field(
        0.15, gt=0, lt=0.5, description="distance from the promise that no shortness of the judged span excuses"
    )
    echo_correlation: float = Field(0.9, gt=0, le=1, description="correlation with the last move that counts as an echo")
    echo_size: float = Field(
        0.6, gt=0, description="share of the last move from which on repeating it is an echo, not a forecast"
    )
    min_spread: float = Field(1e-3, gt=0, description="spread of the standardised quantiles below which a forecast is constant")
    widest: float = Field(
        15.0, gt=1, description="largest allowed distance of a quantile from zero, in units of scale x sqrt(horizon)"
    )

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@dataclass(frozen=True)
class Check:
    code: str
    name: str
    verdict: Verdict
    sentence: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Decision:
    """``verdict`` is promoted, refused or cannot_tell; ``serves`` names the forecaster that serves from now on, and why."""

    verdict: Literal["promoted", "refused", "cannot_tell"]
    sentence: str
    checks: tuple[Check, ...]
    serves: str
    why: str
    thresholds_digest: str
    best_rival: str  # the one with the lowest loss, whoever serves


def decide(
    evaluation: Evaluation, thresholds: GateThresholds, champion: str | None = None, challenger: str = "lstm",
    weights: Mapping[str, np.ndarray] | None = None, leaks: tuple[str, ...] | None = None, trials: int = 1,
    fixed: str | None = None,
) -> Decision:  # fmt: skip
    """Decide on ``challenger`` from an evaluation that also holds every rival and, where there is one, the ``champion``.

    ``weights``: the arrays of the model, checked to be finite. ``leaks``: what the audit found; None: it did not run.
    ``trials``: how many challengers were tried on the way, this one included; the level of a test is divided by it and by the
    number of horizons (Bonferroni). It is not divided by the number of rivals: the challenger has to beat all of them, and the
    chance of that is at most the chance of beating one. ``fixed``: the digest of the thresholds that the model's card noted
    at training, '' where it noted none; None: the model has no card, since it was trained for this decision.
    """
    e, t = evaluation, thresholds
    rivals = tuple(name for name in rivals_among(e.forecasters) if name != challenger)
    checks = (
        _finite(e, challenger, weights), _sessions(e, t), _rivals(e, t, challenger, rivals, trials),
        *((_champion(e, t, challenger, champion, trials),) if champion else ()),
        _coverage(e, t, challenger), _echo(e, t, challenger), _constant(e, t, challenger), _band(e, t, challenger),
        _leak(leaks), *(() if fixed is None else (_thresholds(t, fixed),)),
    )  # fmt: skip
    verdicts = {check.verdict for check in checks}
    rival = e.best_rival(rivals)
    if verdicts == {"pass"}:
        gain = np.mean([e.skill(challenger, rival, h) for h in e.horizons])
        why = f"it passed every check of the gate; its loss is {gain:.1%} below that of the best rival, {rival}"
        return Decision("promoted", f"{challenger} is promoted: {why}.", checks, challenger, why, t.digest, rival)
    verdict = "refused" if "fail" in verdicts else "cannot_tell"
    first = next(check for check in checks if check.verdict == ("fail" if verdict == "refused" else "cannot_tell"))
    if champion and all(e.skill(champion, rival, h) > 0 for h in e.horizons):
        serves = champion
        why = f"the gate did not open for the challenger ({first.sentence}), and the champion still beats every rival"
    else:
        serves = rival
        why = f"it has the lowest loss of the rivals, and the gate did not open for {challenger} ({first.sentence})"
    return Decision(verdict, f"{challenger} is not promoted: {first.sentence}.", checks, serves, why, t.digest, rival)


def _finite(e: Evaluation, name: str, weights: Mapping[str, np.ndarray] | None) -> Check:
    broken = sorted(key for key, array in (weights or {}).items() if not np.isfinite(array).all())
    if broken:
        return Check(
            "G01", "finite", "fail", f"G01 not finite: {len(broken)} weight arrays hold NaN or infinity, first {broken[0]}"
        )
    if not all(e.behaviour[name][h].finite for h in e.horizons):
        return Check("G01", "finite", "fail", "G01 not finite: a forecast of the judged span is NaN or infinite")
    if weights is None:
        return Check("G01", "finite", "cannot_tell", "G01 cannot tell whether the weights are finite: they were not handed in")
    return Check("G01", "finite", "pass", f"G01 all {len(weights)} weight arrays and all forecasts are finite")


def _sessions(e: Evaluation, t: GateThresholds) -> Check:
    fewest = min(len(s) for s in e.sessions.values())
    if fewest < t.min_sessions:
        text = f"G02 too few judged sessions: {fewest} of the {t.min_sessions} needed"
        return Check("G02", "sessions", "cannot_tell", text, fewest, t.min_sessions)
    return Check("G02", "sessions", "pass", f"G02 judged on {fewest} sessions", fewest, t.min_sessions)


def _beats(e: Evaluation, t: GateThresholds, ours: str, other: str, trials: int, others: int) -> tuple[Verdict, str, float]:
    """Better at one horizon beyond luck, after the correction for horizons and trials, better on the whole, worse at none
    beyond luck, after the correction for horizons and the ``others`` that it is compared with."""
    tests = {h: e.compare(ours, other, h) for h in e.horizons}
    level = _level(t, e, trials)
    p, at = min((c.p, h) for h, c in tests.items())
    worse, worse_at = min((1.0 - c.p if c.t < 0 else 1.0, h) for h, c in tests.items())
    allowed = t.worse_alpha / (len(tests) * others)
    skill = ", ".join(f"{e.skill(ours, other, h):+.2%} at {h}" for h in e.horizons) + " sessions"
    if min(c.sessions for c in tests.values()) < 10 or not all(np.isfinite(c.t) for c in tests.values()):
        return "cannot_tell", f"cannot tell against {other}: too few sessions, or losses that are no numbers", p
    if p >= level:
        text = f"not better than {other} beyond luck: skill {skill}, smallest p {p:.2g} against {_said(t, e, trials)}"
        return "fail", text, p
    if worse < allowed:
        text = f"worse than {other} at horizon {worse_at}: t {tests[worse_at].t:.1f}, p {worse:.2g} against {allowed:.2g}"
        return "fail", text, p
    if np.mean([e.skill(ours, other, h) for h in e.horizons]) <= 0:
        return "fail", f"better than {other} at horizon {at} alone and worse on the whole: skill {skill}", p
    return "pass", f"better than {other}: skill {skill}, p {p:.2g} at horizon {at} against {_said(t, e, trials)}", p


def _level(t: GateThresholds, e: Evaluation, trials: int) -> float:
    return t.alpha / (trials * len(e.horizons))


def _said(t: GateThresholds, e: Evaluation, trials: int) -> str:
    """The level in words that say where it comes from."""
    many = f" and {trials} trials" if trials > 1 else ""
    return f"{_level(t, e, trials):.2g} ({t.alpha:g} over {len(e.horizons)} horizons{many})"


def _rivals(e: Evaluation, t: GateThresholds, name: str, rivals: tuple[str, ...], trials: int) -> Check:
    missing = [rival for rival in RIVALS if rival not in (*rivals, name)]
    if missing:
        return Check("G03", "rivals", "fail", f"G03 no evaluation without every rival: {', '.join(missing)} missing")
    level = _level(t, e, trials)
    answers = [_beats(e, t, name, rival, trials, len(rivals)) for rival in rivals]
    for wanted in ("fail", "cannot_tell"):
        for verdict, text, p in answers:
            if verdict == wanted:
                return Check("G03", "rivals", wanted, f"G03 {text}", p, level)
    closest = max(answers, key=lambda a: a[2])
    return Check("G03", "rivals", "pass", f"G03 {closest[1]}; the other rivals by more", closest[2], level)


def _champion(e: Evaluation, t: GateThresholds, name: str, champion: str, trials: int) -> Check:
    verdict, text, p = _beats(e, t, name, champion, trials, 1)
    return Check("G04", "champion", verdict, f"G04 {text}", p, _level(t, e, trials))


def _coverage(e: Evaluation, t: GateThresholds, name: str) -> Check:
    """Off by more than the tolerance, and by more than chance does to a perfect forecaster at the level ``alpha``.

    Without the allowance for chance a perfect forecaster of ten alike symbols is refused in one of four spans of 250 sessions;
    without the correction for the number of intervals and horizons looked at, in one of six. Beyond ``coverage_limit`` no span
    is too short to see it.
    """
    from scipy import stats

    looked_at = [(h, m, want) for h in e.horizons for m, want in _PROMISED]
    chance = float(stats.norm.isf(t.alpha / (2 * len(looked_at))))  # 2.8 standard errors for nine looks
    gaps = sorted(((abs(e.value(name, h, m) - want), h, m, want) for h, m, want in looked_at), reverse=True)
    for gap, h, m, want in gaps:
        allowed = max(t.coverage_tolerance, min(chance * e.coverage_error(name, h, m), t.coverage_limit))
        if not gap <= allowed:
            held = f"the {want:.0%} interval at horizon {h} held {e.value(name, h, m):.1%}"
            text = f"G05 {held}, more than {allowed:.0%} off"
            return Check("G05", "coverage", "fail", text, gap, allowed)
    gap, h, m, want = gaps[0]
    text = f"furthest off, the {want:.0%} interval at horizon {h} held {e.value(name, h, m):.1%}"
    return Check("G05", "coverage", "pass", f"G05 coverage holds: {text}", gap, t.coverage_tolerance)


def _echo(e: Evaluation, t: GateThresholds, name: str) -> Check:
    echo, size, h = max((abs(b.echo), b.echo_size, h) for h, b in e.behaviour[name].items())
    text = f"the median move at horizon {h} follows the last move with correlation {echo:.2f} at {size:.2f} of its size"
    if echo > t.echo_correlation and size > t.echo_size:
        return Check("G06", "echo", "fail", f"G06 an echo: {text}", echo, t.echo_correlation)
    return Check("G06", "echo", "pass", f"G06 no echo: {text}", echo, t.echo_correlation)


def _constant(e: Evaluation, t: GateThresholds, name: str) -> Check:
    spread, h = min((b.spread, h) for h, b in e.behaviour[name].items())
    if not spread >= t.min_spread:
        text = f"G07 constant: the standardised quantiles at horizon {h} vary by {spread:.1e} over the judged rows"
        return Check("G07", "constant", "fail", text, spread, t.min_spread)
    return Check(
        "G07", "constant", "pass", f"G07 not constant: quantiles vary by {spread:.3f} scale units or more", spread, t.min_spread
    )


def _band(e: Evaluation, t: GateThresholds, name: str) -> Check:
    widest, h = max((b.widest, h) for h, b in e.behaviour[name].items())
    if not widest <= t.widest:
        return Check(
            "G08",
            "band",
            "fail",
            f"G08 out of band: a quantile at horizon {h} is {widest:.1f} scale units out",
            widest,
            t.widest,
        )
    return Check(
        "G08", "band", "pass", f"G08 within the band: the furthest quantile is {widest:.1f} scale units out", widest, t.widest
    )


def _leak(leaks: tuple[str, ...] | None) -> Check:
    if leaks is None:
        return Check("G09", "leak", "cannot_tell", "G09 cannot tell about leaks: the audit did not run")
    if leaks:
        return Check("G09", "leak", "fail", f"G09 leak: {leaks[0]}", len(leaks), 0)
    return Check("G09", "leak", "pass", "G09 the leak audit found nothing", 0, 0)


def _thresholds(t: GateThresholds, fixed: str) -> Check:
    if not fixed:
        text = "G10 cannot tell whether the thresholds were fixed before: the model's card notes none; type `nextclose retrain`"
        return Check("G10", "thresholds", "cannot_tell", text)
    if fixed != t.digest:
        text = (
            f"G10 the thresholds are not those that were fixed when the model was trained ({t.digest[:8]} now, {fixed[:8]} "
            "then); put the settings of [gate] back, or type `nextclose retrain`"
        )
        return Check("G10", "thresholds", "cannot_tell", text)
    return Check(
        "G10", "thresholds", "pass", f"G10 judged by the thresholds {fixed[:8]} that the model's card noted at training"
    )
