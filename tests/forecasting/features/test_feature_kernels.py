"""The compiled loops against one-line NumPy twins: windows, averages, the calendar of events, what is kept in float32."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numba.core.dispatcher import Dispatcher

from forecasting.features import compute_features, event_kernels, kernels, oscillator_kernels, technical_kernels, window_kernels
from forecasting.panel import Panel
from forecasting.rivals import garch, historical, linear_quantile
from tests.forecasting.markets import walk_frame

STARTS = np.array([0, 50, 50, 56, 140])  # symbols of 50, no, 6 and 84 rows


@pytest.fixture
def walk() -> np.ndarray:
    """Prices far from zero, one of them not known."""
    x = 1e4 + np.cumsum(np.random.default_rng(4).normal(0, 1, STARTS[-1]))
    x[100] = np.nan
    return x


def windowed(x: np.ndarray, n: int, of) -> np.ndarray:
    """``of`` each window of n rows that lies within one symbol; NaN where there is none."""
    out = np.full(len(x), np.nan)
    for begin, end in zip(STARTS[:-1], STARTS[1:], strict=True):
        for t in range(begin + n - 1, end):
            out[t] = of(x[t - n + 1 : t + 1])
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40, 60])
def test_a_window__holds_its_n_rows_and_no_others(n: int, walk: np.ndarray) -> None:
    mean, variance = window_kernels.rolling_variance(STARTS, walk, n)
    np.testing.assert_allclose(window_kernels.rolling_sum(STARTS, walk, n), windowed(walk, n, np.sum), rtol=1e-13)
    np.testing.assert_array_equal(window_kernels.rolling_maximum(STARTS, walk, n), windowed(walk, n, np.max))
    np.testing.assert_allclose(mean, windowed(walk, n, np.mean), rtol=1e-14)
    np.testing.assert_allclose(variance, windowed(walk, n, np.var), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(window_kernels.deviation(STARTS, walk, n), np.sqrt(variance))
    np.testing.assert_allclose(window_kernels.from_mean(STARTS, walk, n), walk / mean - 1.0, atol=1e-14)


@pytest.mark.parametrize("n", [2, 5, 33])
def test_moments__of_two_and_of_three_powers_are_the_same_bits(n: int, walk: np.ndarray) -> None:
    np.testing.assert_array_equal(
        window_kernels.rolling_variance(STARTS, walk, n), window_kernels.rolling_moments(STARTS, walk, n)[:2]
    )


def test_known_mean__counts_an_unknown_row_as_nothing_and_waits_for_a_known_first_one(walk: np.ndarray) -> None:
    expected = windowed(walk, 3, lambda w: np.nan if np.isnan(w[0]) else np.nansum(w) / 3)
    np.testing.assert_allclose(window_kernels.known_mean(STARTS, walk, 3), expected, rtol=1e-13)


def test_averages__are_the_recursion_from_the_mean_of_the_first_n(walk: np.ndarray) -> None:
    def average(x: list[float], n: int) -> list[float]:
        known, out = [], []
        for value in x:
            if not np.isnan(value):
                known.append(value)
            y = sum(known[:n]) / n
            for later in known[n:]:
                y += 2 / (n + 1) * (later - y)
            out.append(y if len(known) >= n else np.nan)
        return out

    x, n = walk[56:], 26
    np.testing.assert_allclose(technical_kernels.smoothed(np.array([0, 84]), x, n, 2 / 27), average(x, n), rtol=1e-12)
    fast = np.append(np.full(14, np.nan), average(x[14:], 12))
    line, signal = technical_kernels.macd(np.array([0, 84]), x, 12, n, 9)
    np.testing.assert_allclose(line, fast - average(x, n), atol=1e-8)
    np.testing.assert_allclose(signal, average(fast - average(x, n), 9), atol=1e-8)


def test_what_is_kept__is_finite_in_single_precision_or_not_known() -> None:
    out = np.zeros(6, dtype=np.float32)
    kernels.keep(np.array([1.5, 1e39, np.inf, -np.inf, np.nan, -3e38]), out)
    np.testing.assert_array_equal(out, np.array([1.5, np.nan, np.nan, np.nan, np.nan, -3e38], dtype=np.float32))


def test_event_features__answer_for_a_history_of_any_length_about_a_quarter_and_a_year() -> None:
    lengths = (1, 64, 65, 66, 67, 69, 70, 71, 259, 260, 261, 266)
    panel = Panel.from_frames(pd.concat([walk_frame(1, f"S{n:03}", 300).head(n) for n in lengths]))
    names, warm_up = ("event_day_1", "event_wide_40", "event_past_5", "event_year_5"), np.array([70, 70, 70, 265])
    values = compute_features(panel, names).values
    for begin, end in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        known = np.arange(end - begin)[:, None] >= warm_up
        np.testing.assert_array_equal(np.isfinite(values[begin:end]), known)


@pytest.mark.parametrize(
    "module",
    [kernels, window_kernels, technical_kernels, oscillator_kernels, event_kernels, garch, historical, linear_quantile],
    ids=lambda module: module.__name__.rpartition(".")[2],
)
def test_a_kernel__calls_only_those_of_its_own_file(module: ModuleType) -> None:
    """Compiled code is kept until its own file changes: a changed kernel of another file would not be seen."""
    own = [f for f in vars(module).values() if isinstance(f, Dispatcher) and f.py_func.__module__ == module.__name__]
    called = {name: getattr(module, name, None) for f in own for name in f.py_func.__code__.co_names}
    strange = [n for n, f in called.items() if isinstance(f, Dispatcher) and f.py_func.__module__ != module.__name__]
    assert own and strange == []
