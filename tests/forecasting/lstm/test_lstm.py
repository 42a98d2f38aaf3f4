"""The network and its training: what the spec refuses, that the fast path is right, and that bits repeat."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from forecasting.lstm import LstmSpec, Network, classical_spec, configure_tensorflow
from forecasting.lstm import network as network_file
from forecasting.lstm.inference import FORECAST_BATCH, Forecasting
from forecasting.lstm.table import Table
from forecasting.lstm.training import Trainer
from forecasting.models import fit_model
from forecasting.splits import Spans
from tests.forecasting.markets import walks

REFERENCE = np.array([[-1.6, -1.3, -0.7, 0.0, 0.7, 1.3, 1.6]] * 2, dtype=np.float32)
SMALL = dict(features=("ret", "abs_ret", "vol_level"), horizons=(1, 5), units=(8,), stem_units=4, head_units=4, lookback=20,
             labels_per_sequence=30, batch_size=16, members=1, min_updates=12, epochs=1)  # fmt: skip


def trainer(panel, **changes) -> Trainer:
    spec = LstmSpec(**{**SMALL, **changes})
    draw = np.random.default_rng(1)
    x = draw.normal(size=(panel.rows, 3)).astype(np.float32)
    y = draw.normal(size=(panel.rows, 2)).astype(np.float32)
    labels = np.ones((panel.rows, 2), bool)
    return Trainer(spec, 0, panel, x, y, labels & (panel.at < 200)[:, None], labels & (panel.at >= 200)[:, None], REFERENCE)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(bidirectional=True), "bidirectional reads later sessions"),
        (dict(normalisation="batch"), "batch normalisation mixes sessions"),
        (dict(loss="mse"), "output 'quantiles' goes with loss 'pinball'"),
        (dict(target="close"), "target 'close' needs output 'point'"),
        (dict(horizons=(5, 1)), "ascending"),
        (dict(horizons=(0,)), "from 1 to 250"),
        (dict(layers=3), "layers"),
    ],
)
def test_spec__refuses_what_would_leak_or_make_no_sense(wrong, says):
    with pytest.raises(ValidationError, match=says):
        LstmSpec(**wrong)


def test_network__starts_at_the_reference_forecaster():
    configure_tensorflow()
    network = Network(LstmSpec(**SMALL), 3, REFERENCE, seed=1)
    answer = np.asarray(network(np.random.default_rng(0).normal(size=(5, 20, 3)).astype(np.float32), labels=1))
    assert answer.shape == (5, 1, 2, 7)
    assert (answer == REFERENCE).all()


def test_network__has_no_forecast_that_depends_on_a_later_input():
    configure_tensorflow()
    network = Network(LstmSpec(**SMALL), 3, REFERENCE, seed=1)
    network.set_weights([w + 0.1 for w in network.get_weights()])
    x = np.random.default_rng(0).normal(size=(4, 50, 3)).astype(np.float32)
    poisoned = x.copy()
    poisoned[:, 41:] = 99
    before, after = np.asarray(network(x, labels=30)), np.asarray(network(poisoned, labels=30))
    assert (before[:, :21] == after[:, :21]).all()  # labels of steps 20 to 40
    assert (before[:, 21:] != after[:, 21:]).any()


@pytest.mark.parametrize(
    "changes",
    [{}, dict(per_symbol=True), dict(units=(8, 6), normalisation="layer"), dict(labels_per_sequence=1, bidirectional=True)],
)
def test_gradients__of_the_towers_equal_one_batch_through_plain_keras_layers(changes, monkeypatch):
    import tensorflow as tf

    t = trainer(walks(0, 4, 260), dropout=0.0, gradient_norm=1e6, **changes)
    draw = np.random.default_rng(2)
    t.network.set_weights([w + draw.normal(0, 0.1, w.shape).astype(np.float32) for w in t.network.get_weights()])
    rows, mask = next(t.batches(t.any_train))
    fast, loss = t.gradients(rows, mask, tf.constant(0))
    table = np.concatenate([np.zeros((1, 3), np.float32), np.asarray(t._inputs(tf.range(t.panel.rows)))])
    own = rows.numpy()[:, -t.labels :]
    monkeypatch.setattr(network_file, "on_gpu", lambda: True)  # there the layers are those of Keras
    twin = Network(t.spec, 3, REFERENCE, seed=1)
    twin.set_weights(t.network.get_weights())
    assert t.network.fused and not twin.fused
    with tf.GradientTape() as tape:
        answer = twin(tf.constant(table[rows.numpy() + 1]), t.labels)
        error = np.asarray(t._outcomes(tf.constant(own)))[..., None] - answer
        level = np.array(t.spec.quantiles, np.float32)
        each = tf.reduce_mean(tf.maximum(level * error, (level - 1) * error), -1)
        weight = (mask.numpy() & (t.panel.at[own] < 200))[..., None] * np.ones(2, np.float32)
        plain_loss = tf.reduce_sum(each * weight) / weight.sum()
    plain = tape.gradient(plain_loss, twin.trainable)
    assert float(loss) == pytest.approx(float(plain_loss), rel=1e-5)
    for a, b in zip(fast, plain, strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * max(np.linalg.norm(b), 1e-3)


def test_training__lowers_the_loss_of_a_learnable_target_and_keeps_the_best_weights():
    panel = walks(1, 4, 260)
    t = trainer(panel, min_updates=150, patience=50, dropout=0.0, learning_rate=0.01)
    x = np.asarray(t._inputs(np.arange(panel.rows)))
    t._outcomes = Table(x[:, :2])  # what has to be learnt: the first two inputs themselves
    history = t.run()
    assert history.valid_loss[history.kept] == min(history.valid_loss) < 0.5 * history.valid_loss[0]
    assert t.valid_loss() == pytest.approx(min(history.valid_loss), rel=1e-6)


def test_forecasting__alone_or_among_many_gives_the_same_bits():
    panel = walks(2, 40, 60)
    t = trainer(panel)
    draw = np.random.default_rng(3)
    t.network.set_weights([w + draw.normal(0, 0.2, w.shape).astype(np.float32) for w in t.network.get_weights()])
    run = Forecasting(t.network, 3)
    x = draw.normal(size=(panel.rows, 3)).astype(np.float32)
    rows = np.arange(30, panel.rows, 1)
    assert len(rows) > 3 * FORECAST_BATCH
    together = run(panel, x, rows)
    for some in ([0], [777], list(range(5, 600, 7)), list(reversed(range(500)))):
        assert (run(panel, x, rows[some]) == together[some]).all()


def forecast_bits() -> str:
    """A digest of the forecasts of a small ensemble and of its rivals, trained here and now."""
    panel = walks(5, 6, 500)
    day = panel.sessions.astype(object)
    spec = LstmSpec(units=(16,), lookback=20, labels_per_sequence=40, min_updates=20, members=2, horizons=(1, 5))
    fitted = fit_model(spec, panel, None, Spans(day[300], day[400], day[499]))
    answers = fitted.quantiles(fitted.inputs(panel), np.arange(450, 500))
    return hashlib.sha256(b"".join(answers[name].tobytes() for name in fitted.forecasters)).hexdigest()


def test_training__same_seed_in_other_processes_with_other_thread_counts_gives_the_same_forecast_bits():
    program = "from tests.forecasting.lstm.test_lstm import forecast_bits; print('bits', forecast_bits())"
    others = []
    for threads in ("1", "4"):  # the product's own number, two, is that of this process
        names = ("NEXTCLOSE_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        others.append(subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True))
    here = forecast_bits()
    for other in others:
        said = other.communicate(timeout=300)[0]
        assert other.returncode == 0 and said.split("bits ")[1].strip() == here


def test_classical_spec__is_the_tutorial_network():
    spec = classical_spec(units=(64, 32), bidirectional=True)
    assert (spec.features, spec.scaling, spec.loss, spec.labels_per_sequence) == (("close",), "minmax", "mse", 1)
