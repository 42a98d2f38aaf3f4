"""Corporate actions read out of two closing prices: as printed (`close`) and as adjusted by the source (`adj_close`).

Going back in time, all adjusted prices before an ex-date are divided by n for a split of n new shares per old one and
lowered for a dividend of D in money. So the factor ``f = adj_close / close`` is flat between actions and steps on
ex-dates; later actions move the whole level of ``f`` but none of its steps. What follows reads the steps.

For the dividend there are two conventions: ``1 - D / close_before`` (CRSP, Yahoo) and ``close / (close + D)`` with the
close of the ex-date itself (Quandl WIKI). Boards declare round amounts, so of the two readings the rounder one is taken.

The limits: a spin-off or a rights issue looks like a dividend of the same worth; two dividends on one day are one; a
step smaller than what the decimals of the data can show is not seen; an action on a symbol's first session cannot be.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

ACTION_COLUMNS = ("symbol", "session", "kind", "value")
_HALF_ULP32 = 2.0**-24  # relative rounding of a float32, which is what Yahoo computes in whatever it prints
_WINDOW = 20  # sessions on each side of a step that estimate the level of the factor there
_SMALLEST_STEP = 3e-6  # a cent on 3,000: nothing smaller is paid, while long chains of factors wobble up to 1e-6
_LARGE_STEP = 0.1  # from here on (in logs) the printed price must have moved along
_SIMPLE = sorted({p / q for q in range(1, 5) for p in range(1, 21) if p != q} | {1 / n for n in range(5, 101)})
_STOCK_DIVIDENDS = sorted({1 + n / 100 for n in range(1, 20)} | {1 + 1 / 8, 1 + 1 / 16, 1 + 1 / 3})


def derive_actions(frame: pd.DataFrame) -> pd.DataFrame:
    """The splits and dividends that explain how ``adj_close / close`` changes from session to session.

    ``frame``: symbol, session, close, adj_close, in any order; rows where a price is missing or not positive are passed
    over, of a duplicate session the last row counts. Returns symbol, session (ex-date), kind, value in (symbol, session)
    order: 'split' is new shares per old share, 'dividend' is money per share in the units of ``close`` the day before: as
    paid then where closes are as traded (a new share, where a split takes effect on the same day), in the source's units
    where the source has adjusted closes for splits (then no split is found, since none is left to adjust for).

    A step counts only when it is larger than what rounding can do, judged from the decimals of each symbol's data. A
    step of a simple ratio (2:1, 3:2, 7:1, 1:10) is a split only if the printed price jumped along: a fall without a
    step, like AAPL's -52 % of 2000-09-29, is none, and neither is a step without a fall. Dividends are rounded to the
    roundest amount that the data cannot tell from the computed one.
    """
    rows = _usable(frame)
    rows = rows.of_symbols(np.unique(rows.code[1:][np.abs(_steps(rows)) > _SMALLEST_STEP]))
    if len(rows.session) < 2:
        return _empty()
    step = _steps(rows)
    same = rows.code[1:] == rows.code[:-1]
    noise = _rounding_noise(rows, step, same)
    bound = np.maximum(1.5 * (noise[1:] + noise[:-1]), _SMALLEST_STEP)
    jumps = np.flatnonzero(same & (np.abs(step) > bound)) + 1  # row positions of ex-dates
    if not len(jumps):
        return _empty()
    edges = np.union1d(jumps, np.flatnonzero(~same) + 1)
    found: list[tuple[str, np.datetime64, str, float]] = []
    dividends: list[tuple[float, float, float]] = []  # by the first convention, by the second, blur: each in money
    for at in jumps:
        left, right = _around(edges, at, len(rows.session))
        ratio = _level(rows.factor, left, at, noise) / _level(rows.factor, at, right, noise)
        blur = min(
            bound[at - 1], 2.0 * (noise[left:at].mean() / np.sqrt(at - left) + noise[at:right].mean() / np.sqrt(right - at))
        )
        blur = max(blur, 1e-11)
        before, now = rows.close[at - 1], rows.close[at]
        split, share = _explain(ratio, before / now, blur)
        symbol, day = rows.names[rows.code[at]], rows.session[at]
        if split != 1.0:
            found.append((symbol, day, "split", split))
        if share > 0.0:
            found.append((symbol, day, "dividend", np.nan))
            # cash a share of the ex-date, that is a new share where a split takes effect on the same day
            dividends.append((before / split * share, now * share / (1.0 - share), before / split * blur))
    actions = pd.DataFrame(found, columns=list(ACTION_COLUMNS))
    actions.loc[actions["kind"] == "dividend", "value"] = _money(dividends)
    actions = actions[actions["value"] > 0.0].reset_index(drop=True)
    return _typed(actions)


class _Rows:
    """The usable rows of all symbols in (symbol, session) order, as plain arrays."""

    def __init__(
        self, names: np.ndarray, code: np.ndarray, session: np.ndarray, close: np.ndarray, adjusted: np.ndarray
    ) -> None:
        self.names, self.code, self.session, self.close, self.adjusted = names, code, session, close, adjusted
        self.factor = adjusted / close

    def of_symbols(self, codes: np.ndarray) -> _Rows:
        """The rows of those symbols alone."""
        keep = np.isin(self.code, codes)
        return _Rows(self.names, self.code[keep], self.session[keep], self.close[keep], self.adjusted[keep])


def _usable(frame: pd.DataFrame) -> _Rows:
    code, names = pd.factorize(frame["symbol"], sort=True)
    session = frame["session"].to_numpy().astype("datetime64[us]")
    close = frame["close"].to_numpy(dtype=np.float64)
    adjusted = frame["adj_close"].to_numpy(dtype=np.float64)
    good = (code >= 0) & ~np.isnat(session) & np.isfinite(close) & np.isfinite(adjusted) & (close > 0) & (adjusted > 0)
    keep = np.flatnonzero(good)
    keep = keep[np.lexsort((keep, session[keep], code[keep]))]
    last = np.ones(len(keep), dtype=bool)
    if len(keep) > 1:
        last[:-1] = (code[keep][1:] != code[keep][:-1]) | (session[keep][1:] != session[keep][:-1])
    keep = keep[last]
    return _Rows(np.asarray(names, dtype=object), code[keep], session[keep], close[keep], adjusted[keep])


def _steps(rows: _Rows) -> np.ndarray:
    """The log change of the factor from row to row, [rows - 1]; from symbol to symbol it means nothing."""
    return np.log(rows.factor[1:] / rows.factor[:-1])


def _rounding_noise(rows: _Rows, step: np.ndarray, same: np.ndarray) -> np.ndarray:
    """How far rounding alone may have moved each row's factor, relative, [rows]."""
    noise = np.empty(len(rows.code))
    starts = np.append(np.flatnonzero(np.append(True, ~same)), len(rows.code))
    for a, b in zip(starts[:-1], starts[1:], strict=True):
        adjusted, close = rows.adjusted[a:b], rows.close[a:b]
        coarse = _half_unit(adjusted)
        here = coarse / adjusted + (2 * _HALF_ULP32 if coarse > 4e-8 or _is_single(adjusted) else 4e-16)
        # Closes in whole cents are exact when they are as traded, and rounded when the source has adjusted them for
        # splits. Only the data can tell: with exact closes nearly all steps stay within the bound.
        steps = np.abs(step[a : b - 1])
        if len(steps) >= 20 and (steps > 1.5 * (here[1:] + here[:-1])).mean() > 0.15:
            here = here + _half_unit(close) / close
        here = here * _excess(steps / (1.5 * (here[1:] + here[:-1])))
        noise[a:b] = here
    return noise


