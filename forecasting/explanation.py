"""What moved a forecast: the contribution of each feature to its median and to the width of its 80 % interval.

For the network by integrated gradients over all members, for the linear rivals by their coefficients (which is the same
thing for a linear function); the other rivals read no features. docs/accountability.md has the definition in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecasting.metrics import LEVELS

if TYPE_CHECKING:
    from forecasting.inputs import Inputs
    from forecasting.lstm.attribution import Answers
    from forecasting.models import Fitted

_LOW, _MIDDLE, _HIGH = (int(np.flatnonzero(np.isclose(LEVELS, level))[0]) for level in (0.10, 0.50, 0.90))
NODES = (32, 256)  # the rule's points; the second where the first leaves more than a thousandth of the width unexplained
LINEAR = ("ridge", "linear_quantile")


@dataclass(frozen=True)
class Part:
    """One part of a sum, as log returns over the horizon: what it adds to the median and to the width of the 80 % interval."""

    name: str
    median: float
    width: float


@dataclass(frozen=True)
class Contributions:
    """``baseline``, ``features`` (in the model's order), ``adjustment`` (all that happens to the answer after the network or
    the linear form: calibration, sorting) and ``rest`` (the error of the integration) add up to ``forecast``, which is the
    forecast of the ledger as log returns: log(q50 / close) and log(q90 / q10).
    """

    forecaster: str
    horizon: int
    baseline: Part
    features: tuple[Part, ...]
    adjustment: Part
    rest: Part
    forecast: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.baseline, *self.features, self.adjustment, self.rest)


def contributions(
    fitted: Fitted, inputs: Inputs, row: int, horizon: int, forecaster: str, served: tuple[float, float]
) -> Contributions | None:
    """Of the forecast of one row of ``inputs`` over ``horizon``; None for a rival that reads no features.

    ``served``: the forecast as it was issued, log(q50 / close) and log(q90 / q10).
    """
    if forecaster != "lstm" and (forecaster not in LINEAR or forecaster not in fitted.forecasters):
        return None
    from forecasting.models import linear_share

    k = fitted.spec.horizons.index(horizon)
    x, unit = fitted.scaled(inputs), float(inputs.targets.unit[row, k])
    end = np.array(served) / unit
    if forecaster == "lstm":
        each, zero, answer = _of_network(fitted, inputs, x, row, k, unit)
        if share := linear_share(fitted.spec):
            linear = _of_linear(fitted, x[row].astype(np.float64), k, "linear_quantile")
            each, zero, answer = ((1 - share) * a + share * b for a, b in zip((each, zero, answer), linear, strict=True))
    else:
        each, zero, answer = _of_linear(fitted, x[row].astype(np.float64), k, forecaster)
    rest = answer - zero - each.sum(axis=1)

    def part(name: str, pair: np.ndarray) -> Part:
        return Part(name, float(pair[0]) * unit, float(pair[1]) * unit)

    return Contributions(
        forecaster, horizon, part("baseline", zero), tuple(part(n, each[:, f]) for f, n in enumerate(inputs.names)),
        part("adjustment", end - answer), part("rest", rest), part("forecast", end),
    )  # fmt: skip


def _of_network(
    fitted: Fitted, inputs: Inputs, x: np.ndarray, row: int, k: int, unit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contributions [2, F] to median and width in units of the scale, the answer of a window of zeros and the answer, [2]."""
    from forecasting.lstm.attribution import integrated_gradients
    from forecasting.sequences import windows

    index = windows(inputs.panel, np.array([row]), fitted.spec.lookback)[0]
    window = np.where(index[:, None] >= 0, x[np.maximum(index, 0)], np.float32(0))
    answers, constant = _answers(fitted, inputs, row, k, unit)
    symbol = inputs.panel.symbols[inputs.panel.symbol_index[row]]
    who = fitted.number(symbol)
    for nodes in NODES:
        found = [integrated_gradients(network, window, answers, nodes, who) for network in fitted.networks(symbol)]
        each, zero, answer = (np.mean([one[i] for one in found], axis=0) for i in range(3))
        each = each.sum(axis=1)  # over the sessions of the window
        if np.abs(answer - zero - each.sum(axis=1)).max() < 1e-3:
            break
    return each, zero + constant, answer + constant


def _answers(fitted: Fitted, inputs: Inputs, row: int, k: int, unit: float) -> tuple[Answers, np.ndarray]:
    """The function from the network's output to median and width, and what is added to both of them, [2]."""
    from forecasting.lstm.attribution import median_and_width, point

    spec = fitted.spec
    if spec.output == "quantiles":
        return median_and_width(k, _MIDDLE, _LOW, _HIGH), np.zeros(2)
    residuals = fitted.arrays["lstm/residuals"][k].astype(np.float64)
    constant = np.array([residuals[_MIDDLE], residuals[_HIGH] - residuals[_LOW]])
    if spec.target == "return":
        return point(k), constant
    f, symbol = inputs.names.index("close"), inputs.panel.symbols[inputs.panel.symbol_index[row]]
    group = fitted.market_symbols.index(symbol)
    width, center = (float(fitted.arrays[f"scaler/{name}"][group, f]) for name in ("width", "center"))
    return point(k, width, center, float(inputs.values[row, f]), unit), constant


def _of_linear(fitted: Fitted, x: np.ndarray, k: int, forecaster: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for a linear rival: coefficient times scaled feature of the last session."""
    arrays = fitted.arrays
    if forecaster == "ridge":
        own = arrays["ridge/coefficients"][:, k].astype(np.float64)
        slopes, table = np.stack([own, np.zeros_like(own)]), arrays["ridge/table"][k].astype(np.float64)
        zero = np.array([float(arrays["ridge/intercepts"][k]) + table[_MIDDLE], table[_HIGH] - table[_LOW]])
    else:
        own = arrays["linear_quantile/weights"][k].astype(np.float64)  # [Q, 1 + F], the constant first
        pair = np.stack([own[_MIDDLE], own[_HIGH] - own[_LOW]])
        zero, slopes = pair[:, 0], pair[:, 1:]
    each = slopes * x
    return each, zero, zero + each.sum(axis=1)
