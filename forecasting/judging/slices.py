"""The scores again by year, market regime, sector and symbol: where a forecaster earns its mean, and where it does not.

A row's slices follow from what was known at its origin, so nothing here can tell a forecaster anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.judging.comparison import diebold_mariano
from forecasting.panel import Panel
from forecasting.targets import SCALE_DECAY, log_returns

KINDS = ("year", "regime", "sector", "symbol")
REGIMES = ("low", "middle", "high")
UNKNOWN_SECTOR = "unknown"
COLUMNS = ("forecaster", "horizon", "kind", "slice", "metric", "value", "n_rows", "n_sessions")
_WARM_UP = 20  # sessions before the market's volatility is taken for known


@dataclass(frozen=True)
class Slicing:
    """One way to cut the rows of a panel: ``codes`` int32 [R] are positions in ``names``, -1: in no slice.

    ``only``: the forecasters that are scored by it; None: all.
    """

    kind: str
    names: tuple[str, ...]
    codes: np.ndarray
    only: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Scored:
    """What one forecaster scored at one horizon, row by row, [n]."""

    at: np.ndarray  # position of the origin in panel.sessions
    loss: np.ndarray  # pinball
    miss: np.ndarray  # |error| of the median in units of the origin's close
    called: np.ndarray  # 1.0 where the sign was called, 0.0 where not, NaN where there was none to call
    inside: Mapping[str, np.ndarray]  # coverage metric -> bool [n]
    ranked: tuple[np.ndarray, np.ndarray]  # sessions, and the rank correlation across symbols in each


def slicings(
    panel: Panel, learnt: np.ndarray, sectors: Mapping[str, str] | None = None, by_symbol: tuple[str, ...] | None = None
) -> tuple[Slicing, ...]:
    """By year, regime, (where ``sectors`` says symbol -> sector) sector, and symbol.

    ``learnt``: rows of the training span, bool [R]; the borders between regimes are fitted on their sessions.
    ``by_symbol``: the forecasters that are scored for each symbol; None: all.
    """
    found = [by_year(panel), by_regime(panel, learnt)]
    if sectors is not None:
        found.append(by_sector(panel, sectors))
    return (*found, Slicing("symbol", panel.symbols, panel.symbol_index, by_symbol))


def by_year(panel: Panel) -> Slicing:
    """The calendar year of the origin."""
    years = panel.sessions.astype("datetime64[Y]").astype(int) + 1970
    names, codes = np.unique(years, return_inverse=True)
    return Slicing("year", tuple(str(year) for year in names), codes.astype(np.int32)[panel.at])


def by_sector(panel: Panel, sectors: Mapping[str, str]) -> Slicing:
    """The sector of the symbol; a symbol without one is in the slice 'unknown'."""
    of_symbol = [sectors.get(symbol, UNKNOWN_SECTOR) for symbol in panel.symbols]
    names = tuple(sorted(set(of_symbol)))
    position = {name: i for i, name in enumerate(names)}
    return Slicing("sector", names, np.array([position[name] for name in of_symbol], dtype=np.int32)[panel.symbol_index])


def by_regime(panel: Panel, learnt: np.ndarray) -> Slicing:
    """Low, middle or high volatility of the market at the origin: terciles of the sessions with rows of ``learnt``."""
    volatility = market_volatility(panel)
    borders = regime_borders(panel, learnt, volatility)
    codes = np.where(np.isfinite(volatility), np.searchsorted(borders, volatility), -1).astype(np.int32)
    if len(borders) == 0:
        codes[:] = -1
    return Slicing("regime", REGIMES, codes[panel.at])


def regime_borders(panel: Panel, learnt: np.ndarray, volatility: np.ndarray | None = None) -> np.ndarray:
    """The two terciles of the market's daily volatility over the training sessions; empty where there are fewer than three."""
    volatility = market_volatility(panel) if volatility is None else volatility
    known = volatility[np.unique(panel.at[learnt])]
    known = known[np.isfinite(known)]
    return np.quantile(known, (1 / 3, 2 / 3)) if len(known) >= 3 else np.empty(0)


