"""What of a model's answers becomes a forecast: a wild one is refused with the reason and changes no other by a bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import WildForecast
from forecasting.inputs import rows_at
from forecasting.lstm import LstmSpec
from forecasting.models import fit_model
from forecasting.outlook import deviations, outlook
from forecasting.splits import Spans
from tests.forecasting.markets import walks

PANEL = walks(11, 6, 300)
DAYS = PANEL.sessions.astype(object)
ORIGIN = DAYS[260]
ILL = PANEL.symbols[2]
SPEC = LstmSpec(
    features=("ret", "range"), stem_units=0, units=(4,), head_units=4, lookback=10, labels_per_sequence=20, members=2, epochs=1,
    min_updates=3, horizons=(1, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return fit_model(SPEC, PANEL, None, Spans(DAYS[200], DAYS[250], DAYS[299]))


@pytest.fixture(scope="module")
def inputs(fitted):
    return fitted.inputs(PANEL, None)


def forecasts(fitted, inputs):
    def after(symbol: str, origin: date, horizon: int) -> date:
        return origin + timedelta(days=horizon)

    return outlook(fitted, inputs, PANEL.symbols, (ORIGIN,), after)


def others(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["symbol"] != ILL].reset_index(drop=True)


def test_one_unknown_value__in_a_window_changes_the_forecast_of_its_symbol_alone(fitted, inputs):
    """What is not known counts as the mean, as in training; 1 of 6 symbols changes, 5 are the same bits."""
    row = rows_at(inputs, [ILL], ORIGIN, SPEC.lookback)[0][ILL]
    values = inputs.values.copy()
    values[row - 3, 0] = np.nan
    (calm, none), (holed, nobody) = forecasts(fitted, inputs), forecasts(fitted, replace(inputs, values=values))
    assert none == nobody == []
    changed = (calm["q50"] != holed["q50"]) & (calm["forecaster"] == "lstm")
    assert set(calm.loc[changed, "symbol"]) == {ILL}
    pd.testing.assert_frame_equal(others(calm), others(holed), check_exact=True)


class Broken:
    """A fitted model whose network answers ``factor`` times too much for one symbol."""

    def __init__(self, fitted, factor: float) -> None:
        self.fitted, self.factor = fitted, factor

    def __getattr__(self, name: str):
        return getattr(self.fitted, name)

    def quantiles(self, inputs, rows, names=None):
        answers = self.fitted.quantiles(inputs, rows, names)
        answers["lstm"][inputs.panel.symbol_index[rows] == PANEL.symbols.index(ILL)] *= self.factor
        return answers


@pytest.mark.parametrize(("factor", "told"), [(np.nan, False), (np.inf, False), (1e6, False), (50.0, True)])
def test_answer_that_cannot_be_meant__is_refused_alone(fitted, inputs, factor, told):
    """No number, no end, a price of nothing, and one that can still be told in prices (for the record of a rival)."""
    (calm, _), (frame, refused) = forecasts(fitted, inputs), forecasts(Broken(fitted, factor), inputs)
    [(symbol, origin, error)] = refused
    assert (symbol, origin, type(error), error.forecaster) == (ILL, ORIGIN, WildForecast, "lstm")
    assert "\n" not in str(error) and ("no number" if np.isnan(error.deviations) else "standard deviations") in str(error)
    assert set(calm["forecaster"]) - set(frame.loc[frame["symbol"] == ILL, "forecaster"]) == (set() if told else {"lstm"})
    pd.testing.assert_frame_equal(others(frame), others(calm), check_exact=True)


def test_deviations__are_those_of_a_slow_reading(inputs):
    """The larger of the present standard deviation and that of all returns so far, times the root of the horizon."""
    rows = np.array([row for row in rows_at(inputs, PANEL.symbols, ORIGIN, SPEC.lookback)[0].values()])
    drawn = np.random.default_rng(5).normal(0, 0.3, (len(rows), 2, 7))  # far away, so that all of the past is looked at
    for found, row, quantiles in zip(deviations(inputs, rows, drawn, (1, 5)), rows, drawn, strict=True):
        symbol = PANEL.symbols[PANEL.symbol_index[row]]
        closes = [PANEL.close[r] for r in range(row + 1) if PANEL.symbols[PANEL.symbol_index[r]] == symbol]
        returns = [np.log(b / a) for a, b in zip(closes, closes[1:], strict=False)]
        spread = max(float(inputs.targets.scale[row]), float(np.std(returns)))
        assert found == pytest.approx(max(np.abs(quantiles[0]).max(), np.abs(quantiles[1]).max() / 5**0.5) / spread)


def test_deviations__do_not_take_a_split_for_a_move(fitted, inputs):
    """20 new shares for an old one, 40 sessions before: a fall of the traded close by 95 %, and no return."""
    row = rows_at(inputs, [ILL], ORIGIN, SPEC.lookback)[0][ILL]
    own = (np.arange(PANEL.rows) > row - 40) & (PANEL.symbol_index == PANEL.symbol_index[row])
    prices = {name: np.where(own, getattr(PANEL, name) / 20, getattr(PANEL, name)) for name in ("open", "high", "low", "close")}
    split = PANEL.split.copy()
    split[row - 39] = 20.0
    after = fitted.inputs(replace(PANEL, **prices, split=split), None)
    far = np.full((1, 2, 7), 0.5)
    plain, divided = (deviations(i, np.array([row]), far, (1, 5))[0] for i in (inputs, after))
    assert plain > 10 and divided == pytest.approx(plain, rel=1e-6)


def test_honest_forecasts__are_nowhere_near_the_bound(fitted, inputs):
    """Every forecaster of a model on an ordinary market: at most 5 standard deviations, and 10 is the bound."""
    rows = np.array([row for row in rows_at(inputs, PANEL.symbols, ORIGIN, SPEC.lookback)[0].values()])
    far = {name: deviations(inputs, rows, q, SPEC.horizons).max() for name, q in fitted.quantiles(inputs, rows).items()}
    assert max(far.values()) < 5, far
