"""Contributions of features: they add up to the forecast, and are the integral that the definition says."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.explanation import contributions
from forecasting.lstm import LstmSpec, classical_spec
from forecasting.metrics import LEVELS
from forecasting.models import Fitted, fit_model
from forecasting.sequences import windows
from forecasting.splits import Spans
from tests.forecasting.markets import walks

PANEL = walks(23, 3, 400)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[250], DAYS[320], DAYS[399])
FEATURES = ("ret", "range", "vol_level")
SPEC = LstmSpec(
    features=FEATURES, units=(6,), stem_units=4, head_units=4, lookback=12, labels_per_sequence=30, min_updates=30, members=2,
    horizons=(1, 5), learning_rate=0.02,
)  # fmt: skip
LOW, MIDDLE, HIGH = (list(LEVELS).index(level) for level in (0.1, 0.5, 0.9))
ROW = 350


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_model(SPEC, PANEL, None, SPANS, rivals=("ewma", "ridge", "linear_quantile"))


def served(fitted: Fitted, horizon: int, forecaster: str) -> tuple[float, float]:
    """The forecast of ROW as log returns: median, and width of the 80 % interval."""
    inputs = fitted.inputs(PANEL)
    q = fitted.quantiles(inputs, np.array([ROW]), (forecaster,))[forecaster][0, fitted.spec.horizons.index(horizon)]
    return float(q[MIDDLE]), float(q[HIGH] - q[LOW])


@pytest.mark.parametrize("horizon", [1, 5])
def test_contributions__add_up_to_the_forecast(fitted, horizon):
    end = served(fitted, horizon, "lstm")
    found = contributions(fitted, fitted.inputs(PANEL), ROW, horizon, "lstm", end)
    assert [part.name for part in found.parts] == ["baseline", *FEATURES, "adjustment", "rest"]
    for side, value in (("median", end[0]), ("width", end[1])):
        parts = [getattr(part, side) for part in found.parts]
        assert sum(parts) == pytest.approx(value, abs=1e-12)
        assert abs(found.rest.median) + abs(found.rest.width) < 1e-3 * end[1]  # the rule's error, not a part to believe in
    assert (
        max(abs(part.width) for part in found.features) > 1e-3 * end[1]
    )  # something was learnt, so there is something to tell


def test_contributions__are_the_integral_of_the_definition(fitted):
    """The median's, from differences of the network along the line, 200 steps, one feature's column moved at a time; a quarter
    of the answer is the linear model's, whose slopes stand in its table."""
    inputs, k = fitted.inputs(PANEL), 0
    x = fitted.scaled(inputs)
    window = x[windows(PANEL, np.array([ROW]), SPEC.lookback)[0]]
    steps, small = 200, 1e-3
    expected = np.zeros(len(FEATURES))
    for network in fitted.networks(PANEL.symbols[0]):
        for f in range(len(FEATURES)):
            only = np.zeros_like(window)
            only[:, f] = window[:, f]
            along = ((np.arange(steps) + 0.5) / steps)[:, None, None] * window
            up, down = (
                np.asarray(network((along + side * small * only).astype(np.float32), labels=1))[:, 0, k, MIDDLE]
                for side in (1, -1)
            )
            expected[f] += np.mean((up - down) / (2 * small)) / SPEC.members
    slopes = fitted.arrays["linear_quantile/weights"][k, MIDDLE, 1:]
    expected = 0.75 * expected + 0.25 * slopes * x[ROW]
    found = contributions(fitted, inputs, ROW, 1, "lstm", served(fitted, 1, "lstm"))
    unit = inputs.targets.unit[ROW, k]
    assert [part.median / unit for part in found.features] == pytest.approx(expected, abs=2e-3)


def test_contributions__of_a_feature_in_the_middle_of_its_training_rows_is_nothing(fitted):
    """A window in which one feature is at its training mean throughout: scaled, it is zero, and so is what it adds."""
    inputs = fitted.inputs(PANEL)
    values = inputs.values.copy()
    values[:, 1] = fitted.arrays["scaler/center"][0, 1]
    still = type(inputs)(inputs.panel, inputs.names, values, inputs.targets)
    found = contributions(fitted, still, ROW, 1, "lstm", (0.0, 0.02))
    assert (found.features[1].median, found.features[1].width) == (0.0, 0.0)


@pytest.mark.parametrize("forecaster", ["ridge", "linear_quantile"])
def test_contributions__of_a_linear_rival_are_coefficient_times_feature(fitted, forecaster):
    end = served(fitted, 5, forecaster)
    found = contributions(fitted, fitted.inputs(PANEL), ROW, 5, forecaster, end)
    total = np.array([(part.median, part.width) for part in (found.baseline, *found.features)]).sum(axis=0)
    assert total == pytest.approx(end, abs=1e-7)
    assert abs(found.adjustment.median) < 1e-7  # nothing crossed, nothing was sorted


@pytest.mark.parametrize("forecaster", ["ewma", "persistence"])
def test_contributions__of_a_rival_without_features_are_none(fitted, forecaster):
    assert contributions(fitted, fitted.inputs(PANEL), ROW, 1, forecaster, (0.0, 0.02)) is None


def test_contributions__of_the_classical_network_are_in_returns_too():
    """Scaled closes in, one scaled close out: the part of the close is the whole move, the width is that of the residuals."""
    spec = classical_spec(units=(4,), epochs=1, min_updates=10, lookback=12, horizons=(1,))
    fitted = fit_model(spec, PANEL, None, SPANS, rivals=("ewma",))
    end = served(fitted, 1, "lstm")
    found = contributions(fitted, fitted.inputs(PANEL), ROW, 1, "lstm", end)
    assert sum(part.median for part in found.parts) == pytest.approx(end[0], abs=1e-9)
    assert found.features[0].name == "close" and found.features[0].width == 0.0
    assert abs(found.adjustment.median) < 1e-5 and abs(found.rest.median) < 1e-3
