"""Scalers, fitted on training rows only; the fitted numbers travel with the model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

Scaling = Literal["standard", "minmax", "robust"]
CLIP = 6.0  # standardised inputs beyond this say no more than "very large"


@dataclass(frozen=True)
class Scaler:
    """``scaled = clip((x - center) / width)``; an undefined value becomes 0, the middle of the training rows.

    One line of numbers a group of rows: a single group for the global model, a group a symbol where closes themselves are
    the input (a 5-dollar and a 500-dollar share have no common range).
    """

    center: np.ndarray  # float32 [G, F]
    width: np.ndarray  # float32 [G, F], positive
    clip: float = CLIP

    @classmethod
    def fit(
        cls, values: np.ndarray, train: np.ndarray, scaling: Scaling = "standard", group: np.ndarray | None = None
    ) -> Scaler:
        """Fit on the rows of ``values`` (float32 [R, F]) where ``train`` (bool [R]) is true, and on no other.

        ``group``: the group of each row, int [R] from 0; None: one group. standard: mean and standard deviation; robust:
        median and interquartile range / 1.349; minmax: the training rows fill 0..1 (later rows may leave it, up to the clip).
        A group or feature without a training value stays neutral (0, 1). Raises ValueError when no row is left at all.
        """
        if not train.any():
            raise ValueError("no training row to fit a scaler on")
        groups = 1 if group is None else int(group.max()) + 1
        center = np.zeros((groups, values.shape[1]), np.float32)
        width = np.ones((groups, values.shape[1]), np.float32)
        for g in range(groups):
            rows = values[train if group is None else train & (group == g)].astype(np.float64)
            if len(rows):
                center[g], width[g] = _center_and_width(rows, scaling)
        return cls(center, width)

    def __call__(self, values: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        """Scaled values, float32 [R, F]; never NaN."""
        center, width = (self.center[0], self.width[0]) if group is None else (self.center[group], self.width[group])
        scaled = (values - center) / width
        np.clip(scaled, -self.clip, self.clip, out=scaled)
        return np.nan_to_num(scaled, copy=False, nan=0.0).astype(np.float32, copy=False)


def _center_and_width(rows: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value are handled right below
        if scaling == "standard":
            center, width = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        elif scaling == "robust":
            low, center, high = np.nanpercentile(rows, (25, 50, 75), axis=0)
            width = (high - low) / 1.349
        else:
            center = np.nanmin(rows, axis=0)
            width = np.nanmax(rows, axis=0) - center
    center = np.where(np.isfinite(center), center, 0.0)
    return center, np.where(np.isfinite(width) & (width > 1e-12), width, 1.0)
