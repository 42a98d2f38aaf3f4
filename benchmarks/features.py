"""How fast are the features, and how much memory do they take beside their output?

``compute_features`` against the same columns written with pandas groupby-rolling, with TA-Lib called symbol by symbol
(for the columns it has), and with polars where it is installed. All answer a float32 block [rows, columns]; that they
answer the same numbers is checked on the way. And what a fresh process pays before its first value.

Before each call the machine is made to have the memory at hand: a virtual machine gives what was freed back to its host, and
then pays several times the price of the features for the pages of their output, at times or not.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd

from benchmarks.measuring import ROOT, Report, child_environment, count_text, interleaved, options, speedup
from forecasting.features import DEFAULT_FEATURES, compute_features
from forecasting.panel import ROW_COLUMNS, Panel
from sources.synthetic import SyntheticMarket
from tasks.measure import measured

SIZE = {
    "small": dict(symbols=4, sessions=700, copies=2, repeats=2),
    "full": dict(symbols=500, sessions=5000, copies=8, repeats=5),  # 2.5M rows, and 20M
}
#: The columns that TA-Lib has as well, then the others.
SHARED = (
    "sma_5", "sma_10", "sma_20", "sma_50", "ema_12", "ema_26", "macd", "macd_signal", "macd_hist", "rsi_14", "stochastic_14",
    "stochastic_signal_14", "bollinger_20", "bollinger_width_20", "atr_14", "volatility_5", "volatility_10", "volatility_20",
    "volatility_60",
)  # fmt: skip
OTHERS = ("close_lag_1", "close_lag_5", "return_1", "return_5", "return_20", "return_60", "obv_20", "log_volume")
NAMES = SHARED + OTHERS
OURS = f"ours, the network's {len(DEFAULT_FEATURES)}"
PANDAS_TAKES = 6.0  # outputs, its own included
SETTLED = 400  # rows of a symbol after which a recursion has forgotten how it was started


#: A process that computes the network's features once: seconds for the libraries, for ours, for the first and the second time.
FRESH = """
import time
t = [time.perf_counter()]
def lap(): t.append(time.perf_counter())
import numpy, pandas, numba; lap()
from forecasting.features import compute_features, describe
from forecasting.panel import Panel
from sources.synthetic import SyntheticMarket
describe(()); lap()
panel = Panel.from_frames(SyntheticMarket(seed=5, symbols=3, sessions=300, events=False).drawn.bars); lap()
compute_features(panel); lap()
compute_features(panel); lap()
print(*(after - before for before, after in zip(t, t[1:])))
"""


def fresh_process() -> list[float]:
    """Seconds of a fresh process: importing NumPy, pandas and numba; ours; the first answer; the second."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=True
    )
    libraries, ours, _, first, second = map(float, done.stdout.split()[-5:])
    return [libraries, ours, first, second]


