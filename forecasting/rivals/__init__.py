"""The rivals: simple forecasters that the LSTM has to beat, and that serve under their own name when it does not.

Each answers quantiles of the log return over each horizon, from what was known at the row; one file a rival
(docs/rivals.md):

    persistence       the last close, give or take what the symbol's moves have been so far
    drift             the last close plus the symbol's average move so far
    seasonal          the move that the same sessions made one week or one year ago
    ewma              EWMA volatility times the pooled empirical quantiles of the standardised training returns
    historical        the quantiles of the symbol's own last 500 moves over the horizon
    har               the variance of the last day, week, month and year, log-linear, pooled over symbols
    garch             GJR-GARCH(1,1)-t a symbol, filtered forward; only where the settings ask for it, needs ``arch``
    ridge             a linear forecast of the mean on the network's own features, with the quantiles of its residuals
    linear_quantile   a linear function of the same features for each level

The names are those of the ledger: they stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

import numpy as np

from forecasting.inputs import Inputs
from forecasting.rivals.known import Known, Labels, Moments, Rival, quantile_table, running_moments

#: Fitted with every model; without one of them there is no evaluation.
RIVALS = ("persistence", "drift", "seasonal", "ewma", "historical", "har", "ridge", "linear_quantile")
#: Fitted only where the settings ask for them.
OPTIONAL = ("garch",)
#: The rivals of a model whose card does not name them.
FIRST_RIVALS = ("persistence", "drift", "ewma", "ridge")
REFERENCE = "ewma"  # the rival whose quantile table the network starts from

__all__ = (
    "FIRST_RIVALS", "OPTIONAL", "REFERENCE", "RIVALS", "Known", "Moments",
    "fit_rivals", "quantile_table", "rival_quantiles", "rivals_among", "running_moments",
)  # fmt: skip


def rivals_among(forecasters: Iterable[str]) -> tuple[str, ...]:
    """Those of ``forecasters`` that are rivals, in their order: not the LSTM, not a champion."""
    from forecasting.rivals.own import own_rival

    return tuple(name for name in forecasters if name in RIVALS or name in OPTIONAL or own_rival(name))


def fit_rivals(
    inputs: Inputs, x: np.ndarray, train: np.ndarray, valid: np.ndarray, names: tuple[str, ...] = RIVALS
) -> dict[str, np.ndarray]:
    """Fit the rivals ``names`` on the labels ``train`` (bool [R, H]); ``valid`` only chooses between penalties and the like.

    ``x``: scaled features float32 [R, F]. Returns the arrays that a model folder keeps, named 'rival/part'.
    """
    known = Known(inputs, x, inputs.panel.symbols)
    labels = Labels(known, train, valid)
    return {f"{name}/{part}": array for name in names for part, array in _rival(name).fit(known, labels).items()}


def rival_quantiles(
    name: str, arrays: Mapping[str, np.ndarray], inputs: Inputs, x: np.ndarray, rows: np.ndarray, known: Known | None = None
) -> np.ndarray:
    """Quantiles of the log return of ``rows`` (int [N]) over each horizon, float64 [N, H, Q], ascending in Q.

    ``known``: what the rivals know of ``inputs``, where several are asked one after the other; it names the symbols that
    the model was fitted on (by default those of ``inputs``).
    """
    parts = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
    return _rival(name).quantiles(parts, known or Known(inputs, x, inputs.panel.symbols), rows)


def _rival(name: str) -> Rival:
    """The module of a rival, loaded when it is first asked: those who only want the names must not wait for a compiler."""
    from forecasting.rivals.own import own_rival

    if (own := own_rival(name)) is not None:
        return own
    return import_module(f"{__name__}.{name}")