def market_volatility(panel: Panel) -> np.ndarray:
    """EWMA volatility of the mean log return over the symbols that traded, known at each session's close, float64 [T].

    A session without any bar keeps the value before it; NaN for the first 20 sessions.
    """
    moves = log_returns(panel)
    known = np.isfinite(moves)
    count = np.bincount(panel.at[known], minlength=len(panel.sessions))
    total = np.bincount(panel.at[known], weights=moves[known], minlength=len(panel.sessions))
    result, variance, seen = np.full(len(panel.sessions), np.nan), 0.0, 0
    for t in np.flatnonzero(count):
        square = (total[t] / count[t]) ** 2
        variance = square if seen == 0 else SCALE_DECAY * variance + (1 - SCALE_DECAY) * square
        seen += 1
        if seen > _WARM_UP:
            result[t] = np.sqrt(variance)
    return pd.Series(result).ffill().to_numpy()


def slice_records(
    slicing: Slicing, rows: np.ndarray, horizon: int, scored: Mapping[str, Scored], reference: str
) -> list[tuple]:
    """One tuple of COLUMNS a forecaster, slice and metric, from the row-level scores of the judged ``rows`` (int [n]).

    Besides the means: skill (1 - loss / loss of ``reference``) and t (Diebold and Mariano on per-session means inside the
    slice) against the reference. The sessions of a regime are taken as if they followed one another.
    """
    chosen = [name for name in scored if slicing.only is None or name in slicing.only]
    if not chosen or not len(rows):
        return []
    codes = slicing.codes[rows]
    keep = codes >= 0
    codes, at = codes[keep].astype(np.int64), scored[chosen[0]].at[keep].astype(np.int64)
    if not len(codes):
        return []
    width = int(at.max()) + 1
    pairs, of_pair, in_pair = np.unique(codes * width + at, return_inverse=True, return_counts=True)
    slice_of_pair = pairs // width
    counts, days = (np.bincount(c, minlength=len(slicing.names)) for c in (codes, slice_of_pair))
    present = np.flatnonzero(counts)
    first = np.searchsorted(slice_of_pair, np.arange(len(slicing.names) + 1))

    def mean(values: np.ndarray) -> np.ndarray:
        good = np.isfinite(values)
        total = np.bincount(codes[good], weights=values[good], minlength=len(slicing.names))
        with np.errstate(invalid="ignore"):
            return total / np.bincount(codes[good], minlength=len(slicing.names))

    def by_session(values: np.ndarray) -> np.ndarray:
        return np.bincount(of_pair, weights=values) / in_pair

    rival = mean(scored[reference].loss[keep]) if reference in scored else None
    rival_series = by_session(scored[reference].loss[keep]) if reference in scored else None
    records = []
    for name in chosen:
        one = scored[name]
        metrics = {"pinball": mean(one.loss[keep]), "mae": mean(one.miss[keep]), "direction": mean(one.called[keep])}
        metrics |= {metric: mean(hit[keep].astype(np.float64)) for metric, hit in one.inside.items()}
        if slicing.kind in ("year", "regime"):
            metrics["rank_correlation"] = _mean_rank_correlation(slicing, codes, at, one.ranked)
        if rival is not None and name != reference:
            metrics["skill"] = 1 - metrics["pinball"] / rival
            series = by_session(one.loss[keep])
            metrics["t"] = np.full(len(slicing.names), np.nan)
            for i in present:
                some = slice(first[i], first[i + 1])
                metrics["t"][i] = diebold_mariano(series[some], rival_series[some], horizon).t
        records += [
            (name, horizon, slicing.kind, slicing.names[i], metric, float(values[i]), int(counts[i]), int(days[i]))
            for i in present
            for metric, values in metrics.items()
        ]
    return records


def slice_table(records: Sequence[tuple]) -> pd.DataFrame:
    """The records as a table; a number that could not be computed is NaN."""
    return pd.DataFrame(list(records), columns=list(COLUMNS))


def _mean_rank_correlation(slicing: Slicing, codes: np.ndarray, at: np.ndarray, ranked: tuple) -> np.ndarray:
    """Mean of the sessions' rank correlations over each slice of whole sessions."""
    of_session = np.full(int(max(at.max(), ranked[0].max(initial=0))) + 1, -1)
    of_session[at] = codes
    where, values = of_session[ranked[0]], ranked[1]
    total = np.bincount(where[where >= 0], weights=values[where >= 0], minlength=len(slicing.names))
    with np.errstate(invalid="ignore"):
        return total / np.bincount(where[where >= 0], minlength=len(slicing.names))
