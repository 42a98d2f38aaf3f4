"""Features again, slowly: one row at a time from plain lists, written from the definitions and not from the kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.panel import Panel

NAN = math.nan
SEED = 20
LONGEST_SILENCE = 30  # days


@dataclass
class History:
    """One symbol's bars as lists, prices carried forward by splits."""

    day: list
    open: list
    high: list
    low: list
    close: list
    volume: list
    raw: dict
    returns: list  # log total return

    def __len__(self) -> int:
        return len(self.close)


def history(panel: Panel, i: int) -> History:
    rows = range(int(panel.starts[i]), int(panel.starts[i + 1]))
    factor, factors = 1.0, []
    for k, r in enumerate(rows):
        factor *= panel.split[r] if k else 1.0
        factors.append(factor)
    names = ("open", "high", "low", "close", "volume", "split", "dividend")
    raw = {c: [float(getattr(panel, c)[r]) for r in rows] for c in names}
    day = [panel.session[r].astype(object) for r in rows]
    returns = [NAN]
    for k in range(1, len(day)):
        worth = (raw["close"][k] + raw["dividend"][k]) * raw["split"][k]
        short = (day[k] - day[k - 1]).days <= LONGEST_SILENCE
        returns.append(math.log(worth / raw["close"][k - 1]) if short else NAN)
    forward = {c: [v * f for v, f in zip(raw[c], factors, strict=True)] for c in ("open", "high", "low", "close")}
    return History(
        day, **forward, volume=[v / f for v, f in zip(raw["volume"], factors, strict=True)], raw=raw, returns=returns
    )


def ewma_variance(values: list, lam: float) -> list:
    """At each row: the recursion run over all earlier values that are known."""
    out = []
    for t in range(len(values)):
        known = [v for v in values[: t + 1] if not math.isnan(v)]
        if len(known) < SEED:
            out.append(NAN)
            continue
        v = sum(x * x for x in known[:SEED]) / SEED
        for x in known[SEED:]:
            v = lam * v + (1 - lam) * x * x
        out.append(v)
    return out


