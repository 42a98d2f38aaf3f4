"""The rivals against plain pandas, and the promise that each knows only what was known at its row."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecasting.inputs import Inputs, make_inputs
from forecasting.judging.evaluation import evaluate, judged_rows
from forecasting.judging.gate import GateThresholds, decide
from forecasting.lstm import LstmSpec
from forecasting.metrics import LEVELS, pinball
from forecasting.models import Fitted
from forecasting.panel import Panel
from forecasting.rivals import OPTIONAL, RIVALS, Known, fit_rivals, rival_quantiles, rivals_among, running_moments
from forecasting.scaling import Scaler
from forecasting.targets import log_returns
from tests.forecasting.markets import walk_frame, walks

NAMES = ("ret", "abs_ret", "momentum_20")
ALL = RIVALS + OPTIONAL
PANEL = walks(8, 4, 400)


def prepared(panel: Panel) -> tuple[Inputs, np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, scaled features, and the labels of 250 sessions to learn from and 70 to choose on."""
    inputs = make_inputs(panel, NAMES, (1, 5), PANEL.symbols)
    known, settles = np.isfinite(inputs.targets.standardised), inputs.targets.settles_at
    train = known & (settles < 250)
    valid = known & (panel.at >= 250)[:, None] & (settles < 320)
    return inputs, Scaler.fit(inputs.values, train.any(axis=1))(inputs.values), train, valid


INPUTS, X, TRAIN, VALID = prepared(PANEL)
SCALER = Scaler.fit(INPUTS.values, TRAIN.any(axis=1))
ARRAYS = fit_rivals(INPUTS, X, TRAIN, VALID, ALL)
ROWS = np.flatnonzero(PANEL.at >= 320)
MOMENTS = running_moments(INPUTS)


def quantiles(name: str, rows: np.ndarray = ROWS) -> np.ndarray:
    return rival_quantiles(name, ARRAYS, INPUTS, X, rows)


