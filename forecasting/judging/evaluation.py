"""Judging: every forecaster on exactly the same rows, in one run, from the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from forecasting import metrics
from forecasting.errors import NotEnoughHistory
from forecasting.inputs import Inputs
from forecasting.judging.comparison import Comparison, corrected, diebold_mariano, lags_for, long_run_variance
from forecasting.judging.slices import Scored, Slicing, slice_records, slice_table
from forecasting.rivals import REFERENCE, rivals_among
from forecasting.targets import log_returns

CHAMPION = "champion"  # what the reigning network is called among the forecasters of an evaluation
_Q = {level: i for i, level in enumerate(metrics.LEVELS)}
MEDIAN = _Q[0.50]
INTERVALS = (("coverage_50", 0.25, 0.75), ("coverage_80", 0.10, 0.90), ("coverage_90", 0.05, 0.95))


@dataclass(frozen=True)
class Behaviour:
    """What gives a broken forecaster away, at one horizon: see the gate's checks of the same names."""

    echo: float  # correlation of the median move with the last session's move
    echo_size: float  # spread of the median move over that of the last session's move
    spread: float  # how much the standardised quantiles vary over the rows; 0: the same forecast for ever
    widest: float  # largest |quantile| in units of scale x sqrt(horizon)
    finite: bool


@dataclass(frozen=True)
class Evaluation:
    """Scores on the rows of one span.

    ``losses[name][h]``: per-session mean pinball loss, float64 [T_h], for the sessions ``sessions[h]``.
    ``covered[name][h][metric]``: share of the session's symbols inside the interval, metric coverage_50, _80 or _90.
    ``table``: one row a forecaster, horizon and metric: forecaster, horizon, metric, value, n_rows, n_sessions. The metrics
    below_05 ... below_95 are the shares of outcomes at or below each quantile: the calibration curve.
    ``slices``: the same for parts of the rows, columns ``slices.COLUMNS``; empty where none were asked for.
    """

    horizons: tuple[int, ...]
    forecasters: tuple[str, ...]
    sessions: dict[int, np.ndarray]
    losses: dict[str, dict[int, np.ndarray]]
    table: pd.DataFrame
    behaviour: dict[str, dict[int, Behaviour]]
    covered: dict[str, dict[int, dict[str, np.ndarray]]]
    span: tuple[date, date]
    slices: pd.DataFrame = field(default_factory=lambda: slice_table(()))

    @property
    def rivals(self) -> tuple[str, ...]:
        """The forecasters that are rivals, in their order."""
        return rivals_among(self.forecasters)

    def value(self, forecaster: str, horizon: int, metric: str) -> float:
        t = self.table
        found = t[(t.forecaster == forecaster) & (t.horizon == horizon) & (t.metric == metric)]["value"]
        return float(found.iloc[0])

    def skill(self, forecaster: str, rival: str, horizon: int) -> float:
        """1 - loss / loss of the rival; above 0: better."""
        return 1 - self.value(forecaster, horizon, "pinball") / self.value(rival, horizon, "pinball")

    def compare(self, forecaster: str, rival: str, horizon: int) -> Comparison:
        return diebold_mariano(self.losses[forecaster][horizon], self.losses[rival][horizon], horizon)

    def corrected(self, forecaster: str, rival: str, trials: int = 1) -> dict[int, float]:
        """The chance of each horizon's t without an edge, corrected for horizons and trials (``comparison.corrected``)."""
        p = [self.compare(forecaster, rival, h).p for h in self.horizons]
        return dict(zip(self.horizons, corrected(p, trials), strict=True))

    def coverage_error(self, forecaster: str, horizon: int, metric: str) -> float:
        """Standard error of the coverage: sessions count, not rows, and overlapping outcomes are one another's echo."""
        series = self.covered[forecaster][horizon][metric]
        return float(np.sqrt(long_run_variance(series, lags_for(horizon, len(series))) / len(series)))

    def best_rival(self, rivals: tuple[str, ...]) -> str:
        """The rival with the lowest loss, averaged over horizons in units of the first one's."""
        return min(
            rivals,
            key=lambda r: np.mean([self.value(r, h, "pinball") / self.value(rivals[0], h, "pinball") for h in self.horizons]),
        )


def judged_rows(mask: np.ndarray) -> np.ndarray:
    """The rows with any label of the span, int [N]."""
    return np.flatnonzero(mask.any(axis=1))


