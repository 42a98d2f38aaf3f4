"""The scaled panel on the device: one 2-D block, from which a training step gathers its sequences by row."""

from __future__ import annotations

import numpy as np


class Table:
    """Rows of float32 on the device, called with row indices (-1: zeros); exchanged without anything being compiled anew."""

    def __init__(self, block: np.ndarray) -> None:
        import tensorflow as tf

        self.width = block.shape[1]
        self._rows = tf.Variable(self._padded(block), shape=(None, self.width), trainable=False)

    def fill(self, block: np.ndarray) -> None:
        """Hold ``block`` (float32 [R, F]) from now on."""
        self._rows.assign(self._padded(block))

    def __call__(self, rows):
        import tensorflow as tf

        return tf.gather(self._rows, rows + 1)

    def _padded(self, block: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((1, self.width), np.float32), block])  # row -1 is row 0 of the table
