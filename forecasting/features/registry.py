"""Features: a registry of named, versioned definitions, and their values for a panel.

A feature is a function named after its column; its docstring is the definition that the data dictionary prints. All of
them look at a row's own symbol up to that row, and at the market and macro values known at that row's close, on prices
carried forward by splits (never back), so that nothing later can change them.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.errors import SettingError
from forecasting.features.sets import DEFAULT_FEATURES
from forecasting.features.sets import expand as expand  # whoever names features finds it here
from forecasting.panel import Panel

if TYPE_CHECKING:
    from forecasting.features.blocks import Block

WHOLE_HISTORY = -1  # the memory of a level or a running sum: it depends on where the history starts
MODULES = ("default", "technical", "oscillators", "volatility", "liquidity", "calendar", "market", "macro", "events")
BLOCK_ROWS = 16_384  # rows computed together: their columns stay in the processor's cache
SPARE = 16  # cells between columns: a length that is a power of two would put all of them into the same corner of the cache


@dataclass(frozen=True)
class Feature:
    """A column: what it is called, what it means, what it is made of and when it can be trusted.

    ``warm_up``: the first rows of a symbol that are NaN. ``memory``: rows of history after which the value agrees with
    the one from the whole history to 1e-4 of its spread (recursions forget slowly), or WHOLE_HISTORY.
    """

    name: str
    version: int | str  # of a feature of one's own: what its file's digest begins with
    definition: str
    inputs: tuple[str, ...]
    warm_up: int
    memory: int
    group: str
    compute: Callable[[Block], np.ndarray]
    across: str | None = None  # the feature of all symbols that this one ranks or averages

    @property
    def reads_market(self) -> bool:
        return "market" in self.inputs or "macro" in self.inputs


@dataclass(frozen=True)
class FeatureMatrix:
    """Feature values: ``values`` float32 [R, F] in C order, rows as in the panel, columns as in ``names``."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class _Family:
    function: Callable[..., np.ndarray]
    inputs: tuple[str, ...]
    warm_up: Callable[[int], int]
    memory: Callable[[int], int]
    group: str
    version: int | str
    default: int | None  # the parameter where the name has none
    parameters: str  # '' none, 'n' a count of sessions, 'series' a macro series
    across: Callable[[int], str] | None = None


_FAMILIES: dict[str, _Family] = {}


def register(
    *,
    inputs: Sequence[str],
    warm_up: int | Callable[[int], int],
    memory: int | Callable[[int], int] | None = None,
    group: str = "user",
    version: int | str = 1,
    default: int | None = None,
    parameters: str = "",
    across: str | Callable[[int], str] | None = None,
) -> Callable[[Callable], Callable]:
    """Register the decorated function as the feature of its name (a trailing underscore is dropped).

    The function takes a Block, and n where ``parameters`` is 'n' (the column is then called name_n), and returns float64
    [rows]. ``inputs`` are panel columns, 'market' or 'macro'. ``warm_up`` and ``memory`` may depend on n. ``across``: the
    feature (it may depend on n) of all symbols that the function ranks among the market's with ``Block.rank``, or averages.
    """

    def add(function: Callable) -> Callable:
        name = function.__name__.rstrip("_")
        if not function.__doc__:
            raise ValueError(f"feature {name} has no docstring, and that is its definition")
        warm = warm_up if callable(warm_up) else lambda n: warm_up
        remember = warm if memory is None else (memory if callable(memory) else lambda n: memory)
        base = across if across is None or callable(across) else lambda n: across
        _FAMILIES[name] = _Family(function, tuple(inputs), warm, remember, group, version, default, parameters, base)
        return function

    return add


def feature(name: str) -> Feature:
    """The feature called ``name``, for example 'rsi_14' or 'close_lag_3'; SettingError where there is none."""
    family, argument = _find(name)
    n = argument if isinstance(argument, int) else 0
    document = " ".join(family.function.__doc__.split())
    if argument is None:
        compute = family.function
    else:
        document = re.sub(r"\bn\b", str(argument), document)

        def compute(block: Block) -> np.ndarray:
            return family.function(block, argument)

    spans, across = (family.warm_up(n), family.memory(n)), family.across(n) if family.across else None
    return Feature(name, family.version, document, family.inputs, *spans, family.group, compute, across)


def is_known(name: str) -> bool:
    """Whether there is a feature called ``name``."""
    try:
        return bool(_find(name))
    except SettingError:
        return False


def _find(name: str) -> tuple[_Family, int | str | None]:
    _load()
    family = _FAMILIES.get(name)
    if family is not None and (family.parameters == "" or family.default is not None):
        return family, family.default
    stem, _, tail = name.rpartition("_")
    family = _FAMILIES.get(stem)
    if family is not None and family.parameters == "n" and re.fullmatch(r"[1-9][0-9]{0,3}", tail):
        return family, int(tail)
    if family is not None and family.parameters == "series" and re.fullmatch(r"[A-Z0-9]+", tail):
        return family, tail
    near = difflib.get_close_matches(stem or name, _FAMILIES, n=3, cutoff=0.5)
    hint = f", such as {', '.join(_placeholder(one) for one in near)}" if near else ""
    raise SettingError("features", name, f"the name of a feature{hint}; docs/features.md has them all")


def _load() -> None:
    """The definitions register themselves when their modules are imported."""
    for module in MODULES:
        importlib.import_module(f"forecasting.features.{module}")


