"""Joint draws: where each symbol's return over the horizon may rank among the universe's.

What decides a rank is how the symbols move together, so whole past sessions are drawn, each with all symbols' returns of that
session, and added up to paths of ``horizon`` sessions (filtered historical simulation after Barone-Adesi et al. 1999; joint as
in the M6 competition's best simple entries). Of each path the symbols are ranked and cut into fifths; the shares over all
paths are p1 (the lowest fifth) to p5. Each symbol's returns are demeaned: past means say nothing about later ranks.

Two forecasters do it: the forecaster that serves, whose own width over the horizon enters the spread of its paths, and
``joint_bootstrap``, the rival, which takes the last BOOTSTRAP sessions as they were. A rank is about the company, so adding a
symbol to the universe changes the others' probabilities by nature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.errors import NotEnoughHistory
from forecasting.metrics import LEVELS
from forecasting.panel import Panel
from forecasting.targets import log_returns

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.models import Fitted
    from forecasting.splits import Spans

FIFTHS = 5
MINIMUM = 5  # symbols: fewer cannot be cut into fifths
DRAWS = 8_000  # a share's sampling error adds about 0.16 / DRAWS to the score
BOOTSTRAP = 500  # sessions that the rival draws from
RESAMPLED = 500  # sessions that the forecaster draws from; more were no better up to 2020
RIVAL = "joint_bootstrap"
UNIFORM = "uniform"
QUARTER = 63  # sessions from one quarterly report to the next
QUARTERS = 12
_SEED = 20_600_106
_KNOWN = 20  # returns of a symbol's own before its tie to the others is measured
# How the log of a symbol's spread over the horizon follows from what is known, each against the universe's mean. Measured by
# least squares of the log mean absolute daily return of the next 20 sessions on sp500, 2005 to 2020 (docs/calibration.md).
MODEL_WIDTH, ABSOLUTE, RECENT, SEASON = 0.45, 0.40, 0.10, 0.40
RECENT_DECAY = 0.985
_LOW, _MEDIAN, _HIGH = (int(np.searchsorted(LEVELS, level)) for level in (0.10, 0.50, 0.90))


@dataclass(frozen=True)
class Chances:
    """For S symbols ranked together: ``fifths`` float64 [S, 5], rows that sum to 1, and ``up`` float64 [S]."""

    fifths: np.ndarray
    up: np.ndarray


def session_returns(panel: Panel, symbols: tuple[str, ...] | None = None) -> np.ndarray:
    """Log returns of the close from bar to bar, splits undone, float64 [T, S]; NaN where the symbol has no bar."""
    wanted = panel.symbols if symbols is None else symbols
    position = {symbol: i for i, symbol in enumerate(wanted)}
    column = np.array([position.get(symbol, -1) for symbol in panel.symbols], dtype=np.int64)[panel.symbol_index]
    table = np.full((len(panel.sessions), len(wanted)), np.nan)
    here = column >= 0
    table[panel.at[here], column[here]] = log_returns(panel)[here]
    return table


def bootstrap(returns: np.ndarray, horizon: int, seed: int, draws: int = DRAWS) -> Chances:
    """The rival: the last BOOTSTRAP sessions of ``returns`` [T, S], drawn as they were, demeaned."""
    past = filled(returns[-BOOTSTRAP:])
    past -= past.mean(axis=0)
    paths = draw_paths(past, horizon, seed, draws)
    return Chances(fifth_shares(paths), (paths > 0).mean(axis=0))


def modelled(
    returns: np.ndarray, horizon: int, median: np.ndarray, width: np.ndarray, seed: int, draws: int = DRAWS
) -> Chances:
    """The forecaster's: past sessions in units of each symbol's own past spread, times what ``relative_spread`` expects.

    ``median``, ``width`` float64 [S]: the forecaster's median and 10 to 90 % interval of the log return over the horizon.
    P(up) is the share of paths above 0 once they have that median and that width.
    """
    past = filled(returns[-RESAMPLED:])
    past -= past.mean(axis=0)
    spread = past.std(axis=0)
    past /= np.where(spread > 0, spread, 1.0)
    paths = draw_paths(past, horizon, seed, draws)
    low, middle, high = np.quantile(paths, (0.1, 0.5, 0.9), axis=0)
    size = width / np.where(high > low, high - low, 1.0)
    up = (paths * size > middle * size - median).mean(axis=0)
    paths *= relative_spread(returns, width, horizon)
    return Chances(fifth_shares(paths), up)


def rank_report(fitted: Fitted, panel: Panel, macro: pd.DataFrame | None, spans: Spans, draws: int = DRAWS) -> dict[str, Any]:
    """The ranked probability score over consecutive blocks of the test span, each as long as the model's longest horizon.

    The network, the rival and equal probabilities are scored on the same symbols: those with a forecast at the block's first
    session and an outcome at its end. Scores are means over blocks of the mean over symbols; ``t`` compares blocks.
    Raises NotEnoughHistory where the span has no block with MINIMUM symbols.
    """
    from forecasting.inputs import ready_rows
    from forecasting.splits import label_masks

    seen = panel.until(spans.test_end)
    inputs = fitted.inputs(seen, macro)
    k, horizon = len(fitted.spec.horizons) - 1, fitted.spec.horizons[-1]
    judged = label_masks(seen, inputs.targets, spans)["test"][:, k] & ready_rows(seen, inputs.targets, fitted.spec.lookback)
    origins = np.unique(seen.at[judged])
    origins = np.arange(origins[0], origins[-1] + 1, horizon) if len(origins) else origins
    blocks = [found for origin in origins if len(found := np.flatnonzero(judged & (seen.at == origin))) >= MINIMUM]
    if not blocks:
        raise NotEnoughHistory("the universe", 0, 1, f"ranks of {MINIMUM} symbols {horizon} sessions ahead", spans.test_end)
    rows = np.concatenate(blocks)
    answers = np.split(fitted.quantiles(inputs, rows, ("lstm",))["lstm"][:, k], np.cumsum([len(b) for b in blocks])[:-1])
    returns, records = session_returns(seen), []
    for block, q in zip(blocks, answers, strict=True):
        day = int(seen.at[block[0]])
        past, seed = returns[: day + 1, seen.symbol_index[block]], seed_of(seen.sessions[day])
        chances = {
            "lstm": modelled(past, horizon, q[:, _MEDIAN], q[:, _HIGH] - q[:, _LOW], seed, draws).fifths,
            RIVAL: bootstrap(past, horizon, seed, draws).fifths,
        }
        came = fifths_of(inputs.targets.returns[block, k])
        chances[UNIFORM] = np.broadcast_to(np.bincount(came, minlength=FIFTHS) / len(came), (len(came), FIFTHS))
        scores = {name: float(ranked_probability_score(p, came).mean()) for name, p in chances.items()}
        records.append({"origin": str(seen.sessions[day]), "symbols": len(block), **scores})
    table = {name: np.array([record[name] for record in records]) for name in ("lstm", RIVAL, UNIFORM)}
    return {
        "horizon": horizon, "blocks": len(records), "draws": draws,
        "rps": {name: float(values.mean()) for name, values in table.items()},
        "t": {f"lstm against {other}": _t(table[other] - table["lstm"]) for other in (RIVAL, UNIFORM)},
        "by_block": records,
    }  # fmt: skip


def seed_of(session: np.datetime64) -> int:
    """The seed of the draws of an origin: its day number, so that a forecast is made again to the same bits."""
    return int(np.datetime64(session, "D").astype(np.int64))


def relative_spread(returns: np.ndarray, width: np.ndarray, horizon: int) -> np.ndarray:
    """How widely each symbol may move over the horizon, against the universe's geometric mean, float64 [S].

    The log of it is a sum of four parts, each less its mean over the symbols: the forecaster's own ``width``; the mean
    absolute return of the last BOOTSTRAP sessions; the EWMA volatility (decay RECENT_DECAY) of the last RESAMPLED; and the
    season: whether the sessions a whole number of quarters before the coming ones moved more than usual, as they do where the
    symbol reports its earnings.
    """
    past = returns[-RESAMPLED:]
    known = np.isfinite(past)
    moves = np.where(known, past, 0.0)
    absolute = _mean(np.abs(moves[-BOOTSTRAP:]), known[-BOOTSTRAP:], 1.0)
    weight = RECENT_DECAY ** np.arange(len(past) - 1, -1, -1.0)[:, None]
    recent = _mean(weight * moves * moves, weight * known, 1.0)
    parts = (
        (MODEL_WIDTH, np.log(np.maximum(width, 1e-12))), (ABSOLUTE, np.log(np.maximum(absolute, 1e-12))),
        (RECENT, 0.5 * np.log(np.maximum(recent, 1e-24))), (SEASON, season(returns, horizon)),
    )  # fmt: skip
    total = sum(share * (part - part.mean()) for share, part in parts)
    return np.exp(total)


def season(returns: np.ndarray, horizon: int) -> np.ndarray:
    """Log root mean square return of the sessions 1 to ``horizon`` ahead, seen 1 to QUARTERS quarters ago, over that of all
    those quarters, float64 [S]; drawn to 0 by the share of QUARTERS that is missing, and 0 for a horizon above a quarter."""
    quarters = min(QUARTERS, len(returns) // QUARTER)
    if quarters < 2 or horizon > QUARTER:
        return np.zeros(returns.shape[1])
    past = returns[-quarters * QUARTER :].reshape(quarters, QUARTER, -1)  # the first sessions of a quarter are those ahead
    known = np.isfinite(past)
    square = np.where(known, past, 0.0) ** 2
    usual = _mean(square.reshape(-1, square.shape[2]), known.reshape(-1, square.shape[2]), np.nan)
    ahead, seen = square[:, :horizon], known[:, :horizon]
    then = _mean(ahead.reshape(-1, square.shape[2]), seen.reshape(-1, square.shape[2]), np.nan)
    there = known.any(axis=1).sum(axis=0) / QUARTERS
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 0.5 * np.log(then / usual) * there
    return np.where(np.isfinite(ratio), np.clip(ratio, -1.0, 1.0), 0.0)


def filled(returns: np.ndarray) -> np.ndarray:
    """``returns`` [K, S] with the holes of symbols that were not there filled by how they move with the others since:
    their loading on the session's mean, plus one of their own remainders in turn."""
    known = np.isfinite(returns)
    result = np.where(known, returns, 0.0)
    if known.all():
        return result
    common = _mean(result.T, known.T, 0.0)
    for s in np.flatnonzero(~known.all(axis=0)):
        have = np.flatnonzero(known[:, s])
        own, market = result[have, s], common[have]
        power = float((market * market).sum())
        loading = float((own * market).sum()) / power if len(have) >= _KNOWN and power > 0 else 1.0
        rest = own - loading * market if len(have) else np.zeros(1)
        holes = np.flatnonzero(~known[:, s])
        result[holes, s] = loading * common[holes] + rest[holes % len(rest)]
    return result