def with_pandas(frame: pd.DataFrame) -> np.ndarray:
    """NAMES the usual way: one groupby, a rolling or shifted series a column. ``frame``: symbol code, o, h, l, c, volume."""
    code, close, high, low, volume = (frame[c] for c in ("code", "close", "high", "low", "volume"))
    columns: dict[str, np.ndarray] = {}

    def group(series: pd.Series):
        return series.groupby(code, sort=False)

    def rolling(series: pd.Series, n: int, how: str, **given: object) -> pd.Series:
        return pd.Series(getattr(group(series).rolling(n), how)(**given).to_numpy(), index=frame.index)

    def smooth(series: pd.Series, **given: float) -> pd.Series:
        return pd.Series(group(series).ewm(adjust=False, **given).mean().to_numpy(), index=frame.index)

    log_close = np.log(close)
    before = group(close).shift(1)
    one = log_close - group(log_close).shift(1)
    for n in (5, 10, 20, 50):
        columns[f"sma_{n}"] = close / rolling(close, n, "mean") - 1
    fast, slow = smooth(close, span=12), smooth(close, span=26)
    columns["ema_12"], columns["ema_26"] = close / fast - 1, close / slow - 1
    macd = fast - slow
    signal = smooth(macd, span=9)
    columns["macd"], columns["macd_signal"], columns["macd_hist"] = macd / close, signal / close, (macd - signal) / close
    change = close - before
    up, down = smooth(change.clip(lower=0), alpha=1 / 14), smooth(-change.clip(upper=0), alpha=1 / 14)
    columns["rsi_14"] = 100 * up / (up + down)
    top, bottom = rolling(high, 14, "max"), rolling(low, 14, "min")
    percent_k = 100 * (close - bottom) / (top - bottom)
    columns["stochastic_14"], columns["stochastic_signal_14"] = percent_k, rolling(percent_k, 3, "mean")
    deviation, mean = rolling(close, 20, "std", ddof=0), rolling(close, 20, "mean")
    columns["bollinger_20"] = 0.5 + (close - mean) / (4 * deviation)
    columns["bollinger_width_20"] = 4 * deviation / mean
    true_range = np.maximum(high, before) - np.minimum(low, before)
    columns["atr_14"] = smooth(true_range, alpha=1 / 14) / close
    for n in (5, 10, 20, 60):
        columns[f"volatility_{n}"] = rolling(one, n, "std", ddof=0)
    for n in (1, 5):
        columns[f"close_lag_{n}"] = group(log_close).shift(n) - log_close
    for n in (1, 5, 20, 60):
        columns[f"return_{n}"] = log_close - group(log_close).shift(n)
    signed = np.sign(change.fillna(0)) * volume
    columns["obv_20"] = rolling(signed, 20, "sum") / rolling(volume, 20, "sum")
    columns["log_volume"] = np.log1p(volume)
    return np.column_stack([np.asarray(columns[name], dtype=np.float32) for name in NAMES])


def with_talib(panel: Panel) -> np.ndarray:
    """SHARED by TA-Lib, one symbol after the other."""
    import talib

    out = np.empty((panel.rows, len(SHARED)), dtype=np.float32)
    for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        close, high, low, mine = panel.close[a:b], panel.high[a:b], panel.low[a:b], out[a:b]
        log_close = np.log(close)
        returns = np.diff(log_close, prepend=log_close[0])
        for i, n in enumerate((5, 10, 20, 50)):
            mine[:, i] = close / talib.SMA(close, n) - 1
        mine[:, 4], mine[:, 5] = close / talib.EMA(close, 12) - 1, close / talib.EMA(close, 26) - 1
        for i, line in enumerate(talib.MACD(close, 12, 26, 9)):
            mine[:, 6 + i] = line / close
        mine[:, 9] = talib.RSI(close, 14)
        mine[:, 10], mine[:, 11] = talib.STOCHF(high, low, close, 14, 3)
        upper, middle, lower = talib.BBANDS(close, 20)
        mine[:, 12], mine[:, 13] = (close - lower) / (upper - lower), (upper - lower) / middle
        mine[:, 14] = talib.ATR(high, low, close, 14) / close
        for i, n in enumerate((5, 10, 20, 60)):
            mine[:, 15 + i] = talib.STDDEV(returns, n)
    return out