def default_features(panel: Panel, macro: pd.DataFrame | None, market_symbols: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The 15 default features, name -> [R]."""
    histories = [history(panel, i) for i in range(len(panel.symbols))]
    scales = [[math.sqrt(v) for v in ewma_variance(h.returns, 0.94)] for h in histories]
    by_day: dict = {}
    for name, h, scale in sorted(zip(panel.symbols, histories, scales, strict=True), key=lambda item: item[0]):
        if name in market_symbols:
            for t, day in enumerate(h.day):
                by_day.setdefault(day, []).append((h.returns[t], h.returns[t] / scale[t]))
    days = [d.astype(object) for d in panel.sessions]
    mean = [_mean([r for r, _ in by_day.get(day, [])]) for day in days]
    mean_scaled = dict(zip(days, [_mean([z for _, z in by_day.get(day, [])]) for day in days], strict=True))
    fast = dict(zip(days, ewma_variance(mean, 0.94), strict=True))
    slow = dict(zip(days, ewma_variance(mean, 0.99), strict=True))
    vix = {day: latest_known(macro, "VIX", day) for day in days}
    columns: dict[str, list] = {}
    for h, s in zip(histories, scales, strict=True):
        fine = ewma_variance(h.returns, 0.94)
        coarse = ewma_variance(h.returns, 0.99)
        ranges = [math.log(a / b) if a > 0 and b > 0 else 0.0 for a, b in zip(h.raw["high"], h.raw["low"], strict=True)]
        parkinson = ewma_variance([x if x > 0 else NAN for x in ranges], 0.94)
        one = {
            "ret": [r / x for r, x in zip(h.returns, s, strict=True)],
            "abs_ret": [abs(r) / x for r, x in zip(h.returns, s, strict=True)],
            "overnight": [_overnight(h, t) / s[t] for t in range(len(h))],
            "range": [a / x for a, x in zip(ranges, s, strict=True)],
            "vol_fast_slow": [_log(math.sqrt(a), math.sqrt(b)) for a, b in zip(fine, coarse, strict=True)],
            "range_vol": [_range_vol(p, v) for p, v in zip(parkinson, fine, strict=True)],
            "volume_surprise": [_surprise(h.volume[: t + 1]) for t in range(len(h))],
            "momentum_20": [_momentum(h, s, t, 20) for t in range(len(h))],
            "momentum_250": [_momentum(h, s, t, 250) for t in range(len(h))],
            "market_return": [mean_scaled[d] for d in h.day],
            "market_vol_ratio": [_log(math.sqrt(fast[d]), math.sqrt(slow[d])) for d in h.day],
            "vix_market_vol": [_vix_market(vix[d], fast[d]) for d in h.day],
            "vix_level": [0.0 if math.isnan(vix[d]) else math.log(vix[d] / 20) for d in h.day],
            "vol_level": [_log(x, 0.02) for x in s],
        }
        one["excess_return"] = [a - b for a, b in zip(one["ret"], one["market_return"], strict=True)]
        for name, values in one.items():
            columns.setdefault(name, []).extend(values)
    return {name: np.array(values) for name, values in columns.items()}


def latest_known(macro: pd.DataFrame | None, series: str, day) -> float:
    """The last value public at the close of ``day``; none older than two weeks and than 1.6 of its last three pauses."""
    known = {}
    for row in macro.itertuples() if macro is not None else ():
        if row.series == series and not math.isnan(row.value) and row.session.date() <= day:
            known[row.session.date()] = row.value
    days = sorted(known)
    if not days:
        return NAN
    pause = max([(b - a).days for a, b in zip(days[:-1], days[1:], strict=True)][-3:], default=0)
    return known[days[-1]] if (day - days[-1]).days <= max(14, 1.6 * pause) else NAN


def _mean(values: list) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else NAN


def _log(a: float, b: float) -> float:
    return math.log(a / b) if a > 0 and b > 0 else NAN


def _overnight(h: History, t: int) -> float:
    if t == 0 or (h.day[t] - h.day[t - 1]).days > LONGEST_SILENCE:
        return NAN
    if not h.raw["open"][t] > 0:
        return 0.0
    return math.log((h.raw["open"][t] + h.raw["dividend"][t]) * h.raw["split"][t] / h.raw["close"][t - 1])


def _range_vol(parkinson: float, variance: float) -> float:
    if math.isnan(variance):
        return NAN
    return 0.0 if math.isnan(parkinson) else 0.5 * math.log(parkinson / (4 * math.log(2)) / variance)


def _surprise(volumes: list) -> float:
    if len(volumes) <= SEED:
        return NAN
    logs = [math.log(v) for v in volumes[:-1] if v > 0]
    if not volumes[-1] > 0 or len(logs) < SEED:
        return 0.0
    mean = sum(logs[:SEED]) / SEED
    for x in logs[SEED:]:
        mean = 0.97 * mean + 0.03 * x
    return math.log(volumes[-1]) - mean


def _momentum(h: History, s: list, t: int, n: int) -> float:
    if t < n:
        return NAN
    return sum(r for r in h.returns[t - n + 1 : t + 1] if not math.isnan(r)) / (s[t] * math.sqrt(n))


def _vix_market(vix: float, variance: float) -> float:
    if math.isnan(variance):
        return NAN
    return 0.0 if math.isnan(vix) else math.log(vix / 100 / math.sqrt(252) / math.sqrt(variance))


def windowed(values: list, n: int, what: str) -> list:
    """A statistic of the last n values of each row, straight from its definition."""
    out = []
    for t in range(len(values)):
        window = values[t - n + 1 : t + 1] if t >= n - 1 else []
        if len(window) < n or any(math.isnan(v) for v in window):
            out.append(NAN)
            continue
        mean = sum(window) / n
        m2 = sum((v - mean) ** 2 for v in window) / n
        if what == "std":
            out.append(math.sqrt(m2))
        elif what == "skew":
            out.append(sum((v - mean) ** 3 for v in window) / n / m2**1.5 if m2 > 0 else 0.0)
        elif what == "slope":
            middle = (n - 1) / 2
            out.append(sum((k - middle) * v for k, v in enumerate(window)) / sum((k - middle) ** 2 for k in range(n)))
        elif what == "max":
            out.append(max(window))
        else:
            out.append(mean)
    return out