def draw_paths(past: np.ndarray, horizon: int, seed: int, draws: int) -> np.ndarray:
    """Sums of ``horizon`` whole sessions drawn from ``past`` [K, S], float64 [draws, S].

    Each session is drawn equally often over all paths together (up to one), which makes the shares less noisy.
    """
    size = draws * horizon
    order = np.random.default_rng([_SEED, seed]).permutation(np.arange(size) % len(past)).reshape(draws, horizon)
    paths = np.zeros((draws, past.shape[1]))
    for step in order.T:
        paths += past[step]
    return paths


def fifth_shares(paths: np.ndarray) -> np.ndarray:
    """In what share of the paths [P, S] each symbol is in each fifth, float64 [S, 5]."""
    symbols = paths.shape[1]
    first = np.searchsorted(np.arange(symbols) * FIFTHS // symbols, np.arange(1, FIFTHS))  # rank of each fifth but the lowest
    below = np.zeros((symbols, FIFTHS + 1))
    for chunk in np.array_split(paths, max(1, paths.size // 500_000)):
        border = np.sort(chunk, axis=1)[:, first]
        below[:, 1:FIFTHS] += np.stack([(chunk < border[:, [k]]).sum(axis=0) for k in range(FIFTHS - 1)], axis=1)
    below[:, FIFTHS] = len(paths)
    return np.diff(below, axis=1) / len(paths)


def fifths_of(values: np.ndarray) -> np.ndarray:
    """The fifth of each of S values, int64 [S]: 0 the lowest; the symbol of rank r (from 0) is in fifth ``5 r // S``, ties in
    the order given."""
    fifth = np.empty(len(values), dtype=np.int64)
    fifth[np.argsort(values, kind="stable")] = np.arange(len(values)) * FIFTHS // len(values)
    return fifth


def ranked_probability_score(fifths: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Mean squared distance of the cumulated probabilities [S, 5] from those of the fifth that came true (int [S]), as in the
    M6 competition: 0 is best, 0.16 the mean of five equal probabilities."""
    came = outcome[:, None] <= np.arange(FIFTHS)
    return ((np.cumsum(fifths, axis=1) - came) ** 2).mean(axis=1)


def _t(better: np.ndarray) -> float | None:
    """Mean over its standard error; blocks do not overlap. None where there are too few or all are the same."""
    deviation = better.std(ddof=1) if len(better) > 1 else 0.0
    return float(better.mean() / deviation * np.sqrt(len(better))) if deviation > 0 else None


def _mean(values: np.ndarray, weight: np.ndarray, empty: float) -> np.ndarray:
    """Column sums of ``values`` over those of ``weight``; ``empty`` where a column has none."""
    total = weight.sum(axis=0)
    return np.where(total > 0, values.sum(axis=0) / np.where(total > 0, total, 1.0), empty)
