"""Has anything seen the future? Features, fitted objects and splits are asked by changing only what came later.

The codes are stable: K1 truncation, K3 poisoned future or one later cell, K5 order of symbols, K6 fitted on training rows
only, K8 purge, K9 embargo, K10 split by time, K15 a later split or dividend. What is compared is compared bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from forecasting.audit import probes
from forecasting.errors import LeakFound
from forecasting.panel import ROW_COLUMNS, Panel

Compute = Callable[[Panel, pd.DataFrame | None], np.ndarray]
Fit = Callable[..., Mapping[str, np.ndarray]]  # of a panel and the last session to learn from, and macro values where asked


@dataclass(frozen=True)
class Finding:
    """One property broken by one feature, parameter or split: the first cell where it showed, and how many did."""

    code: str
    what: str
    symbol: str
    session: str
    detail: str
    cells: int = 1

    def __str__(self) -> str:
        place = f" at {self.symbol} {self.session}" if self.symbol else ""
        return f"{self.code} {self.what}{place}: {self.detail} ({self.cells} cells)"


@dataclass(frozen=True)
class AuditReport:
    """What was found and how many values were compared; no finding after no comparison is not a pass."""

    findings: tuple[Finding, ...]
    compared: int

    @property
    def ok(self) -> bool:
        return self.compared > 0 and not self.findings

    def __add__(self, other: AuditReport) -> AuditReport:
        return AuditReport(self.findings + other.findings, self.compared + other.compared)

    def raise_if_leaky(self) -> None:
        """LeakFound naming the first finding, if there is one."""
        if self.findings:
            first = self.findings[0]
            raise LeakFound(first.what, f"{first.code}, {first.detail}, {first.symbol} {first.session}".rstrip(", "))


class _Notes:
    """Collects findings, one per (code, feature)."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.compared, self.found = tuple(names), 0, {}

    def compare(self, code: str, detail: str, panel: Panel, rows: np.ndarray, expected: np.ndarray, actual: np.ndarray) -> None:
        """``expected`` and ``actual`` [n, F] are the values of the rows ``rows`` [n] of ``panel``."""
        if expected.shape != actual.shape:
            self._add(code, "shape", "", "", f"{detail}: {actual.shape} values instead of {expected.shape}", 1)
            return
        self.compared += expected.size
        different = ~((expected == actual) | (np.isnan(expected) & np.isnan(actual)))
        for column in np.flatnonzero(different.any(axis=0)):
            cells = np.flatnonzero(different[:, column])
            row = rows[cells[0]]
            name = self.names[column] if column < len(self.names) else f"column {column}"
            self._add(code, name, panel.symbols[panel.symbol_index[row]], str(panel.session[row]), detail, len(cells))

    def _add(self, code: str, what: str, symbol: str, session: str, detail: str, cells: int) -> None:
        known = self.found.get((code, what))
        self.found[code, what] = (
            replace(known, cells=known.cells + cells) if known else Finding(code, what, symbol, session, detail, cells)
        )

    def report(self) -> AuditReport:
        return AuditReport(tuple(self.found.values()), self.compared)


