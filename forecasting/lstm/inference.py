"""Forecasting with one network: the last sessions of each row, in one fixed batch shape, compiled once for a specification."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from forecasting.lstm.engine import configure_tensorflow, threads_here
from forecasting.lstm.network import LstmSpec, Network
from forecasting.lstm.recurrence import compiled as looped
from forecasting.panel import Panel

Progress = Callable[[str, int, int], None]  # stage, done, of how many
FORECAST_BATCH = 256  # every forecast is made in a batch of exactly this shape, so that company changes no bit


@dataclass(frozen=True)
class Compiled:
    """A network and its forecasting function, for whoever holds ``lock`` and gives it weights."""

    network: Network
    run: Forecasting
    lock: threading.RLock


@lru_cache(maxsize=4)
def compiled(spec: LstmSpec, n_features: int, start: tuple[int, ...], symbols: int = 0) -> Compiled:
    """One for all models of a spec, whose start has that shape: compiling takes a second, and only the weights differ."""
    network = Network(spec, n_features, np.zeros(start, np.float32), spec.seed, symbols)
    return Compiled(network, Forecasting(network, n_features), threading.RLock())


class Forecasting:
    """Forecasts of one network from the last ``lookback`` sessions, in one fixed batch shape, compiled once."""

    def __init__(self, network: Network, n_features: int) -> None:
        configure_tensorflow()
        import tensorflow as tf

        self.lookback, self.width = network.spec.lookback, n_features

        @tf.function(
            jit_compile=not network.fused,  # the compiled loop is faster, and not XLA's
            autograph=False,
            input_signature=[
                tf.TensorSpec((FORECAST_BATCH, self.lookback, n_features), tf.float32),
                tf.TensorSpec((FORECAST_BATCH,), tf.int32),
            ],
        )
        def run(x, who):
            return network(x, labels=1, who=who)[:, 0]

        self._run = run

    def __call__(
        self, panel: Panel, x: np.ndarray, rows: np.ndarray, progress: Progress | None = None, who: np.ndarray | None = None
    ) -> np.ndarray:
        """The network's answers for ``rows`` (int [N]) of the scaled block ``x`` (float32 [R, F]): float32 [N, H(, Q)].

        ``who`` (int [S]): for each symbol of the panel its number in the embedding, 0: a stranger. Batches run on
        several threads; each is a computation of its own, so the order cannot change a bit.
        """
        index = np.searchsorted(panel.starts, rows, side="right") - 1
        own = np.zeros(len(rows), np.int32) if who is None else who[index].astype(np.int32)
        begins = range(0, max(len(rows), 1), FORECAST_BATCH)  # no row at all: one batch of nothing, for the shape

        def one(begin: int) -> np.ndarray:
            mine = slice(begin, begin + FORECAST_BATCH)
            given = np.empty((FORECAST_BATCH, self.lookback, self.width), np.float32)
            names = np.zeros(FORECAST_BATCH, np.int32)
            names[: len(own[mine])] = own[mine]
            copy_windows(x, rows[mine], panel.starts[index[mine]], given)
            return self._run(given, names).numpy()[: len(rows[mine])]

        parts = []
        with ThreadPoolExecutor(threads_here()) as pool:
            for done, part in enumerate(pool.map(one, begins)):
                parts.append(part)
                if progress:
                    progress("forecasting", done + 1, len(begins))
        return np.concatenate(parts)


@looped
def copy_windows(x, rows, firsts, out):
    """The last T rows of ``x`` [R, F] up to each of ``rows`` into ``out`` [N, T, F]: zeros for what lies before ``firsts``, the
    symbol's first row, and for windows beyond the rows that are asked for."""
    count, steps, width = out.shape
    for n in range(count):
        if n >= rows.size:
            out[n] = np.float32(0.0)
            continue
        for t in range(steps):
            row = rows[n] - steps + 1 + t
            target = out[n, t]
            if row < firsts[n]:
                target[:] = np.float32(0.0)
            else:
                source = x[row]
                for j in range(width):
                    target[j] = source[j]
