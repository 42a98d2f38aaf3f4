"""A fitted model as a whole: it repeats itself, sees no future, and minds nobody's company."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import NotEnoughHistory, UntrustedModel
from forecasting.inputs import rows_at
from forecasting.lstm import LstmSpec, classical_spec
from forecasting.metrics import LEVELS
from forecasting.models import fit_model, rebuild
from forecasting.outlook import QUANTILE_COLUMNS, outlook
from forecasting.panel import Panel
from forecasting.rivals import RIVALS
from forecasting.splits import Spans
from tests.forecasting.markets import walk_frame, walks

PANEL = walks(11, 6, 500)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[300], DAYS[400], DAYS[499])
SPEC = LstmSpec(units=(12,), lookback=20, labels_per_sequence=40, min_updates=15, members=2, horizons=(1, 5))
VIX = pd.DataFrame({"series": "VIX", "session": pd.to_datetime(DAYS), "value": 15 + 5 * np.sin(np.arange(500) / 9)})


def after(symbol: str, origin: date, horizon: int) -> date:
    return origin + timedelta(days=horizon)


def days_later(panel: Panel, factor: float) -> Panel:
    """The panel with every price after session 450 multiplied by ``factor``."""
    late = panel.at > 450
    return replace(
        panel, **{c: np.where(late, getattr(panel, c) * factor, getattr(panel, c)) for c in ("open", "high", "low", "close")}
    )


@pytest.fixture(scope="module")
def fitted():
    return fit_model(SPEC, PANEL, VIX, SPANS)


def forecasts(fitted, panel, macro=VIX, symbols=PANEL.symbols, origins=(DAYS[440], DAYS[450])):
    return outlook(fitted, fitted.inputs(panel, macro), symbols, origins, after)[0]


def test_fit_model__uses_nothing_after_the_validation_span(fitted):
    """Flaws 1 and 11: what is fitted, chosen or stopped on does not change when the test span becomes nonsense."""
    again = fit_model(SPEC, days_later(PANEL, 1000.0), VIX, SPANS)
    assert fitted.arrays.keys() == again.arrays.keys()
    assert all((fitted.arrays[key] == again.arrays[key]).all() for key in fitted.arrays)
    assert again.card["history"] == fitted.card["history"]


def test_rebuild__from_arrays_and_card_forecasts_the_same_bits(fitted):
    again = rebuild({key: array.copy() for key, array in fitted.arrays.items()}, fitted.card)
    pd.testing.assert_frame_equal(forecasts(again, PANEL), forecasts(fitted, PANEL), check_exact=True)


def test_rebuild__refuses_weights_that_do_not_fit_the_card(fitted):
    card = {**fitted.card, "spec": {**fitted.card["spec"], "units": [13]}}
    with pytest.raises(UntrustedModel, match="do not fit"):
        forecasts(rebuild(fitted.arrays, card), PANEL)
    with pytest.raises(UntrustedModel, match="model format 0 is not 1"):
        rebuild(fitted.arrays, {**fitted.card, "format": 0})


def test_linear_share__is_the_weight_of_the_linear_quantile_model(fitted):
    """A quarter of the answer, before its width is corrected; a card from before there was a share has none."""
    card = {**fitted.card, "calibration": None}
    before = {**card, "spec": {name: value for name, value in card["spec"].items() if name != "linear_share"}}
    inputs, rows = fitted.inputs(PANEL, VIX), np.flatnonzero(PANEL.at == 450)
    linear = fitted.quantiles(inputs, rows, ("linear_quantile",))["linear_quantile"]
    networks, both = (rebuild(fitted.arrays, c).quantiles(inputs, rows, ("lstm",))["lstm"] for c in (before, card))
    assert np.abs(networks - linear).max() > 1e-5
    assert both == pytest.approx(0.75 * networks + 0.25 * linear, rel=1e-9)


def test_forecast__is_the_same_when_the_future_is_cut_off(fitted):
    """K2: from all the data or from what was there at the origin."""
    whole = forecasts(fitted, PANEL)
    cut = pd.concat(
        [forecasts(fitted, PANEL.until(d), VIX[VIX.session <= pd.Timestamp(d)], origins=(d,)) for d in (DAYS[440], DAYS[450])]
    )
    pd.testing.assert_frame_equal(whole, cut.reset_index(drop=True), check_exact=True)
    assert len(whole) == 2 * 6 * 2 * (1 + len(RIVALS))  # origins, symbols, horizons, forecasters


@pytest.mark.parametrize("poison", [1000.0, 1e-3, np.nan])
def test_forecast__is_the_same_whatever_the_future_holds(fitted, poison):
    """K3."""
    pd.testing.assert_frame_equal(forecasts(fitted, days_later(PANEL, poison)), forecasts(fitted, PANEL), check_exact=True)


def test_forecast__is_the_same_after_a_later_split_and_dividend(fitted):
    """K15: the 4:1 split of session 470 quarters all prices from there on; nothing before it moves by a bit."""
    split, dividend = PANEL.split.copy(), PANEL.dividend.copy()
    split[PANEL.at == 470], dividend[PANEL.at == 480] = 4.0, 0.5
    late = PANEL.at >= 470
    prices = {c: np.where(late, getattr(PANEL, c) / 4, getattr(PANEL, c)) for c in ("open", "high", "low", "close")}
    changed = replace(PANEL, split=split, dividend=dividend, **prices)
    pd.testing.assert_frame_equal(forecasts(fitted, changed), forecasts(fitted, PANEL), check_exact=True)


def test_forecast__alone_or_with_newcomers_gives_the_same_bits(fitted):
    everyone = forecasts(fitted, PANEL)
    alone = forecasts(fitted, PANEL, symbols=("S03",))
    pd.testing.assert_frame_equal(alone, everyone[everyone.symbol == "S03"].reset_index(drop=True), check_exact=True)
    old = [walk_frame(11, symbol, 500) for symbol in PANEL.symbols]
    frame = pd.concat([walk_frame(1, "AAA", 500), *old, walk_frame(2, "ZZZ", 480)])
    larger = Panel.from_frames(frame.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(forecasts(fitted, larger), everyone, check_exact=True)


def test_forecast__is_ordered_and_in_money(fitted):
    frame = forecasts(fitted, PANEL)
    quantiles = frame[list(QUANTILE_COLUMNS)].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (
        (quantiles / frame["close"].to_numpy()[:, None] > 0.7) & (quantiles / frame["close"].to_numpy()[:, None] < 1.3)
    ).all()
    last = frame[frame.forecaster == "persistence"]
    assert (last["q50"] == last["close"]).all() and (last["p_up"] == 0.5).all()
    assert len(LEVELS) == len(QUANTILE_COLUMNS)


def test_serving_equals_training__same_features_for_the_same_row(fitted):
    """K24: the rows that the daily run forecasts from are the rows that training learnt from."""
    training = fitted.inputs(PANEL.until(SPANS.valid_end), VIX)
    for day in (DAYS[250], DAYS[299]):
        daily = fitted.inputs(PANEL.until(day), VIX[VIX.session <= pd.Timestamp(day)])
        for symbol in PANEL.symbols:
            one, two = (rows_at(i, [symbol], day, 20)[0][symbol] for i in (training, daily))
            assert (fitted.scaled(training)[one - 19 : one + 1] == fitted.scaled(daily)[two - 19 : two + 1]).all()


def test_rows_at__says_why_a_symbol_gets_no_forecast(fitted):
    flat = walk_frame(3, "FLAT", 500).assign(open=9.0, high=9.0, low=9.0, close=9.0)
    frames = [flat, walk_frame(3, "OLD", 400), walk_frame(3, "YOUNG", 500).tail(12), walk_frame(3, "EDGE", 500).tail(21)]
    panel = Panel.from_frames(pd.concat(frames))
    inputs = fitted.inputs(panel, None)
    rows, refused = rows_at(inputs, ("FLAT", "OLD", "YOUNG", "EDGE", "NOPE"), DAYS[499], 20)
    assert {s: type(e).__name__ for s, e in refused.items()} == {
        "FLAT": "ConstantSeries", "OLD": "StaleSymbol", "YOUNG": "NotEnoughHistory", "NOPE": "NotEnoughHistory"}  # fmt: skip
    assert set(rows) == {"EDGE"}
    assert "12 clean sessions" in str(refused["YOUNG"]) and "20 are needed" in str(refused["YOUNG"])


@pytest.mark.parametrize("changes", [{}, dict(bidirectional=True, normalisation="batch", recurrent_dropout=0.1)])
def test_classical_configuration__trains_and_forecasts_prices(changes):
    spec = classical_spec(units=(8,), epochs=1, min_updates=40, lookback=20, horizons=(1, 5), **changes)
    fitted = fit_model(spec, PANEL, None, SPANS)
    frame = forecasts(fitted, PANEL, None)
    lstm = frame[frame.forecaster == "lstm"]
    assert len(lstm) == 2 * 6 * 2
    assert np.isfinite(lstm[list(QUANTILE_COLUMNS)].to_numpy()).all()
    pd.testing.assert_frame_equal(frame, forecasts(rebuild(fitted.arrays, fitted.card), PANEL, None), check_exact=True)


def test_fit_model__needs_something_to_learn_from():
    with pytest.raises(NotEnoughHistory, match="training"):
        fit_model(SPEC, PANEL.until(DAYS[70]), None, Spans(DAYS[30], DAYS[50], DAYS[69]))
