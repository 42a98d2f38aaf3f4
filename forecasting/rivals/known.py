"""What the rivals share: what is known at each row, the labels that they learn from, and the shape of a rival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from forecasting.inputs import Inputs
from forecasting.metrics import LEVELS, pinball
from forecasting.targets import log_returns

LABELS_AT_MOST = 400_000  # quantile tables and linear fits need no more rows than this to be as good
ENOUGH_RETURNS = 20  # before so many returns a symbol has no moments of its own
OUTLIER = 10.0  # standardised outcomes beyond this say no more to a linear fit than "very large"

Parts = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Moments:
    """Running mean and root mean square of a symbol's daily log returns up to each row, float64 [R]; NaN before 20."""

    mean: np.ndarray
    scale: np.ndarray


def running_moments(inputs: Inputs) -> Moments:
    panel = inputs.panel
    returns = log_returns(panel)
    count = panel.cumsum(np.isfinite(returns).astype(np.float64))
    enough = np.where(count >= ENOUGH_RETURNS, count, np.nan)
    return Moments(panel.cumsum(returns) / enough, np.sqrt(panel.cumsum(returns * returns) / enough))


def quantile_table(values: list[np.ndarray]) -> np.ndarray:
    """Empirical quantiles at LEVELS of one array a horizon, float32 [H, Q]."""
    return np.array([np.quantile(v, LEVELS) for v in values], dtype=np.float32)


class Known:
    """What a rival may look at: the inputs, the scaled features ``x`` (float32 [R, F]) and what follows from them.

    Every array has a line a row of the panel and is made of that row and earlier ones of its symbol. ``trained`` are the
    symbols that the model was fitted on, in the order of the numbers that a rival fits for each.
    """

    def __init__(self, inputs: Inputs, x: np.ndarray, trained: tuple[str, ...]) -> None:
        self.inputs, self.x, self.trained = inputs, x, trained
        self.panel, self.targets = inputs.panel, inputs.targets
        self.memo: dict[object, tuple[np.ndarray, ...]] = {}  # what a rival works out for all rows once

    @property
    def horizons(self) -> tuple[int, ...]:
        return self.targets.horizons

    @cached_property
    def moments(self) -> Moments:
        return running_moments(self.inputs)

    @cached_property
    def returns(self) -> np.ndarray:
        """Log returns of the close with splits undone, float64 [R]; NaN at a symbol's first row."""
        return log_returns(self.panel)

    @cached_property
    def level(self) -> np.ndarray:
        """The sum of a symbol's returns up to each row, float64 [R]."""
        return self.panel.cumsum(self.returns)

    @cached_property
    def nth(self) -> np.ndarray:
        """The number of rows of the symbol before each row, int64 [R]."""
        return np.arange(self.panel.rows) - self.first(np.arange(self.panel.rows))

    def first(self, rows: np.ndarray) -> np.ndarray:
        """The first row of the symbol of each of ``rows``, int64 [N]."""
        starts = self.panel.starts
        return starts[np.searchsorted(starts, rows, side="right") - 1]

    def unit(self, rows: np.ndarray) -> np.ndarray:
        """EWMA volatility times the square root of the horizon, float64 [N, H]."""
        return self.targets.scale[rows, None] * self.root

    def slow(self, rows: np.ndarray) -> np.ndarray:
        """The symbol's volatility so far times the square root of the horizon, float64 [N, H]."""
        return self.moments.scale[rows, None] * self.root

    @cached_property
    def root(self) -> np.ndarray:
        return np.sqrt(np.asarray(self.horizons, dtype=np.float64))


class Labels:
    """The labels to fit on: ``train`` and ``valid``, bool [R, H]; ``valid`` chooses between fits and does nothing else."""

    def __init__(self, known: Known, train: np.ndarray, valid: np.ndarray) -> None:
        scale = known.moments.scale
        self.known, self._valid = known, valid
        self._train = train & (np.isfinite(scale) & (scale > 0))[:, None]

    def train(self, k: int) -> np.ndarray:
        """Rows to learn horizon ``k`` from, int [N], at most LABELS_AT_MOST."""
        return thinned(np.flatnonzero(self._train[:, k]), LABELS_AT_MOST)

    def valid(self, k: int) -> np.ndarray:
        """Rows to choose on at horizon ``k``, int [N], at most LABELS_AT_MOST."""
        return thinned(np.flatnonzero(self._valid[:, k]), LABELS_AT_MOST)

    def outcome(self, rows: np.ndarray, k: int) -> np.ndarray:
        """The log return over horizon ``k`` from ``rows``, float64 [N]."""
        return self.known.targets.returns[rows, k]


def thinned(rows: np.ndarray, most: int) -> np.ndarray:
    """``rows``, or every second, third .. of them where there are more than ``most``."""
    return rows[:: max(1, len(rows) // most)]


def around(center: np.ndarray | float, unit: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Quantiles center + unit x table: center and unit float64 [N, H], table [H, Q]; float64 [N, H, Q]."""
    center = np.zeros_like(unit) + center
    return center[..., None] + unit[..., None] * table.astype(np.float64)


def loss_of(outcome: np.ndarray, quantiles: np.ndarray) -> float:
    """Mean pinball loss; 0 where there is nothing to choose on."""
    return float(pinball(outcome, quantiles).mean()) if len(outcome) else 0.0


class Rival(Protocol):
    """A rival is a module with these two functions; what it fits travels in the model folder as 'rival/part'."""

    def fit(self, known: Known, labels: Labels) -> dict[str, np.ndarray]:
        """The fitted parts by name, numbers only."""

    def quantiles(self, parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
        """Quantiles of the log return of ``rows`` (int [N]) over each horizon, float64 [N, H, Q], ascending in Q.

        A row's answer must not depend on which other rows are asked for: no matrix product over rows.
        """
