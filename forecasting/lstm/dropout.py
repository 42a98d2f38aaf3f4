"""Dropout drawn from a seed alone, so that towers may run in any order: on a CPU by a counter that is scrambled.

TensorFlow's own stateless draws take a tenth of a training step; the compiled loop takes a tenth of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecasting.lstm.recurrence import compiled

if TYPE_CHECKING:
    import tensorflow as tf


def dropped(x: tf.Tensor, rate: float, seed: tf.Tensor, looped: bool) -> tf.Tensor:
    """``x`` with a share of ``rate`` set to zero and the rest made larger by what is missing; ``seed`` int32 [2].

    ``looped``: drawn by the compiled loop, for a CPU.
    """
    import tensorflow as tf

    if not looped:
        return tf.nn.experimental.stateless_dropout(x, rate, seed=seed)
    numbers = tf.concat([tf.size(x)[None], seed], 0)
    kept = tf.numpy_function(kept_of, (numbers, np.array([rate])), tf.float32, stateful=False)
    return x * tf.reshape(kept, tf.shape(x))


@compiled
def _scrambled(x):
    """A 32-bit hash without fixed structure: shifts and products (C. Wellons, "Prospecting for hash functions", 2018)."""
    x = np.uint32((x ^ (x >> 16)) * np.uint32(0x7FEB352D))  # the compiler widens what it multiplies: cut again each time
    x = np.uint32((x ^ (x >> 15)) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> 16))


@compiled
def kept_of(numbers, rate):
    """Factors, float32: 0 with probability ``rate`` [1], else 1 / (1 - rate). ``numbers``: how many, and the seed's two."""
    one = _scrambled(np.uint32(numbers[1]))
    two = _scrambled(np.uint32(np.uint32(numbers[2]) ^ one))
    below = np.uint32(np.int64(rate[0] * 4294967296.0))
    kept = np.float32(1.0 / (1.0 - rate[0]))
    out = np.empty(numbers[0], np.float32)
    for i in range(numbers[0]):
        drawn = _scrambled(np.uint32(_scrambled(np.uint32(np.uint32(i) ^ one)) + two))
        out[i] = kept if drawn >= below else np.float32(0.0)
    return out