def evaluate(
    inputs: Inputs, mask: np.ndarray, rows: np.ndarray, quantiles: Mapping[str, np.ndarray], slicings: Sequence[Slicing] = ()
) -> Evaluation:
    """Score each forecaster's quantiles of the log return, float [N, H, Q], on ``rows`` (int [N]), and by ``slicings``.

    ``mask`` bool [R, H]: the labels that count. Every forecaster is scored on the same labels: one without a finite
    forecast there makes the whole evaluation fail, a missing rival row is no evaluation.
    """
    panel, targets = inputs.panel, inputs.targets
    session = panel.at[rows]
    last_move = log_returns(panel)[rows]
    records: list[tuple] = []
    cut: list[tuple] = []
    sessions: dict[int, np.ndarray] = {}
    losses, behaviour, covered = ({n: {} for n in quantiles} for _ in range(3))
    for k, horizon in enumerate(targets.horizons):
        labelled = mask[rows, k]
        if not labelled.any():
            raise NotEnoughHistory("the universe", 0, 1, f"judging horizon {horizon}", panel.sessions[-1])
        at, actual = session[labelled], targets.returns[rows[labelled], k]
        unit = targets.unit[rows[labelled], k]
        order = np.argsort(at, kind="stable")
        days, first = np.unique(at[order], return_index=True)
        counts = np.diff(np.append(first, len(order)))
        sessions[horizon] = panel.sessions[days]
        scored = {}
        for name, answer in quantiles.items():
            q = answer[labelled, k].astype(np.float64)
            one = scored[name] = _scored(actual, q, at)
            losses[name][horizon] = np.add.reduceat(one.loss[order], first) / counts
            covered[name][horizon] = {
                m: np.add.reduceat(hit[order].astype(np.float64), first) / counts for m, hit in one.inside.items()
            }
            records += [(name, horizon, m, v, len(actual), len(days)) for m, v in _scores(actual, q, one).items()]
            behaviour[name][horizon] = _behaviour(q, unit, last_move[labelled])
        for slicing in slicings:
            cut += slice_records(slicing, rows[labelled], horizon, scored, REFERENCE)
    table = pd.DataFrame(records, columns=["forecaster", "horizon", "metric", "value", "n_rows", "n_sessions"])
    every = np.concatenate(list(sessions.values()))
    span = (every.min().astype(object), every.max().astype(object))
    return Evaluation(
        targets.horizons, tuple(quantiles), sessions, losses, table, behaviour, covered, span, slice_table(cut)
    )  # fmt: skip


def _scored(actual: np.ndarray, q: np.ndarray, at: np.ndarray) -> Scored:
    """The scores of each row; errors in units of the origin's close (see ``metrics``)."""
    called = metrics.sign_called(actual, metrics.probability_up(q))
    inside = {m: metrics.inside(actual, q[:, _Q[low]], q[:, _Q[high]]) for m, low, high in INTERVALS}
    miss = np.abs(np.exp(actual) - np.exp(q[:, MEDIAN]))
    ranked = metrics.rank_correlations(actual, q[:, MEDIAN], at)
    return Scored(at, metrics.pinball(actual, q), miss, called, inside, ranked)


def _scores(actual: np.ndarray, q: np.ndarray, one: Scored) -> dict[str, float]:
    """All metrics of one forecaster and horizon; a mean of nothing is NaN."""
    price, point = np.exp(actual), np.exp(q[:, MEDIAN])
    return {
        "pinball": float(one.loss.mean()),
        "mae": metrics.mae(price, point),
        "rmse": metrics.rmse(price, point),
        "mse": metrics.mse(price, point),
        "mape": metrics.mape(price, point),
        "mase": metrics.mase(price, point, np.ones_like(price)),
        "direction": metrics.mean_known(one.called),
        "rank_correlation": metrics.mean_known(one.ranked[1]),
        **{m: float(hit.mean()) for m, hit in one.inside.items()},
        **{f"below_{round(100 * level):02d}": float((actual <= q[:, i]).mean()) for level, i in _Q.items()},
    }


def _behaviour(q: np.ndarray, unit: np.ndarray, last_move: np.ndarray) -> Behaviour:
    finite = bool(np.isfinite(q).all())
    median = q[:, MEDIAN]
    known = np.isfinite(last_move)
    moves, answers = last_move[known], median[known]
    size = float(answers.std() / max(moves.std(), 1e-300)) if len(moves) else 0.0
    varied = len(moves) > 2 and answers.std() > 1e-12 and moves.std() > 1e-12
    echo = float(np.corrcoef(moves, answers)[0, 1]) if varied and finite else 0.0
    standardised = q / unit[:, None]
    return Behaviour(echo, size, float(standardised.std(axis=0).mean()), float(np.abs(standardised).max()), finite)
