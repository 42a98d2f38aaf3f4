"""Has what the serving model is asked moved away from what it learnt, and is it still as good as it was judged to be?

Three watches, each with a threshold, a verdict (steady, drifted, cannot tell) and a sentence:

    population   the distribution of each feature over the last BLOCK sessions against that of the training rows
    skill        the loss of live forecasts against the rivals', and against what the gate's evaluation promised
    coverage     the share of outcomes inside the 80 and 90 % intervals of live forecasts

docs/accountability.md explains each, with the false alarms that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from forecasting.judging.comparison import diebold_mariano, lags_for, long_run_variance

Verdict = Literal["steady", "drifted", "cannot_tell"]
Action = Literal["none", "retrain", "fall_back"]

BLOCK, STRIDE = 60, 20  # sessions that are compared with the training rows, and between the blocks of the training span
BINS = 10
LEAST_BLOCKS = 8  # of the training span, below which nobody knows how much a block usually differs
_ROWS_AT_MOST = 400_000
_OUTCOMES = {"coverage_80": 0.8, "coverage_90": 0.9}


class DriftThresholds(BaseModel):
    """When a watched figure has drifted, and how often that may lead to a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    psi: float = Field(0.25, gt=0, description="population stability index below which a feature never counts as drifted")
    features: float = Field(0.25, gt=0, le=1, description="share of the features that must have drifted to train anew")
    alpha: float = Field(0.001, gt=0, lt=0.5, description="chance of a false alarm of one look at skill or coverage")
    skill_left: float = Field(0.5, ge=0, le=1, description="share of the promised skill over EWMA that must be left")
    coverage: float = Field(0.05, gt=0, lt=0.5, description="how far live coverage may be from what the interval promises")
    min_sessions: int = Field(40, ge=10, le=1000, description="settled sessions below which nothing can be told")
    rest_sessions: int = Field(20, ge=1, le=1000, description="sessions after a training before drift asks for another")
    backfill: bool = Field(False, description="whether forecasts made after the fact count as well")


@dataclass(frozen=True)
class Watched:
    """One figure: ``what`` names it; ``horizon`` is 0 where it is none of a horizon; ``rival`` the one to fall back to."""

    kind: Literal["population", "skill", "coverage"]
    what: str
    horizon: int
    value: float
    threshold: float
    verdict: Verdict
    sentence: str
    action: Action = "none"
    rival: str | None = None