def audit(
    compute: Compute,
    panel: Panel,
    macro: pd.DataFrame | None = None,
    names: Sequence[str] = (),
    *,
    symbols: int = 5,
    rows: int = 420,
    cuts: int = 8,
    every_session: bool = False,
    seed: int = 0,
) -> AuditReport:
    """Whether ``compute(panel, macro)`` [R, F] gives any row a value that depends on something later.

    Looks at the last ``rows`` rows of at most ``symbols`` symbols, once as they are and once with holes (unknown prices,
    volumes and macro values), since filling is where a future hides. ``cuts`` sessions are tried, five of them in a row so
    that a week is cut at each of its days (``every_session``: all of them). ``names``: of the columns. Deterministic.
    """
    random = np.random.default_rng(seed)
    sample = probes.sample(panel, symbols, rows, random)
    notes = _Notes(names)
    if sample.rows == 0:
        return notes.report()
    at = probes.cuts(sample, cuts, every_session, random)
    for number, (base, known) in enumerate(((sample, macro), probes.with_holes(sample, macro, at, random))):
        expected = _values(compute, base, known)
        for cut in at:
            _truncate(notes, compute, base, known, expected, cut)
        for kind in probes.POISONS:
            for cut in at[number :: max(1, len(at) // 2)]:
                _poison(notes, compute, base, known, expected, cut, kind, random)
        for cut in at[:: max(1, len(at) // 2)]:
            _late_actions(notes, compute, base, known, expected, cut)
        _reorder(notes, compute, base, known, expected)
        _single_cells(notes, compute, base, known, expected, random)
    return notes.report()


def audit_fitted(
    fit: Fit, panel: Panel, train_end: object, *, symbols: int = 5, rows: int = 420, seed: int = 0, begin: object = None,
    macro: pd.DataFrame | None = None,
) -> AuditReport:  # fmt: skip
    """Whether ``fit(panel, train_end)`` (name -> array: scaler, quantile table, selection) looked past ``train_end`` (K6).

    ``begin``: the session that the sample lies around, by default ``train_end``. ``macro``: where given, ``fit`` takes it as a
    third argument, and its later values are changed with the later rows. A fit that answers nothing on the sample has not been
    compared.
    """
    random = np.random.default_rng(seed)
    end = np.datetime64(str(train_end)[:10], "D")
    around = end if begin is None else np.datetime64(str(begin)[:10], "D")
    sample = probes.sample(panel, symbols, rows, random, around=around)
    after = sample.session > end
    found, compared = [], 0
    if not after.any() or after.all():
        return AuditReport((), 0)

    def fitted(some: Panel, known: pd.DataFrame | None) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in fit(some, end, *(() if macro is None else (known,))).items()}

    expected = fitted(sample, macro)
    noise = random.lognormal(0.0, 0.5, 0 if macro is None else len(macro))
    changed = {
        "what came after the span times 1000": (probes.scaled(sample, after, 1000.0), _macro_after(macro, end, 1000.0)),
        "what came after the span as noise": (
            probes.poisoned(sample, after, "noise", random),
            _macro_after(macro, end, noise),
        ),
        "nothing after the span": (sample.until(end), None if macro is None else macro[probes.day(macro) <= end]),
    }
    for detail, other in changed.items():
        actual = fitted(*other)
        for name in sorted(expected.keys() | actual.keys()):
            one, two = expected.get(name), actual.get(name)
            compared += 1 if one is None else one.size
            if not _same(one, two) and not any(f.what == name for f in found):
                found.append(Finding("K6", name, "", "", f"differs with {detail}"))
    return AuditReport(tuple(found), compared)


@dataclass(frozen=True)
class LabelSpans:
    """Samples as their origin (last session of the input) and label end, both positions in the calendar, int [n]."""

    origin: np.ndarray
    label_end: np.ndarray


def audit_split(train: LabelSpans, valid: LabelSpans, test: LabelSpans | None = None, embargo: int = 0) -> AuditReport:
    """Whether the parts of a split keep apart in time, for all symbols together.

    K10: every origin of a part lies before every origin of the next. K8: no label of a part reaches the first origin of
    the next. K9: at least ``embargo`` whole sessions lie between them. Spans with no samples say nothing.
    """
    found, compared = [], 0
    parts = [("training", train), ("validation", valid)] + ([("test", test)] if test is not None else [])
    for (earlier_name, earlier), (later_name, later) in zip(parts, parts[1:], strict=False):
        if len(earlier.origin) == 0 or len(later.origin) == 0:
            continue
        first = int(later.origin.min())
        compared += len(earlier.origin)
        for code, wrong, detail in (
            ("K10", earlier.origin >= first, f"{earlier_name} origins on or after the first {later_name} origin"),
            ("K8", earlier.label_end >= first, f"{earlier_name} labels that reach into {later_name} sessions"),
            ("K9", earlier.label_end + embargo >= first, f"{earlier_name} labels within {embargo} sessions of {later_name}"),
        ):
            if wrong.any() and (code != "K9" or embargo > 0):
                found.append(Finding(code, f"{earlier_name}/{later_name} split", "", "", detail, int(wrong.sum())))
    return AuditReport(tuple(found), compared)


def _values(compute: Compute, panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
    values = np.asarray(compute(panel, macro))
    return values.reshape(panel.rows, -1) if values.ndim == 1 else values


def _truncate(notes, compute, panel, macro, expected, cut) -> None:
    rows = np.flatnonzero(panel.session <= cut)
    known = macro[probes.day(macro) <= cut] if macro is not None else None
    actual = _values(compute, panel.until(cut), known)
    notes.compare("K1", f"changes when the data ends on {cut}", panel, rows, expected[rows], actual)


def _poison(notes, compute, panel, macro, expected, cut, kind, random) -> None:
    rows = np.flatnonzero(panel.session <= cut)
    known = macro
    if macro is not None and len(macro):
        value = macro["value"].to_numpy(dtype=np.float64)
        late = probes.day(macro) > cut
        known = macro.assign(value=np.where(late, probes.poisoned_values(value, late, kind, random), value))
    actual = _values(compute, probes.poisoned(panel, panel.session > cut, kind, random), known)
    notes.compare("K3", f"changes with a future of {kind} after {cut}", panel, rows, expected[rows], actual[rows])


def _late_actions(notes, compute, panel, macro, expected, cut) -> None:
    rows = np.flatnonzero(panel.session <= cut)
    later = panel.session > cut
    event = np.zeros(panel.rows, dtype=bool)
    for i in range(len(panel.symbols)):
        after = np.flatnonzero(later[panel.starts[i] : panel.starts[i + 1]])
        event[panel.starts[i] + after[:1]] = True
    split = replace(
        panel,
        split=np.where(event, panel.split * 4.0, panel.split),
        volume=np.where(later, panel.volume * 4.0, panel.volume),
        **{name: np.where(later, getattr(panel, name) / 4.0, getattr(panel, name)) for name in probes.PRICES},
    )
    paid = replace(panel, dividend=np.where(event, panel.dividend + 0.05 * np.nan_to_num(panel.close, nan=1.0), panel.dividend))
    for what, other in (("split", split), ("dividend", paid)):
        actual = _values(compute, other, macro)
        notes.compare("K15", f"changes with a {what} after {cut}", panel, rows, expected[rows], actual[rows])


def _reorder(notes, compute, panel, macro, expected) -> None:
    order = np.arange(len(panel.symbols))[::-1]
    rows = np.concatenate([np.arange(panel.starts[i], panel.starts[i + 1]) for i in order])
    counts = np.diff(panel.starts)[order]
    columns = {c: getattr(panel, c)[rows] for c in ROW_COLUMNS}
    starts = np.append(0, np.cumsum(counts)).astype(np.int64)
    other = replace(panel, symbols=tuple(panel.symbols[i] for i in order), starts=starts, **columns)
    notes.compare("K5", "changes with the order of the symbols", panel, rows, expected[rows], _values(compute, other, macro))


def _single_cells(notes, compute, panel, macro, expected, random) -> None:
    for row in random.choice(panel.rows, size=min(6, panel.rows), replace=False):
        name = probes.COLUMNS[random.integers(len(probes.COLUMNS))]
        column = getattr(panel, name).copy()
        column[row] = 1.5 * column[row] + 1.0
        rows = np.flatnonzero(panel.session < panel.session[row])
        actual = _values(compute, replace(panel, **{name: column}), macro)
        notes.compare("K3", f"changes with the {name} of {panel.session[row]}", panel, rows, expected[rows], actual[rows])


def _macro_after(macro: pd.DataFrame | None, end: np.datetime64, factor: float | np.ndarray) -> pd.DataFrame | None:
    """Macro values with those of after ``end`` multiplied."""
    if macro is None:
        return None
    return macro.assign(value=macro["value"].to_numpy(dtype=np.float64) * np.where(probes.day(macro) > end, factor, 1.0))


def _same(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
        return False
    return np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
