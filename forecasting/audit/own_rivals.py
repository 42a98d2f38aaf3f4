"""Does a forecaster of a person's own see the future? Its answers are asked for again where later rows are missing or nonsense.

The built-in rivals are held to this by tests; a file of somebody's is asked in every training. Libraries may round a sum
otherwise from call to call, so answers count as the same where they agree to CLOSE; what looks ahead differs by far more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.audit import probes
from forecasting.audit.features import AuditReport, Finding
from forecasting.inputs import ready_rows
from forecasting.panel import Panel

if TYPE_CHECKING:
    from forecasting.models import Fitted

CLOSE = 1e-4  # of the spread of the answers
SYMBOLS, ROWS, CUTS = 3, 420, 3


def audit_own_rivals(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, seed: int = 0) -> AuditReport:
    """One finding for each forecaster of ``card['own_rivals']`` whose answers follow what comes later: K1 or K3."""
    names = tuple(fitted.card.get("own_rivals") or {})
    random = np.random.default_rng(seed)
    sample = probes.sample(panel, SYMBOLS, max(ROWS, 3 * fitted.spec.lookback), random)
    if not names or sample.rows == 0:
        return AuditReport((), 0)
    expected, found, compared = _answers(fitted, sample, macro, names), {}, 0
    for cut in probes.cuts(sample, CUTS, False, random)[-CUTS:]:
        rows = sample.session <= cut
        known = None if macro is None else macro[probes.day(macro) <= cut]
        changed = [
            ("K1", f"changes when the data ends on {cut}", sample.until(cut), known),
            ("K3", f"changes with a future of noise after {cut}", probes.poisoned(sample, ~rows, "noise", random), macro),
            ("K3", f"changes with a tenfold future after {cut}", probes.poisoned(sample, ~rows, "tenfold", random), macro),
        ]
        for code, detail, other, values in changed:
            for name, actual in _answers(fitted, other, values, names).items():
                one, two = expected[name][rows], actual if len(actual) == rows.sum() else actual[rows]
                compared += one.size
                wrong = ~np.isclose(one, two, rtol=0.0, atol=CLOSE * np.nanstd(one), equal_nan=True).all(axis=1)
                if wrong.any() and name not in found:
                    row = np.flatnonzero(rows)[np.flatnonzero(wrong)[0]]
                    symbol = sample.symbols[sample.symbol_index[row]]
                    found[name] = Finding(code, name, symbol, str(sample.session[row]), detail, int(wrong.sum()))
    return AuditReport(tuple(found.values()), compared)


def _answers(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each forecaster's answers, float64 [R, H * Q]; NaN where a row cannot be forecast from."""
    inputs = fitted.inputs(panel, macro)
    rows = np.flatnonzero(ready_rows(panel, inputs.targets, fitted.spec.lookback))
    tables = {}
    for name, answer in fitted.quantiles(inputs, rows, names).items():
        tables[name] = np.full((panel.rows, answer.shape[1] * answer.shape[2]), np.nan)
        tables[name][rows] = answer.reshape(len(rows), -1)
    return tables