def fit_population(values: np.ndarray, at: np.ndarray, train: np.ndarray) -> dict[str, np.ndarray]:
    """What the model learnt from, in so many numbers: arrays for the model folder, all finite.

    ``values`` float32 [R, F] unscaled features, ``at`` int [R] the number of each row's session, ``train`` bool [R].
    population/edges [F, BINS - 1] deciles of the training rows; population/counts [F, BINS + 1] rows between them, undefined
    values last; population/usual [F] the largest index (see ``stability``) of any block of BLOCK sessions of the training span
    against the rest of it, -1 where there are fewer than LEAST_BLOCKS.
    """
    rows = np.flatnonzero(train)
    rows = rows[:: max(1, -(-len(rows) // _ROWS_AT_MOST))]
    stretch = (at[rows] - at[rows].min(initial=at.max(initial=0))) // STRIDE
    stretches = int(stretch.max(initial=-1)) + 1
    whole = max(stretches - BLOCK // STRIDE + 1, 0)
    n_features = values.shape[1]
    edges = np.zeros((n_features, BINS - 1), np.float32)
    counts = np.zeros((n_features, BINS + 1), np.float64)
    usual = np.full(n_features, -1.0, np.float32)
    for f in range(n_features):
        column = values[rows, f]
        known = column[np.isfinite(column)]
        if len(known):
            edges[f] = np.quantile(known, np.arange(1, BINS) / BINS)
        cell = stretch * (BINS + 1) + _bins(column, edges[f])
        each = np.bincount(cell, minlength=stretches * (BINS + 1)).reshape(stretches, BINS + 1).astype(np.float64)
        counts[f] = each.sum(axis=0)
        if whole >= LEAST_BLOCKS:
            blocks = sum(each[i : i + whole] for i in range(BLOCK // STRIDE))  # [whole, BINS + 1]
            found = [stability(block, counts[f] - block) for block in blocks if block.sum() > 0]
            usual[f] = max(found)
    return {"population/edges": edges, "population/counts": counts, "population/usual": usual}


def stability(now: np.ndarray, then: np.ndarray) -> float:
    """Population stability index of two histograms (counts over the same bins): sum of (p - q) log(p / q).

    Half a row is added to each bin, so that an empty one is rare and not impossible. It is the symmetrised divergence of
    Kullback and Leibler (1951); 0.25 is the customary sign of a changed population (Siddiqi 2006, Credit Risk Scorecards).
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (now, then))
    return float(((p - q) * np.log(p / q)).sum())


def watch_population(
    arrays: Mapping[str, np.ndarray], names: tuple[str, ...], recent: np.ndarray, sessions: int, thresholds: DriftThresholds
) -> list[Watched]:
    """Compare ``recent`` (float32 [N, F], the model's features over the last ``sessions`` sessions) with the training rows.

    One entry a feature, then one of all: what is to be done follows from the share of features that drifted.
    """
    t = thresholds

    def untold(why: str) -> list[Watched]:
        return [Watched("population", "features", 0, float("nan"), t.features, "cannot_tell", f"features: cannot tell, {why}")]

    if "population/edges" not in arrays:
        return untold("the model is of before populations were kept")
    usual = arrays["population/usual"]
    if (usual < 0).all():
        return untold(f"it learnt from fewer than {LEAST_BLOCKS + BLOCK // STRIDE - 1} stretches of {STRIDE} sessions")
    if sessions < BLOCK or not len(recent):
        return untold(f"{sessions} sessions are at hand, {BLOCK} are needed")
    found = []
    for f, name in enumerate(names):
        edges, then = arrays["population/edges"][f], arrays["population/counts"][f]
        now = np.bincount(_bins(recent[:, f], edges), minlength=BINS + 1).astype(np.float64)
        value, limit = stability(now, then), max(t.psi, float(usual[f]))
        verdict = "drifted" if value > limit else "steady"
        said = f"{name}: index {value:.2f} over the last {BLOCK} sessions, at most {limit:.2f} in any of the training span"
        found.append(Watched("population", name, 0, value, limit, verdict, said))
    drifted = [one for one in found if one.verdict == "drifted"]
    share = len(drifted) / len(found)
    moved = share >= t.features
    furthest = ", ".join(one.what for one in sorted(drifted, key=lambda one: one.threshold - one.value)[:3])
    said = f"features: {len(drifted)} of {len(found)} are further from the training rows than any block of theirs was"
    said += f" ({furthest})" if drifted else ""
    summary = Watched("population", "features", 0, share, t.features, "drifted" if moved else "steady", said)
    return [*found, replace(summary, action="retrain" if moved else "none")]


def watch_skill(
    losses: Mapping[int, Mapping[str, np.ndarray]], ours: str, promised: Mapping[int, float], reference: str,
    thresholds: DriftThresholds,
) -> list[Watched]:  # fmt: skip
    """Compare the live losses of ``ours`` with every rival's, and with what was ``promised``.

    ``losses[horizon][name]``: mean pinball loss of each settled session, oldest first, float64 [T], the same sessions for all.
    ``promised[horizon]``: skill over ``reference`` on the span that the gate judged. A rival that is better beyond luck at one
    horizon, and on the whole, takes over; a skill that fell below the share of the promise that must be left asks for a
    training. The level is divided by the number of tests of one look (Bonferroni).
    """
    rivals = sorted({name for by in losses.values() for name in by} - {ours, "lstm"})
    tests = max(1, len(losses) * len(rivals))
    told = {h: by for h, by in losses.items() if len(by[ours]) >= _needed(h, thresholds)}
    found = [_untold("skill", "skill", h, len(by[ours]), thresholds) for h, by in losses.items() if h not in told]
    for h, by in told.items():
        found += [_against(by, ours, rival, h, thresholds.alpha / tests) for rival in rivals]
        if ours != reference and reference in by and promised.get(h, 0.0) > 0:
            found.append(_decayed(by, ours, reference, h, promised[h], thresholds, thresholds.alpha / len(losses)))
    better = {w.rival for w in found if w.verdict == "drifted" and w.rival}
    whole = {rival: np.mean([_skill(by[ours], by[rival]) for by in told.values()]) for rival in better}
    best = min(whole, key=whole.get, default=None)
    if best is not None and whole[best] < 0:
        found = [replace(w, action="fall_back") if w.verdict == "drifted" and w.rival == best else w for w in found]
    return found


def watch_coverage(covered: Mapping[int, Mapping[str, np.ndarray]], ours: str, thresholds: DriftThresholds) -> list[Watched]:
    """Is the share of outcomes inside the intervals of ``ours`` beyond luck further off than the band allows?

    ``covered[horizon][metric]``: share of each settled session's symbols inside, float64 [T], metric coverage_80 or _90.
    """
    from scipy import stats

    tests, found = max(1, len(covered) * len(_OUTCOMES)), []
    for h, by in covered.items():
        for metric, level in _OUTCOMES.items():
            series, band = by[metric], thresholds.coverage
            n = len(series)
            if n < _needed(h, thresholds):
                found.append(_untold("coverage", metric, h, n, thresholds))
                continue
            value = float(series.mean())
            error = float(np.sqrt(long_run_variance(series, lags_for(h, n)) / n))
            beyond = abs(value - level) - band
            out = beyond > 0 and error > 0 and stats.t.sf(beyond / error, n - 1) < thresholds.alpha / tests
            said = f"{ours} {h} ahead: {value:.1%} of {n} served sessions' outcomes inside the {level:.0%} interval"
            said += f", further off than {band:.0%} beyond luck" if out else f" (standard error {error:.1%})"
            found.append(
                Watched("coverage", metric, h, value, band, "drifted" if out else "steady", said, "retrain" if out else "none")
            )
    return found


def _against(by: Mapping[str, np.ndarray], ours: str, rival: str, h: int, alpha: float) -> Watched:
    test, skill = diebold_mariano(by[rival], by[ours], h), _skill(by[ours], by[rival])
    worse = test.p < alpha
    said = f"{ours} {h} ahead: skill {skill:+.1%} over {rival} in {test.sessions} served sessions (t {-test.t:.1f})"
    said += f"; {rival} is better beyond luck" if worse else ""
    return Watched("skill", f"vs {rival}", h, skill, 0.0, "drifted" if worse else "steady", said, rival=rival)


def _decayed(
    by: Mapping[str, np.ndarray], ours: str, reference: str, h: int, promised: float, thresholds: DriftThresholds, alpha: float
) -> Watched:
    least = promised * thresholds.skill_left
    test, skill = diebold_mariano(by[reference] * (1 - least), by[ours], h), _skill(by[ours], by[reference])
    lost = test.p < alpha
    said = (
        f"{ours} {h} ahead: skill {skill:+.1%} over {reference} in {test.sessions} served sessions, {promised:+.1%} when judged"
    )
    said += f"; below {least:.1%} beyond luck" if lost else ""
    action = "retrain" if lost else "none"
    return Watched("skill", "promised", h, skill, least, "drifted" if lost else "steady", said, action)


def _skill(ours: np.ndarray, other: np.ndarray) -> float:
    return float(1 - ours.sum() / other.sum())


def _needed(horizon: int, thresholds: DriftThresholds) -> int:
    """Overlapping outcomes tell little: at least ten horizons of sessions."""
    return max(thresholds.min_sessions, 10 * horizon)


def _untold(kind: Literal["skill", "coverage"], what: str, h: int, n: int, thresholds: DriftThresholds) -> Watched:
    said = f"{what} {h} ahead: cannot tell, {n} served sessions have settled and {_needed(h, thresholds)} are needed"
    return Watched(kind, what, h, float("nan"), float("nan"), "cannot_tell", said)


def _bins(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value, BINS where it is undefined."""
    place = np.searchsorted(edges, column, side="right")
    return np.where(np.isfinite(column), place, BINS)
