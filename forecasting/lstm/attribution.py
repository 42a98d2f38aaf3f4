"""Integrated gradients: how much each input of one window moved an answer of the network away from that of an empty window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from forecasting.lstm.network import Network

if TYPE_CHECKING:
    import tensorflow as tf

Answers = Callable[["tf.Tensor"], "tf.Tensor"]  # the network's output [B, ...] to the A figures in question [B, A]


def integrated_gradients(
    network: Network, window: np.ndarray, answers: Answers, nodes: int, who: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The contributions of ``window`` (float32 [T, F], scaled) to each of A answers: float64 [A, T, F].

    x_tf times the mean of the gradient along the straight line from a window of zeros to x (Sundararajan, Taly and Yan 2017,
    equation 1), integrated by Gauss and Legendre's rule on ``nodes`` points. Also the answers themselves: of the window of
    zeros and of x, float64 [A] each; the contributions add up to their difference, but for the error of the rule. ``who``:
    the symbol's number in the embedding.
    """
    import tensorflow as tf

    points, weights = np.polynomial.legendre.leggauss(nodes)
    line = ((points + 1) / 2).astype(np.float32)[:, None, None] * window  # [nodes, T, F]
    ends = np.stack([np.zeros_like(window), window])
    at_ends = answers(network(tf.constant(ends), labels=1, who=tf.fill([2], who))[:, 0]).numpy().astype(np.float64)
    x = tf.constant(line)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found = answers(network(x, labels=1, who=tf.fill([nodes], who))[:, 0])  # [nodes, A]
        each = tf.unstack(tf.reduce_sum(found, axis=0))
    gradients = np.array([tape.gradient(one, x).numpy() for one in each], dtype=np.float64)  # [A, nodes, T, F]
    mean = np.tensordot(weights / 2, gradients, axes=(0, 1))  # [A, T, F]
    return mean * window.astype(np.float64), at_ends[0], at_ends[1]


def median_and_width(horizon: int, middle: int, low: int, high: int) -> Answers:
    """The median and the distance of two quantiles at position ``horizon``, of an output [B, H, Q]."""

    def answers(output: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        own = output[:, horizon]
        return tf.stack([own[:, middle], own[:, high] - own[:, low]], axis=1)

    return answers


def point(horizon: int, width: float = 1.0, center: float = 0.0, close: float | None = None, unit: float = 1.0) -> Answers:
    """The point at position ``horizon`` of an output [B, H], with a width of 0; where the output is a scaled close (``close``
    is that of the origin), as the log return that it means, over ``unit``."""

    def answers(output: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        own = output[:, horizon]
        if close is not None:
            own = tf.math.log(tf.maximum((own * width + center) / close, 1e-3)) / unit
        return tf.stack([own, tf.zeros_like(own)], axis=1)

    return answers
