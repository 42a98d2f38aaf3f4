"""The compiled recurrence is the LSTM layer of Keras, to rounding; dropout drawn by a loop is dropout."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.lstm import LstmSpec, Network, configure_tensorflow
from forecasting.lstm import network as network_file
from forecasting.lstm.fused import loop_knows, lstm_layer
from forecasting.lstm.recurrence import backwards, forwards

configure_tensorflow()

import keras  # noqa: E402  (the two below only after TensorFlow was configured)
import tensorflow as tf  # noqa: E402

from forecasting.lstm.dropout import dropped  # noqa: E402

TABLE = np.array([[-1.3, -1.0, -0.6, 0.0, 0.6, 1.0, 1.3]] * 2, dtype=np.float32)


def both(units: int, features: int, **settings):
    """The plain layer and ours with the same weights, none of them zero."""
    plain, fused = (lstm_layer(units, looped, **settings) for looped in (False, True))
    for layer in (plain, fused):
        layer.build((None, None, features))
    draw = np.random.default_rng(1)
    weights = [draw.normal(0, 0.4, w.shape).astype(np.float32) for w in plain.get_weights()]
    plain.set_weights(weights)
    fused.set_weights(weights)
    return plain, fused


def values_and_gradients(layer, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    """The layer's outputs and the gradients of their sum, weighted by ``dy``, in its input and its three weights."""
    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        y = layer(given)
        total = tf.reduce_sum(y * dy)
    gradients = tape.gradient(total, [given, *(w.value for w in layer.trainable_weights)])
    return [np.asarray(part) for part in (y, *gradients)]


@pytest.mark.parametrize(
    ("rows", "steps", "features", "units", "settings"),
    [
        (32, 90, 26, 32, dict(return_sequences=True)),
        (5, 30, 3, 7, dict(return_sequences=True)),  # nothing a multiple of four
        (6, 30, 26, 50, {}),  # a window: only the last output counts
        (5, 20, 4, 8, dict(return_sequences=True, go_backwards=True)),
        (1, 2, 1, 1, {}),
    ],
)
def test_fused_layer__gives_the_values_and_gradients_of_the_plain_layer(rows, steps, features, units, settings):
    plain, fused = both(units, features, **settings)
    draw = np.random.default_rng(2)
    x = draw.normal(0, 2, (rows, steps, features)).astype(np.float32)
    dy = draw.normal(size=plain(x).shape).astype(np.float32)
    theirs, ours = values_and_gradients(plain, x, dy), values_and_gradients(fused, x, dy)
    assert np.abs(ours[0] - theirs[0]).max() < 2e-6  # values lie between -1 and 1
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert mine.shape == other.shape
        assert np.linalg.norm(mine - other) <= 1e-5 * np.linalg.norm(other)


def test_fused_layer__inside_bidirectional_reads_both_ways_as_the_plain_one():
    outer = [keras.layers.Bidirectional(lstm_layer(6, looped)) for looped in (False, True)]
    x = np.random.default_rng(3).normal(size=(4, 12, 5)).astype(np.float32)
    plain, fused = (layer(x) for layer in outer)
    assert np.abs(plain - fused).max() > 1e-3  # other weights so far
    outer[1].set_weights(outer[0].get_weights())
    assert np.abs(outer[1](x) - plain).max() < 1e-6


def test_recurrence__a_sequence_alone_or_among_others_gives_the_same_bits():
    draw = np.random.default_rng(4)
    x, w, b = (draw.normal(0, 0.5, shape).astype(np.float32) for shape in ((11, 25, 6), (6 + 9, 36), (36,)))
    dh = draw.normal(size=(11, 25, 9)).astype(np.float32)
    together = forwards(x, w, b)
    dx = backwards(x, w, b, together, dh)[0]
    for some in ([0], [10], [3, 7, 8, 9, 1]):
        assert (forwards(x[some], w, b) == together[some]).all()
        assert (backwards(x[some], w, b, together[some], dh[some])[0] == dx[some]).all()


def test_recurrence__what_is_not_a_number_stays_so_and_goes_nowhere_else():
    draw = np.random.default_rng(5)
    x, w, b = (draw.normal(0, 0.5, shape).astype(np.float32) for shape in ((6, 10, 4), (4 + 3, 12), (12,)))
    clean = forwards(x, w, b)
    x[2, 5, 1] = np.nan
    h = forwards(x, w, b)
    assert np.isnan(h[2, 5:]).all() and (h[2, :5] == clean[2, :5]).all()
    assert (np.delete(h, 2, axis=0) == np.delete(clean, 2, axis=0)).all()


def test_recurrence__very_large_inputs_saturate():
    x = np.full((2, 4, 1), 1e30, np.float32)
    w, b = np.ones((1 + 2, 8), np.float32), np.zeros(8, np.float32)
    h = forwards(x, w, b)
    assert np.isfinite(h).all() and (np.abs(h) <= 1).all() and h[0, -1, 0] > 0.99


def test_network__takes_the_loop_where_it_knows_how_and_the_plain_layer_elsewhere(monkeypatch):
    def kind(**changes) -> str:
        spec = LstmSpec(**{**dict(features=("ret",), horizons=(1, 5), units=(3,), lookback=5), **changes})
        return type(Network(spec, 1, TABLE, seed=1).recurrent[0]).__name__

    assert kind() == "FusedLSTM"
    assert kind(activation="relu") == kind(recurrent_dropout=0.1) == "LSTM"
    assert loop_knows("tanh", 0.0) and not loop_knows("sigmoid", 0.0)
    monkeypatch.setattr(network_file, "on_gpu", lambda: True)
    assert kind() == "LSTM"  # there it is cuDNN's


def test_dropout__keeps_the_right_share_makes_it_larger_and_repeats_by_its_seed():
    x = tf.ones((300, 40, 10))
    kept = {seed: np.asarray(dropped(x, 0.3, tf.constant(seed), looped=True)) for seed in ((7, 1), (7, 2), (8, 1))}
    for mask in kept.values():
        assert set(np.unique(mask).tolist()) == {0.0, float(np.float32(1 / 0.7))}
        assert (mask == 0).mean() == pytest.approx(0.3, abs=0.006)  # four standard errors of 120,000 draws
    assert (np.asarray(dropped(x, 0.3, tf.constant((7, 1)), looped=True)) == kept[7, 1]).all()
    flat = {seed: mask.ravel() - mask.mean() for seed, mask in kept.items()}

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    first = flat[7, 1]
    alike = [
        correlation(first, flat[7, 2]),
        correlation(first, flat[8, 1]),
        *(correlation(first[:-k], first[k:]) for k in (1, 10, 400)),
    ]
    assert np.abs(alike).max() < 0.0125  # four standard errors and a bit


def test_dropout__its_gradient_passes_where_the_value_did():
    x = tf.constant(np.random.default_rng(6).normal(size=(50, 8)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = dropped(x, 0.5, tf.constant((1, 1)), looped=True)
    gradient = np.asarray(tape.gradient(y, x))
    assert (gradient == np.where(np.asarray(y) == 0, 0, 2)).all()