def with_polars(frame) -> np.ndarray:
    """NAMES as polars expressions over the symbol."""
    import polars as pl

    close, high, low, volume = (pl.col(c) for c in ("close", "high", "low", "volume"))

    def smooth(expression: pl.Expr, **given: float) -> pl.Expr:
        return expression.ewm_mean(adjust=False, **given).over("code")

    first = frame.lazy().with_columns(log_close=close.log(), before=close.shift(1).over("code"))
    first = first.with_columns(
        change=close - pl.col("before"), one=pl.col("log_close").diff().over("code"), fast=smooth(close, span=12),
        slow=smooth(close, span=26), top=high.rolling_max(14).over("code"), bottom=low.rolling_min(14).over("code"),
        mean=close.rolling_mean(20).over("code"), deviation=close.rolling_std(20, ddof=0).over("code"),
    ).with_columns(
        macd_line=pl.col("fast") - pl.col("slow"),
        up=smooth(pl.col("change").clip(lower_bound=0), alpha=1 / 14),
        down=smooth(-pl.col("change").clip(upper_bound=0), alpha=1 / 14),
        percent_k=100 * (close - pl.col("bottom")) / (pl.col("top") - pl.col("bottom")),
        signed=pl.col("change").fill_null(0).sign() * volume,
        true_range=pl.max_horizontal(high, "before") - pl.min_horizontal(low, "before"),
    ).with_columns(signal_line=smooth(pl.col("macd_line"), span=9))  # fmt: skip
    log_close, macd = pl.col("log_close"), pl.col("macd_line")
    columns = {f"sma_{n}": close / close.rolling_mean(n).over("code") - 1 for n in (5, 10, 20, 50)}
    columns |= {
        "ema_12": close / pl.col("fast") - 1, "ema_26": close / pl.col("slow") - 1, "macd": macd / close,
        "macd_signal": pl.col("signal_line") / close, "macd_hist": (macd - pl.col("signal_line")) / close,
        "rsi_14": 100 * pl.col("up") / (pl.col("up") + pl.col("down")), "stochastic_14": pl.col("percent_k"),
        "stochastic_signal_14": pl.col("percent_k").rolling_mean(3).over("code"),
        "bollinger_20": 0.5 + (close - pl.col("mean")) / (4 * pl.col("deviation")),
        "bollinger_width_20": 4 * pl.col("deviation") / pl.col("mean"),
        "atr_14": smooth(pl.col("true_range"), alpha=1 / 14) / close,
    }  # fmt: skip
    columns |= {f"volatility_{n}": pl.col("one").rolling_std(n, ddof=0).over("code") for n in (5, 10, 20, 60)}
    columns |= {f"close_lag_{n}": log_close.shift(n).over("code") - log_close for n in (1, 5)}
    columns |= {f"return_{n}": log_close - log_close.shift(n).over("code") for n in (1, 5, 20, 60)}
    columns["obv_20"] = pl.col("signed").rolling_sum(20).over("code") / volume.rolling_sum(20).over("code")
    columns["log_volume"] = volume.log1p()
    return first.select(columns[name].cast(pl.Float32).alias(name) for name in NAMES).collect().to_numpy()


def copies(panel: Panel, times: int) -> Panel:
    """The panel ``times`` over, under other names: a larger market at no cost."""
    columns = {c: np.tile(getattr(panel, c), times) for c in ROW_COLUMNS}
    starts = np.append(0, np.cumsum(np.tile(np.diff(panel.starts), times)))
    names = tuple(f"{name}.{i}" for i in range(times) for name in panel.symbols)
    return replace(panel, symbols=names, starts=starts, **columns)


def extra_memory(call: Callable[[], np.ndarray]) -> tuple[float, float]:
    """(peak memory above what was there before and beside the output, the output), MiB."""
    with measured() as idle:
        pass
    with measured() as cost:
        output = call().nbytes / 2**20
    return max(0.0, cost.peak_mb - idle.peak_mb - output), output


def at_hand(panel: Panel, outputs: float) -> None:
    """Touch and free as much memory as so many blocks of NAMES take."""
    np.ones(int(panel.rows * len(NAMES) * outputs), dtype=np.float32)


def disagreement(ours: np.ndarray, theirs: np.ndarray, panel: Panel) -> float:
    """The largest difference in any settled row, in standard deviations of its column."""
    nth = np.arange(panel.rows) - panel.starts[:-1][panel.symbol_index]
    settled = (nth >= SETTLED)[:, None] & np.isfinite(ours) & np.isfinite(theirs)
    if (np.isfinite(ours) != np.isfinite(theirs))[nth >= SETTLED].any():
        return float("inf")
    difference = np.abs(np.where(settled, ours.astype(np.float64) - theirs, 0)).max(axis=0)
    return float((difference / np.nanstd(ours.astype(np.float64), axis=0)).max())


