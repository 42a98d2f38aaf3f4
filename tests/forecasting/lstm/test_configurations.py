"""Every model is a configuration of one code: each trains, forecasts, and is rebuilt from its arrays and card."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecasting.errors import NoNetwork
from forecasting.inputs import make_inputs
from forecasting.lstm import LstmSpec, classical_spec
from forecasting.lstm.network import ACTIVATIONS, OPTIMIZERS
from forecasting.models import fit_model, rebuild
from forecasting.outlook import QUANTILE_COLUMNS, outlook
from forecasting.panel import Panel
from forecasting.splits import Spans
from forecasting.targets import excess_returns
from tests.forecasting.markets import walk_frame, walks

PANEL = walks(11, 3, 360)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[220], DAYS[290], DAYS[359])
ORIGINS = (DAYS[300], DAYS[310])
TINY = dict(
    features=("ret", "range"), stem_units=0, units=(4,), head_units=4, lookback=10, labels_per_sequence=20, members=1, epochs=1,
    min_updates=3, horizons=(1, 5),
)  # fmt: skip


def fit(spec, panel):
    return fit_model(spec, panel, None, SPANS, rivals=("ewma",))  # the network starts from this one; the others take their time


def forecasts_of(fitted, panel, origins, refusals=False):
    found = outlook(fitted, fitted.inputs(panel), panel.symbols, origins, lambda symbol, day, h: day + timedelta(days=h))
    return found[1] if refusals else found[0]


WINDOWS = dict(labels_per_sequence=1)
POINTS = dict(output="point", excess_weight=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        dict(units=(6, 4)),
        dict(units=(4,), bidirectional=True, **WINDOWS),
        dict(dropout=0.2, recurrent_dropout=0.2),
        dict(normalisation="layer"),
        dict(normalisation="batch", **WINDOWS),
        dict(activation="relu", optimizer="nadam"),
        dict(loss="huber", **POINTS),
        dict(loss="mae", optimizer="sgd", scaling="robust", **POINTS),
        dict(embedding_units=3),
        dict(per_symbol=True, members=2),
        dict(excess_weight=1.0),
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_configuration__trains_forecasts_and_is_rebuilt_to_the_bit(changes):
    spec = LstmSpec(**{**TINY, **changes})
    fitted = fit(spec, PANEL)
    frame = forecasts_of(fitted, PANEL, ORIGINS)
    lstm = frame[frame.forecaster == "lstm"]
    assert len(lstm) == 2 * 3 * 2
    quantiles = lstm[list(QUANTILE_COLUMNS)].to_numpy()
    assert np.isfinite(quantiles).all() and (np.diff(quantiles, axis=1) >= 0).all()
    pd.testing.assert_frame_equal(frame, forecasts_of(rebuild(fitted.arrays, fitted.card), PANEL, ORIGINS), check_exact=True)


def test_univariate__closes_in_a_zero_to_one_range_and_a_dense_head_as_in_the_tutorials():
    spec = classical_spec(units=(8, 8), features=("close", "close_lag_1", "close_lag_2"), **{"epochs": 1, "min_updates": 3})
    fitted = fit(spec, PANEL)
    train = PANEL.session <= np.datetime64(SPANS.train_end)
    scaled = fitted.scaled(fitted.inputs(PANEL))[:, 0]
    for i in range(3):  # each symbol's own closes of the training span fill 0 to 1; later ones may leave it
        own = scaled[(PANEL.symbol_index == i) & train]
        assert own.min() >= -0.05 and own.max() <= 1.05 and own.max() - own.min() > 0.8


def test_per_symbol__the_network_of_one_never_saw_the_others():
    spec = LstmSpec(**TINY, per_symbol=True)
    both = fit(spec, PANEL)
    swapped = Panel.from_frames(
        pd.concat([walk_frame(11, "S00", 360), walk_frame(99, "S01", 360).assign(symbol="S01"), walk_frame(11, "S02", 360)])
    )
    other = fit(spec, swapped)
    names = [name for name in both.arrays if name.startswith("lstm/S00/")]
    same = [np.array_equal(both.arrays[n], other.arrays[n]) for n in names]
    assert len(names) == 7 and not all(same)  # scaler and reference are common to all
    for n in names:
        assert both.arrays[n] == pytest.approx(other.arrays[n], abs=0.05)


def test_per_symbol__a_newcomer_is_refused_by_name_and_the_others_forecast():
    fitted = fit(LstmSpec(**TINY, per_symbol=True), PANEL)
    more = Panel.from_frames(pd.concat([*(walk_frame(11, f"S{i:02d}", 360) for i in range(3)), walk_frame(5, "NEW", 360)]))
    frame = forecasts_of(fitted, more, ORIGINS)
    assert set(frame.symbol) == {"S00", "S01", "S02"}
    refused = forecasts_of(fitted, more, ORIGINS, refusals=True)
    assert {symbol for symbol, _, _ in refused} == {"NEW"} and isinstance(refused[0][2], NoNetwork)
    assert str(refused[0][2]).startswith("NEW has no network of its own")


def test_embedding__a_stranger_gets_the_forecast_of_nobody_in_particular():
    fitted = fit(LstmSpec(**{**TINY, "min_updates": 30}, embedding_units=3), PANEL)
    table = fitted.arrays["lstm/0/03"]
    assert table.shape == (4, 3) and (table[0] == 0).all() and (table[1:] != 0).any()
    twin = Panel.from_frames(pd.concat([walk_frame(11, "S00", 360), walk_frame(11, "S00", 360).assign(symbol="TWIN")]))
    inputs = fitted.inputs(twin)
    rows = np.array([300, 360 + 300])
    own, stranger = fitted.quantiles(inputs, rows, ("lstm",))["lstm"]
    assert np.abs(own - stranger).max() > 0


def test_excess__is_the_outcome_less_the_sessions_mean_over_the_scale():
    inputs = make_inputs(PANEL, ("ret",), (1, 5))
    labels = np.isfinite(inputs.targets.returns) & np.isfinite(inputs.targets.scale)[:, None]
    labels[PANEL.symbol_index == 2] = False
    excess = excess_returns(PANEL, inputs.targets, labels)
    day = 200
    rows = np.flatnonzero(PANEL.at == day)[:2]
    outcome = inputs.targets.returns[rows, 1]
    by_hand = (outcome - (outcome[0] + outcome[1]) / 2) / inputs.targets.unit[rows, 1]
    assert excess[rows, 1] == pytest.approx(by_hand, rel=1e-5) and excess[np.flatnonzero(PANEL.at == day)[2], 1] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(bidirectional=True), "bidirectional reads later sessions"),
        (dict(normalisation="batch"), "batch normalisation mixes sessions"),
        (dict(loss="mse"), "output 'quantiles' goes with loss 'pinball'"),
        (dict(per_symbol=True, embedding_units=2), "a network of each symbol's own needs no embedding"),
        (dict(features=("set:volatilty",)), "did you mean 'set:volatility'"),
        (dict(activation="tan"), "Input should be"),
    ],
)
def test_inconsistent_settings__are_refused_with_a_reason(changes, said):
    with pytest.raises(ValidationError, match=said.replace("?", r"\?")):
        LstmSpec(**changes)


def test_names__are_those_of_keras():
    import keras

    assert all(callable(keras.activations.get(name)) for name in ACTIVATIONS)
    assert all(issubclass(getattr(keras.optimizers, name), keras.optimizers.Optimizer) for name in OPTIMIZERS.values())


def test_sets__are_spelt_out_in_the_spec_and_its_digest():
    spec = LstmSpec(features=("ret", "set:events"))
    assert spec.features[:2] == ("ret", "event_day_1") and len(spec.features) == 12
    assert spec.digest == LstmSpec(features=spec.features).digest