def _excess(steps: np.ndarray) -> np.ndarray:
    """How many times noisier than its decimals each stretch of a year is; 1.0 where they explain the steps, [steps + 1].

    ``steps`` in units of the bound. Uniform rounding has its median at 0.2 of it; a source that multiplied its factors
    in single precision, one after the other, lies above, and more so the further back.
    """
    excess = np.ones(len(steps) + 1)
    if len(steps) >= 20:
        for part in np.array_split(np.arange(len(steps)), max(1, len(steps) // 250)):
            if (middle := np.median(steps[part])) > 0.25:
                excess[part[0] : part[-1] + 2] = 8.0 * middle
    return excess


def _half_unit(values: np.ndarray) -> float:
    """Half of the last decimal place that these numbers are written with (0 to 12 places)."""
    sample = values if len(values) <= 400 else np.append(values[:: len(values) // 400], values.min())
    slack = sample * (_HALF_ULP32 if _is_single(sample) else 2e-15)
    for places in range(13):
        if (np.abs(sample - np.round(sample, places)) <= slack).all():
            return 0.5 * 10.0**-places
    return 0.5e-12


def _is_single(values: np.ndarray) -> bool:
    return bool((values == values.astype(np.float32)).all())


def _around(edges: np.ndarray, at: int, rows: int) -> tuple[int, int]:
    """The flat stretch on both sides of row ``at``: [left, at) and [at, right)."""
    i = int(np.searchsorted(edges, at))
    left = int(edges[i - 1]) if i else 0
    right = int(edges[i + 1]) if i + 1 < len(edges) else rows
    return max(left, at - _WINDOW), min(right, at + _WINDOW)


def _level(factor: np.ndarray, a: int, b: int, noise: np.ndarray) -> float:
    """The factor of rows a..b, the better written rows counting more."""
    return float(np.average(factor[a:b], weights=1.0 / np.maximum(noise[a:b], 1e-15) ** 2))


def _explain(ratio: float, printed: float, blur: float) -> tuple[float, float]:
    """(split, dividend as a share of the close before) behind a step: ``ratio`` is the factor before over after.

    ``printed``: the close before over the close of the ex-date. (1.0, 0.0): no action explains it.
    """
    if abs(np.log(ratio)) > _LARGE_STEP:
        tolerance = max(0.25, 0.5 * abs(np.log(ratio)))
        if abs(np.log(printed) + np.log(ratio)) > tolerance:
            return 1.0, 0.0
    exact = [n for n in _SIMPLE if abs(n * ratio - 1.0) <= blur]
    if not exact and blur < 1e-5:  # a 5 % stock dividend is told from cash only by its exactness
        exact = [n for n in _STOCK_DIVIDENDS if abs(n * ratio - 1.0) <= blur]
    if exact and (min(exact) <= 0.9 or max(exact) >= 1.1 or blur < 1e-5):
        return _nicest(exact, ratio), 0.0
    both = [n for n in (2.0, 1.5, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 0.5, 0.2, 0.1, 0.05) if 0.0 < 1.0 - n * ratio <= 0.03]
    if both:
        return both[0], 1.0 - both[0] * ratio
    if ratio < 1.0:
        return 1.0, 1.0 - ratio
    return 1.0, 0.0  # a negative dividend: a correction inside the source's factors


def _nicest(ratios: list[float], ratio: float) -> float:
    """Of several simple ratios that the data allows, the one with the smallest numbers (2:1 before 19:10)."""

    def size(n: float) -> tuple[float, float]:
        q = next(q for q in range(1, 101) if abs(n * q - round(n * q)) < 1e-9)
        return q + round(n * q), abs(n * ratio - 1.0)

    return min(ratios, key=size)


def _money(dividends: list[tuple[float, float, float]]) -> list[float]:
    """The amounts by the convention that makes them rounder; on a tie by the close before."""
    before, now, blur = (np.array(column) for column in zip(*dividends, strict=True)) if dividends else ([], [], [])
    telling = np.asarray(blur) < 1e-3  # where half a cent is beyond the data, roundness says nothing

    def unrounded(amounts: np.ndarray) -> float:
        return float(np.mean([_places(a, b) for a, b in zip(amounts[telling], blur[telling], strict=True)]))

    amounts = now if telling.any() and unrounded(now) < unrounded(before) - 0.5 else before
    return [round(a, _places(a, b)) for a, b in zip(amounts, blur, strict=True)]


def _places(amount: float, blur: float) -> int:
    """The fewest decimals, 2 to 8, that write ``amount`` within ``blur``."""
    return next((p for p in range(2, 8) if abs(round(amount, p) - amount) <= blur), 8)


def _empty() -> pd.DataFrame:
    return _typed(pd.DataFrame({"symbol": [], "session": [], "kind": [], "value": []}))


def _typed(actions: pd.DataFrame) -> pd.DataFrame:
    return actions.astype({"symbol": "str", "session": "datetime64[us]", "kind": "str", "value": "float64"})