def main(arguments: list[str] | None = None) -> Report:
    chosen = options(__doc__, arguments)
    size = SIZE[chosen.size]
    report = Report("features", chosen.size)
    bars = SyntheticMarket(seed=5, symbols=size["symbols"], sessions=size["sessions"], events=False).drawn.bars
    panel = Panel.from_frames(bars)
    frame = bars.drop(columns=["symbol", "session"]).assign(code=panel.symbol_index)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: compute_features(panel, NAMES).values,
        "ours, TA-Lib's columns": lambda: compute_features(panel, SHARED).values,
        OURS: lambda: compute_features(panel, DEFAULT_FEATURES).values,
        "pandas": lambda: with_pandas(frame),
    }
    if importlib.util.find_spec("talib"):
        calls["TA-Lib"] = lambda: with_talib(panel)
    if importlib.util.find_spec("polars"):
        import polars

        table = polars.from_pandas(frame)
        calls["polars"] = lambda: with_polars(table)
    else:
        report.notes.append("polars is not installed and was skipped (it is no dependency of ours)")
    with measured() as first:
        ours = calls["ours"]()
    report.add("first call", "ours, compiled code read from disk or compiled", first.seconds)
    fresh = zip(*(fresh_process() for _ in range(chosen.repeats or size["repeats"])), strict=True)
    stages = ("importing NumPy, pandas, numba", "importing ours", "first answer", "second")
    for what, seconds in zip(stages, fresh, strict=True):
        report.add("a fresh process, the network's", what, median(seconds))
    for other, columns in (("pandas", slice(None)), ("TA-Lib", slice(len(SHARED))), ("polars", slice(None))):
        if other in calls:
            report.add("same numbers", other, None, f"{disagreement(ours[:, columns], calls[other](), panel):.1e} deviations")
    del ours
    times = interleaved(calls, chosen.repeats or size["repeats"], dict.fromkeys(calls, lambda: at_hand(panel, PANDAS_TAKES)))
    opponents = {"pandas": "ours", "polars": "ours", "TA-Lib": "ours, TA-Lib's columns"}
    ratios = {other: speedup(times, mine, other) for other, mine in opponents.items() if other in calls}
    widths = {"TA-Lib": len(SHARED), "ours, TA-Lib's columns": len(SHARED), OURS: len(DEFAULT_FEATURES)}
    section = f"{count_text(panel.rows)} rows"
    for name, seconds in times.items():
        amount = f"{widths.get(name, len(NAMES))} columns, {count_text(panel.rows / median(seconds))} rows/s"
        slower = f"the time of {opponents[name]}" if name in ratios else ""
        report.add(section, name, median(seconds), amount, ratios.get(name), slower)
    memory = {name: extra_memory(calls[name]) for name in calls if name in ("ours", "pandas", "polars")}
    for name, (extra, output) in memory.items():
        report.add("memory", name, None, f"output {output:,.0f} MiB and {extra:,.0f} more")
    large = copies(panel, size["copies"])
    all_at_once = interleaved({"ours": lambda: compute_features(large, NAMES)}, 3, {"ours": lambda: at_hand(large, 1.3)})[
        "ours"
    ]
    extra, output = extra_memory(lambda: compute_features(large, NAMES).values)
    rate = f"{len(NAMES)} columns, {count_text(large.rows / median(all_at_once))} rows/s"
    report.add(f"{count_text(large.rows)} rows", "ours", median(all_at_once), rate)
    report.add("memory", f"ours, {count_text(large.rows)} rows", None, f"output {output:,.0f} MiB and {extra:,.0f} more")
    report.at_least("over pandas", ratios["pandas"], 30)
    report.at_least("over polars", ratios.get("polars"), 6)
    report.at_least("over TA-Lib, its columns", ratios.get("TA-Lib"), 1.5)
    report.at_most("20M rows (ambitious)", median(all_at_once), 1.0, " s")
    report.at_most("memory over output, 20M rows (ambitious)", (output + extra) / output, 1.3, "x")
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
