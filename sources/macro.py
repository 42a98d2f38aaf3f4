"""The one protocol behind which every source of macro series stands, and the sources by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import pandas as pd

from forecasting.errors import NextcloseError, SettingError
from forecasting.macro import VINTAGE_COLUMNS
from sources.registry import made

# name -> module and class, imported only when asked for
_BUILT_IN = {
    "cboe": ("sources.cboe", "CboeSource"),
    "files": ("sources.macro_files", "MacroFilesSource"),
    "fred": ("sources.fred", "FredSource"),
}


@dataclass(frozen=True)
class MacroFetched:
    """What a source answered for some series.

    ``values``: series (upper case), about (datetime64[us]: the day, or the first of the month or quarter), published_at
    (datetime64[us] in UTC, NaT where the source does not say), value (float64); no row twice, none without a value.
    ``failures`` holds, for each series without an answer, why. ``notes`` are sentences for the person who asked.
    """

    values: pd.DataFrame
    failures: Mapping[str, NextcloseError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class MacroSource(Protocol):
    """A source of macro series. One that asks over the network also has ``cost`` and ``meter``, as sources of prices do."""

    name: str

    def series(self) -> tuple[str, ...] | None:
        """The series that it holds, or None where only asking tells."""

    def fetch(self, series: Sequence[str], since: date | None = None) -> MacroFetched:
        """The values of ``series``; with ``since``, a source that dates its vintages may leave out those published before.

        A failing series is an entry in ``failures``, never an exception.
        """

    def identity(self) -> str:
        """What the values come from: the same text means the same answers, except for a live source."""


def macro_values(rows: object = None) -> pd.DataFrame:
    """A frame of VINTAGE_COLUMNS in their agreed types, in (series, about, published_at) order, without empty values."""
    frame = (
        pd.DataFrame(rows, columns=list(VINTAGE_COLUMNS)) if rows is not None else pd.DataFrame(columns=list(VINTAGE_COLUMNS))
    )
    types = {"series": "str", "about": "datetime64[us]", "published_at": "datetime64[us]", "value": "float64"}
    frame = frame.astype(types)
    frame = frame[np.isfinite(frame["value"].to_numpy())]
    return frame.sort_values(["series", "about", "published_at"], kind="stable", ignore_index=True)


def macro_source_names() -> tuple[str, ...]:
    return tuple(sorted(_BUILT_IN))


def make_macro_source(name: str, options: Mapping[str, Any] | None = None) -> MacroSource:
    """The source with its options; SettingError for an unknown name, an unknown option or one that is missing."""
    if name not in _BUILT_IN:
        raise SettingError("macro.source", name, _nearest(name, macro_source_names()))
    module, cls = _BUILT_IN[name]
    return made(getattr(import_module(module), cls), options or {}, f"macro.options.{name}", ".")


def _nearest(found: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(found, known, n=1)
    return f"one of {', '.join(known)}" + (f"; did you mean {close[0]!r}?" if close else "")