def known_names() -> tuple[str, ...]:
    """Every name there is, with n for a count of sessions and SERIES for a macro series."""
    _load()
    return tuple(sorted(map(_placeholder, _FAMILIES)))


def _placeholder(name: str) -> str:
    family = _FAMILIES[name]
    return name + ("" if family.default is not None else {"": "", "n": "_n", "series": "_SERIES"}[family.parameters])


def describe(names: Sequence[str] | None = None) -> pd.DataFrame:
    """The data dictionary: name, version, group, definition, inputs, warm_up, memory of ``names`` (default: all families)."""
    if names is not None:
        rows = [_described(f.name, f, str(f.warm_up), str(f.memory)) for f in map(feature, names)]
    else:
        rows = []
        for name in known_names():
            family = _FAMILIES[re.sub(r"_(n|SERIES)$", "", name)]
            whole = family.parameters == "" or family.default is not None
            spans = (family.warm_up(family.default or 0), family.memory(family.default or 0)) if whole else ("by n", "by n")
            rows.append(_described(name, family, *map(str, spans)))
    return pd.DataFrame(rows, columns=["name", "version", "group", "definition", "inputs", "warm_up", "memory"])


def _described(name: str, what: Feature | _Family, warm_up: str, memory: str) -> tuple:
    text = what.definition if isinstance(what, Feature) else " ".join(what.function.__doc__.split())
    return name, what.version, what.group, text, ", ".join(what.inputs), warm_up, memory


def compute_features(
    panel: Panel,
    names: Sequence[str | Feature] = DEFAULT_FEATURES,
    market_symbols: tuple[str, ...] | None = None,
    macro: pd.DataFrame | None = None,
    threads: int | None = None,
) -> FeatureMatrix:
    """The features ``names`` for every row of ``panel``, NaN before their warm-up and where undefined.

    ``market_symbols``: the symbols whose mean is the market (default: all of the panel); another symbol in the panel then
    changes no bit of theirs. ``macro``: series, session, value; session is the first at whose close the value was known.
    ``threads`` (default: one a core, at most 8) changes the time, never a bit. SettingError for an unknown name.
    """
    from forecasting.features import kernels
    from forecasting.features.blocks import Block
    from forecasting.features.market_context import Market

    features = [name if isinstance(name, Feature) else feature(name) for name in names]
    names = tuple(one.name for one in features)
    values = np.empty((panel.rows, len(features)), dtype=np.float32)
    if panel.rows == 0:
        return FeatureMatrix(names, values)
    across: dict[str, np.ndarray] = {}
    ranked = [feature(name) for name in dict.fromkeys(one.across for one in features if one.across)]
    blocks = list(_blocks(panel.starts))
    market = None

    def prepare_market(block: Block) -> None:
        returns[block.begin : block.end], variance[block.begin : block.end] = block.returns, block.variance

    def prepare_ranked(block: Block) -> None:
        for one in ranked:
            across[one.name][block.begin : block.end] = one.compute(block)

    def compute(one: Feature, block: Block) -> np.ndarray:
        return block.column(one.name) if one in ranked else one.compute(block)

    def fill(block: Block) -> None:
        rows = block.end - block.begin
        columns = np.empty((len(features), rows + SPARE), dtype=np.float32)[:, :rows]
        for column, one in zip(columns, features, strict=True):
            kernels.keep(compute(one, block), column)
        kernels.as_rows(columns, values[block.begin : block.end])

    def each(do: Callable[[Block], None]) -> None:
        def with_block(span: tuple[int, int]) -> None:
            starts = panel.starts[span[0] : span[1] + 1]
            with np.errstate(all="ignore"):  # NaN and infinity are answers here; infinity becomes NaN in the end
                do(Block(panel, int(starts[0]), int(starts[-1]), starts - starts[0], market, across))

        list(pool.map(with_block, blocks))

    workers = threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        if any(one.reads_market for one in features):
            returns, variance = np.empty(panel.rows), np.empty(panel.rows)
            each(prepare_market)
            market = Market.of(panel, returns, variance, market_symbols or panel.symbols, macro)
        if ranked:
            across |= {one.name: np.empty(panel.rows) for one in ranked}
            each(prepare_ranked)
        each(fill)
    return FeatureMatrix(names, values)


def ewma_volatility(panel: Panel, lam: float = 0.94) -> np.ndarray:
    """EWMA volatility of the daily log total return known at each row's close, float64 [R]; NaN before 20 returns.

    v_t = lam v_{t-1} + (1 - lam) r_t^2, started at the mean of the first 20 squares (RiskMetrics technical document, 1996).
    The scale of the default features and of the target (lam 0.94).
    """
    from forecasting.features import kernels

    return np.sqrt(kernels.ewma_square(panel.starts, log_returns(panel), lam))


def log_returns(panel: Panel) -> np.ndarray:
    """Daily log total return of each row, float64 [R]; NaN at a symbol's first row and after a gap of over 30 days."""
    from forecasting.features.blocks import Block

    return Block(panel, 0, panel.rows, panel.starts).returns


def _blocks(starts: np.ndarray) -> Sequence[tuple[int, int]]:
    """Spans of symbols (first, last + 1) of about BLOCK_ROWS rows."""
    spans, first = [], 0
    for i in range(1, len(starts)):
        if starts[i] - starts[first] >= BLOCK_ROWS or i == len(starts) - 1:
            spans.append((first, i))
            first = i
    return spans
