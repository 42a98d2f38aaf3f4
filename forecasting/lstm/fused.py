"""The LSTM layer for a CPU: ``keras.layers.LSTM`` with the same weights, whose recurrence is one compiled loop.

On a GPU the plain layer runs on cuDNN, and it is the one wherever the loop does not know how (``loop_knows``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def loop_knows(activation: str, recurrent_dropout: float) -> bool:
    """Whether the compiled loop computes such a layer: it has one activation, and draws nothing."""
    return activation == "tanh" and not recurrent_dropout


def on_gpu() -> bool:
    """Whether TensorFlow computes on a graphics card here."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def lstm_layer(units: int, fused: bool, **settings: Any) -> keras.layers.LSTM:
    """A layer of ``units``; ``fused``: computed by the compiled loop. ``settings``: what ``keras.layers.LSTM`` takes."""
    import keras

    return (_fused_layer() if fused else keras.layers.LSTM)(units, **settings)


@lru_cache(maxsize=1)
def _fused_layer() -> type:
    """The class, made on the first call: no module of ours imports TensorFlow when it is imported."""
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable(package="nextclose")  # a bidirectional layer makes its two from a description
    class FusedLSTM(keras.layers.LSTM):
        """``keras.layers.LSTM`` for sequences of float32 [B, T, F] from a state of zeros."""

        def call(self, sequences, initial_state=None, mask=None, training=False):
            if initial_state is not None or mask is not None:
                return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
            x = tf.reverse(sequences, [1]) if self.go_backwards else sequences
            cell = self.cell
            found = recurrence(x, tf.concat([cell.kernel, cell.recurrent_kernel], 0), tf.convert_to_tensor(cell.bias))
            return found if self.return_sequences else found[:, -1]

    return FusedLSTM


def recurrence(x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Outputs [B, T, U] on ``x`` [B, T, F], differentiable; ``w`` [F + U, 4U] and ``b`` [4U]: see the compiled loop."""
    import tensorflow as tf

    from forecasting.lstm.recurrence import backwards, forwards

    @tf.custom_gradient
    def run(x: tf.Tensor, w: tf.Tensor, b: tf.Tensor):
        # Without state: two towers may be in the loop at the same time.
        h = tf.numpy_function(forwards, (x, w, b), tf.float32, stateful=False)
        h = tf.ensure_shape(h, (*x.shape[:-1], b.shape[0] // 4))

        def gradients(dh: tf.Tensor):
            found = tf.numpy_function(backwards, (x, w, b, h, dh), (tf.float32,) * 3, stateful=False)
            return [tf.ensure_shape(part, of.shape) for part, of in zip(found, (x, w, b), strict=True)]

        return h, gradients

    return run(x, w, b)
