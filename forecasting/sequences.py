"""Which rows the network reads together: sequences for training, windows for forecasting.

Both are index arrays into the flat panel; the values are gathered inside the training step, so nothing is ever copied
60-fold. Row -1 stands for "before the symbol's first bar" and reads as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.panel import Panel


@dataclass(frozen=True)
class Sequences:
    """N runs of consecutive rows of one symbol; the last ``labels`` rows of each carry the loss.

    ``first`` is the row of a sequence's first label (it may lie before the symbol's rows, where padding begins),
    ``start`` and ``stop`` the symbol's own rows; all int64 [N]. ``labelled`` bool [R]: rows with any label in the span.
    """

    first: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    burn_in: int
    labels: int
    labelled: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def take(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows int32 [n, burn_in + labels] (-1: padding) and loss mask bool [n, labels] of the ``chosen`` sequences."""
        first, start, stop = (a[chosen][:, None] for a in (self.first, self.start, self.stop))
        rows = first + np.arange(-self.burn_in, self.labels)
        rows = np.where((rows >= start) & (rows < stop), rows, -1)
        own = rows[:, self.burn_in :]
        mask = (own >= start + self.burn_in) & self.labelled[own]
        return rows.astype(np.int32), mask


def training_sequences(panel: Panel, labelled: np.ndarray, burn_in: int, labels: int, offset: int = 0) -> Sequences:
    """Cut each symbol's history so that every labelled row with ``burn_in`` rows before it is a label exactly once.

    ``offset`` (0 <= offset < labels) shifts where the history is cut, so that epochs see different cuts. Sequences without
    a label are left out.
    """
    starts, stops = panel.starts[:-1], panel.starts[1:]
    counts = np.maximum(0, -(-(stops - starts - burn_in + offset) // labels))
    first = np.repeat(starts + burn_in - offset, counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = first + nth * labels
    start, stop = np.repeat(starts, counts), np.repeat(stops, counts)
    before = np.append(0, np.cumsum(labelled))
    has_label = before[np.minimum(first + labels, stop)] > before[np.maximum(first, start + burn_in)]
    return Sequences(first[has_label], start[has_label], stop[has_label], burn_in, labels, labelled)


def windows(panel: Panel, rows: np.ndarray, lookback: int) -> np.ndarray:
    """The last ``lookback`` rows up to and including each of ``rows`` (int [N]), int32 [N, lookback]; -1: padding."""
    start = panel.starts[panel.symbol_index[rows]]
    index = rows[:, None] + np.arange(1 - lookback, 1)
    return np.where(index >= start[:, None], index, -1).astype(np.int32)


def padded(array: np.ndarray, multiple: int, value: object) -> np.ndarray:
    """``array`` made longer with ``value`` to a multiple of ``multiple`` rows."""
    missing = -len(array) % multiple
    return array if not missing else np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])
