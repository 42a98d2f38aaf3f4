"""The scores by year, regime, sector and symbol are those of an evaluation of these rows alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecasting import metrics
from forecasting.inputs import make_inputs
from forecasting.judging.comparison import diebold_mariano
from forecasting.judging.evaluation import evaluate, judged_rows
from forecasting.judging.slices import COLUMNS, by_regime, by_sector, by_year, market_volatility, regime_borders, slicings
from forecasting.targets import log_returns
from tests.forecasting.markets import walks

HORIZONS = (1, 5)
SECTORS = {"S00": "Energy", "S01": "Energy", "S02": "Health", "S03": "Health", "S04": "Health"}  # none for S05


@pytest.fixture(scope="module")
def judged():
    inputs = make_inputs(walks(4, 6, 600), ("ret",), HORIZONS)
    at = inputs.panel.at
    mask = np.isfinite(inputs.targets.standardised) & (at >= 200)[:, None]
    rows = judged_rows(mask)
    unit, normal = inputs.targets.unit[rows][..., None], stats.norm.ppf(metrics.LEVELS)
    lean = 0.05 * np.sin(np.arange(len(rows)))[:, None, None]
    quantiles = {"lstm": unit * (normal + lean), "ewma": unit * normal * 1.3, "drift": unit * normal * 2}
    cuts = slicings(inputs.panel, at < 200, SECTORS, by_symbol=("lstm", "ewma"))
    return inputs, mask, rows, quantiles, cuts, evaluate(inputs, mask, rows, quantiles, cuts)


def said(result, kind, name, metric, forecaster="lstm", horizon=5):
    t = result.slices[result.slices["kind"] == kind]
    found = t[(t.slice == name) & (t.metric == metric) & (t.forecaster == forecaster) & (t.horizon == horizon)]
    return found.iloc[0]


@pytest.mark.parametrize(("kind", "name"), [("year", "2013"), ("regime", "low"), ("sector", "Health"), ("symbol", "S02")])
def test_slice__has_the_scores_of_an_evaluation_of_its_rows_alone(judged, kind, name):
    inputs, mask, rows, quantiles, cuts, result = judged
    cut = next(c for c in cuts if c.kind == kind)
    inside = cut.codes == cut.names.index(name)
    alone = evaluate(inputs, mask & inside[:, None], rows, quantiles)
    for horizon in HORIZONS:
        for metric in ("pinball", "mae", "direction", "coverage_50", "coverage_80", "coverage_90"):
            row = said(result, kind, name, metric, horizon=horizon)
            assert row.value == pytest.approx(alone.value("lstm", horizon, metric), rel=1e-12), metric
            assert (row.n_sessions, row.n_rows) == (
                len(alone.sessions[horizon]),
                (mask & inside[:, None])[:, HORIZONS.index(horizon)].sum(),
            )
        ours, rival = alone.losses["lstm"][horizon], alone.losses["ewma"][horizon]
        assert said(result, kind, name, "t", horizon=horizon).value == pytest.approx(diebold_mariano(ours, rival, horizon).t)
        assert said(result, kind, name, "skill", horizon=horizon).value == pytest.approx(alone.skill("lstm", "ewma", horizon))
        if kind in ("year", "regime"):
            row = said(result, kind, name, "rank_correlation", horizon=horizon)
            assert row.value == pytest.approx(alone.value("lstm", horizon, "rank_correlation"))


@pytest.mark.parametrize("kind", ["year", "regime", "sector", "symbol"])
def test_slices__of_one_kind_add_up_to_the_whole(judged, kind):
    *_, result = judged
    t = result.slices
    part = t[(t.kind == kind) & (t.metric == "pinball") & (t.forecaster == "lstm") & (t.horizon == 1)]
    assert part["n_rows"].sum() == 6 * 399  # 400 judged sessions less the horizon
    assert np.average(part["value"], weights=part["n_rows"]) == pytest.approx(result.value("lstm", 1, "pinball"), rel=1e-12)


def test_slices__by_symbol_are_of_the_named_forecasters_only_and_the_reference_has_no_skill(judged):
    *_, result = judged
    t = result.slices
    assert tuple(t.columns) == COLUMNS
    assert set(t[t.kind == "symbol"]["forecaster"]) == {"lstm", "ewma"}
    assert set(t[t.kind == "year"]["forecaster"]) == {"lstm", "ewma", "drift"}
    assert not ((t.forecaster == "ewma") & t.metric.isin(("skill", "t"))).any()
    assert not t.duplicated(["forecaster", "horizon", "kind", "slice", "metric"]).any()


def test_by_sector__puts_a_symbol_without_one_under_unknown(judged):
    panel = judged[0].panel
    cut = by_sector(panel, SECTORS)
    assert cut.names == ("Energy", "Health", "unknown")
    assert np.bincount(cut.codes).tolist() == [1200, 1800, 600]
    assert by_year(panel).names == ("2012", "2013", "2014")


def test_market_volatility__is_pandas_ewm_of_the_mean_move(judged):
    panel = judged[0].panel
    mean = pd.DataFrame({"at": panel.at, "move": log_returns(panel)}).groupby("at")["move"].mean()
    expected = np.sqrt(mean.iloc[1:].pow(2).ewm(alpha=0.06, adjust=False).mean())
    got = market_volatility(panel)
    assert np.isnan(got[:21]).all()
    assert got[21:] == pytest.approx(expected.iloc[20:].to_numpy(), rel=1e-12)


def test_regimes__are_thirds_of_the_training_sessions_and_know_nothing_later(judged):
    panel = judged[0].panel
    learnt = panel.at < 321  # 300 sessions with a known volatility
    before = by_regime(panel, learnt).codes[learnt & (panel.at >= 21)]
    assert np.bincount(before).tolist() == [600, 600, 600]  # 6 symbols, 100 sessions each
    assert (by_regime(panel, learnt).codes[panel.at < 21] == -1).all()
    late = panel.at > 321
    wild = replace(panel, close=np.where(late, panel.close * np.exp(0.3 * np.sin(panel.at)), panel.close))
    assert (regime_borders(wild, learnt) == regime_borders(panel, learnt)).all()
    assert (by_regime(wild, learnt).codes[panel.at <= 321] == by_regime(panel, learnt).codes[panel.at <= 321]).all()
    assert (by_regime(wild, learnt).codes[panel.at > 330] == 2).all()


def test_regimes__of_no_training_session_are_none(judged):
    panel = judged[0].panel
    assert (by_regime(panel, np.zeros(panel.rows, bool)).codes == -1).all()
