"""Forecasting with one network: the last sessions of each row, in one fixed batch shape, compiled once for a specification."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from forecasting.lstm.engine import TOWERS, configure_tensorflow
from forecasting.lstm.network import LstmSpec, Network
from forecasting.panel import Panel
from forecasting.sequences import padded, windows

Progress = Callable[[str, int, int], None]  # stage, done, of how many
FORECAST_BATCH = 512  # every forecast is made in a batch of exactly this shape, so that company changes no bit


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
            jit_compile=True,
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
        two threads; each is a computation of its own, so the order cannot change a bit.
        """
        table = np.concatenate([np.zeros((1, self.width), np.float32), x])
        own = np.zeros(len(rows), np.int32) if who is None else who[panel.symbol_index[rows]].astype(np.int32)
        starts = range(0, len(rows), FORECAST_BATCH)

        def one(begin: int) -> np.ndarray:
            mine = rows[begin : begin + FORECAST_BATCH]
            index = padded(windows(panel, mine, self.lookback), FORECAST_BATCH, -1)
            names = padded(own[begin : begin + FORECAST_BATCH], FORECAST_BATCH, 0)
            return self._run(table[index + 1], names).numpy()[: len(mine)]

        parts = []
        with ThreadPoolExecutor(TOWERS) as pool:
            for done, part in enumerate(pool.map(one, starts)):
                parts.append(part)
                if progress:
                    progress("forecasting", done + 1, len(starts))
        return (
            np.concatenate(parts)
            if parts
            else self._run(
                np.zeros((FORECAST_BATCH, self.lookback, self.width), np.float32), np.zeros(FORECAST_BATCH, np.int32)
            ).numpy()[:0]
        )