def test_running_moments__equal_pandas_expanding():
    returns = pd.Series(log_returns(PANEL)).groupby(PANEL.symbol_index)
    mean = returns.transform(lambda r: r.expanding(20).mean())
    square = returns.transform(lambda r: (r**2).expanding(20).mean())
    np.testing.assert_allclose(MOMENTS.mean, mean, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(MOMENTS.scale, np.sqrt(square), rtol=1e-9)


def test_ewma__is_the_scale_times_the_pooled_training_quantiles():
    for k in range(2):
        pooled = (INPUTS.targets.returns[:, k] / INPUTS.targets.scale / np.sqrt((1, 5)[k]))[TRAIN[:, k]]
        expected = INPUTS.targets.scale[ROWS, None] * np.sqrt((1, 5)[k]) * np.quantile(pooled, LEVELS)
        np.testing.assert_allclose(quantiles("ewma")[:, k], expected, rtol=1e-6)


def test_persistence__has_the_last_close_as_its_median_and_drift_the_mean_move():
    assert (quantiles("persistence")[..., 3] == 0).all()
    shift = quantiles("drift")[:, 1, 3] - 5 * MOMENTS.mean[ROWS]
    table = ARRAYS["drift/table"][1, 3] * MOMENTS.scale[ROWS] * np.sqrt(5)
    np.testing.assert_allclose(shift, table, rtol=1e-6, atol=1e-12)


def test_ridge__predicts_like_scikit_learn_with_one_of_its_penalties():
    from sklearn.linear_model import Ridge

    y = np.clip(INPUTS.targets.standardised[TRAIN[:, 0], 0], -10, 10)
    center = quantiles("ridge")[:, 0] / INPUTS.targets.unit[ROWS, 0, None] - ARRAYS["ridge/table"][0]
    plain = [
        Ridge(alpha=a).fit(X[TRAIN[:, 0]].astype(float), y).predict(X[ROWS].astype(float)) for a in (1e2, 1e3, 1e4, 1e5, 1e6)
    ]
    assert min(np.abs(center[:, 0] - p).max() for p in plain) < 1e-6


@pytest.fixture(scope="module")
def without_a_future():
    """All rivals fitted on a market whose prices jump about from session 320 on."""
    late = np.random.default_rng(1).uniform(0.3, 3.0, PANEL.rows)
    prices = {
        c: np.where(PANEL.at >= 320, getattr(PANEL, c) * late, getattr(PANEL, c)) for c in ("open", "high", "low", "close")
    }
    return fit_rivals(*prepared(replace(PANEL, **prices)), ALL)


@pytest.mark.parametrize("name", ALL)
def test_rival__learns_nothing_from_rows_after_training(name, without_a_future):
    """Validation rows choose penalties and seasons; the test rows are nobody's."""
    own = [key for key in ARRAYS if key.startswith(f"{name}/")]
    assert own and all(np.array_equal(without_a_future[key], ARRAYS[key]) for key in own)


@pytest.mark.parametrize("name", ALL)
def test_rival__answers_the_same_when_the_future_is_cut_off(name):
    cut = PANEL.until(PANEL.sessions[350])
    inputs, x, _, _ = prepared(cut)
    there = np.flatnonzero(cut.at >= 320)
    assert (
        rival_quantiles(name, ARRAYS, inputs, x, there)
        == quantiles(name, np.flatnonzero((PANEL.at >= 320) & (PANEL.at <= 350)))
    ).all()


@pytest.mark.parametrize("name", ALL)
def test_rival__is_calibrated_on_a_random_walk_and_in_order(name):
    q, actual = quantiles(name), INPUTS.targets.returns[ROWS]
    known = np.isfinite(actual[:, 0])
    assert (np.diff(q, axis=-1) >= 0).all()
    assert ((actual[known, 0] >= q[known, 0, 1]) & (actual[known, 0] <= q[known, 0, 5])).mean() == pytest.approx(0.8, abs=0.07)
    best = 0.01 * stats.norm.pdf(stats.norm.ppf(LEVELS)).mean()  # the loss of one who knows the walk: 0.00227
    if name == "seasonal":  # the difference of two independent moves
        best *= np.sqrt(2)
    assert pinball(actual[known, 0], q[known, 0]).mean() == pytest.approx(best, rel=0.08)


@pytest.mark.parametrize("name", ALL)
def test_rival__answers_a_row_the_same_alone_and_in_company(name):
    assert (quantiles(name, ROWS[[7]]) == quantiles(name)[[7]]).all()
    wider = Panel.from_frames(pd.concat([walk_frame(9, "AAA", 380), *(walk_frame(8, s, 400) for s in PANEL.symbols)]))
    inputs = prepared(wider)[0]
    x = SCALER(inputs.values)
    row = int(np.flatnonzero(wider.symbol_index == 3)[325])
    known = Known(inputs, x, PANEL.symbols)
    assert (
        rival_quantiles(name, ARRAYS, inputs, x, np.array([row]), known) == quantiles(name, np.array([2 * 400 + 325]))
    ).all()


@pytest.mark.parametrize("name", ALL)
def test_rival__answers_wherever_the_scale_is_known(name):
    """A symbol of 21 bars can be forecast: no rival may leave the others without an evaluation."""
    young = Panel.from_frames(pd.concat([walk_frame(5, "NEW", 21), walk_frame(5, "OLD", 300)]))
    inputs, x, _, _ = prepared(young)
    rows = np.flatnonzero(np.isfinite(inputs.targets.scale))
    q = rival_quantiles(name, ARRAYS, inputs, x, rows, Known(inputs, x, PANEL.symbols))
    assert rows[0] == 20 and np.isfinite(q).all() and (np.diff(q, axis=-1) >= 0).all()


@pytest.mark.parametrize("name", ALL)
def test_rival__serves_under_its_name_where_it_is_the_best_and_the_gate_stays_closed(name):
    mask = np.isfinite(INPUTS.targets.standardised) & (PANEL.at >= 320)[:, None]
    rows = judged_rows(mask)
    good, broad = quantiles("ewma", rows), 2.5 * quantiles("ewma", rows)
    answers = {"lstm": broad, **{n: good if n == name else broad for n in ALL}}
    decision = decide(evaluate(INPUTS, mask, rows, answers), GateThresholds(), weights=ARRAYS, leaks=())
    assert decision.verdict != "promoted" and decision.serves == name


def test_fitted__forecasts_by_the_rivals_of_its_card_and_an_old_card_by_the_first_four():
    assert Fitted(LstmSpec(), {}, {"rivals": ["ewma", "garch"]}).forecasters == ("lstm", "ewma", "garch")
    assert Fitted(LstmSpec(), {}, {}).forecasters == ("lstm", "persistence", "drift", "ewma", "ridge")


def test_rivals_among__leaves_out_the_network_and_the_champion():
    assert rivals_among(("lstm", "har", "champion", "garch", "ewma")) == ("har", "garch", "ewma")


def test_fitted_numbers__are_finite_and_small():
    """The gate asks for finite arrays, and a model folder keeps numbers, not tables of the market."""
    assert all(np.isfinite(array).all() and array.dtype.kind in "fi" for array in ARRAYS.values())
    assert sum(array.nbytes for array in ARRAYS.values()) < 20_000
