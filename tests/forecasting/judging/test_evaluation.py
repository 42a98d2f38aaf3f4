"""The evaluation against a loop over rows, on a panel of three symbols."""

import numpy as np
import pytest
from scipy import stats

from forecasting import metrics
from forecasting.errors import NotEnoughHistory
from forecasting.inputs import make_inputs
from forecasting.judging.evaluation import evaluate, judged_rows
from tests.forecasting.markets import walks

HORIZONS = (1, 5)


@pytest.fixture(scope="module")
def judged():
    inputs = make_inputs(walks(4, 3, 200), ("ret",), HORIZONS)
    mask = np.isfinite(inputs.targets.standardised) & (inputs.panel.at >= 100)[:, None]
    rows = judged_rows(mask)
    unit = inputs.targets.unit[rows][..., None]
    normal = stats.norm.ppf(metrics.LEVELS)
    return inputs, mask, rows, {"sharp": unit * normal, "wide": unit * normal * 2}


def test_evaluate__equals_a_loop_over_rows(judged):
    inputs, mask, rows, quantiles = judged
    result = evaluate(inputs, mask, rows, quantiles)
    for k, h in enumerate(HORIZONS):
        losses, errors, inside, below = [], [], [], []
        for n, row in enumerate(rows):
            if mask[row, k]:
                q, actual = quantiles["wide"][n, k], inputs.targets.returns[row, k]
                losses.append(
                    np.mean([max(a * (actual - x), (a - 1) * (actual - x)) for a, x in zip(metrics.LEVELS, q, strict=True)])
                )
                errors.append(abs(np.exp(actual) - np.exp(q[3])))
                inside.append(q[1] <= actual <= q[5])
                below.append(actual <= q[1])
        assert result.value("wide", h, "pinball") == pytest.approx(np.mean(losses))
        assert result.value("wide", h, "mae") == pytest.approx(np.mean(errors))
        assert result.value("wide", h, "coverage_80") == pytest.approx(np.mean(inside))
        assert result.value("wide", h, "below_10") == pytest.approx(np.mean(below))
        assert len(result.sessions[h]) == 100 - h
        assert result.losses["wide"][h].mean() == pytest.approx(np.mean(losses))  # every session has three symbols


def test_evaluate__sees_the_sharper_forecast_win_and_cover_what_it_promises(judged):
    result = evaluate(*judged)
    assert result.skill("sharp", "wide", 1) > 0.05
    assert result.compare("sharp", "wide", 1).t > 3
    assert 0.7 < result.value("sharp", 1, "coverage_80") < 0.9 < result.value("wide", 1, "coverage_80")
    assert 0.4 < result.value("sharp", 1, "coverage_50") < 0.6 < result.value("wide", 1, "coverage_50")
    assert result.best_rival(("wide", "sharp")) == "sharp"


def test_evaluate__does_not_depend_on_the_order_of_rows(judged):
    inputs, mask, rows, quantiles = judged
    order = np.random.default_rng(0).permutation(len(rows))
    one, two = (
        evaluate(inputs, mask, rows, quantiles),
        evaluate(inputs, mask, rows[order], {n: q[order] for n, q in quantiles.items()}),
    )
    assert one.table["value"].to_numpy() == pytest.approx(two.table["value"].to_numpy(), rel=1e-12, nan_ok=True)


def test_evaluate__needs_a_label_at_every_horizon(judged):
    inputs, mask, rows, quantiles = judged
    with pytest.raises(NotEnoughHistory, match="judging horizon 5"):
        evaluate(inputs, mask & [True, False], rows, quantiles)
