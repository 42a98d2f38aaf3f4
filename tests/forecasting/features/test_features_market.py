"""Features of the whole market: against plain definitions, with several exchanges, and by the instant of each close."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.audit.features import audit
from forecasting.features import compute_features, ewma_volatility, feature, log_returns
from forecasting.features.sets import SETS, expand
from forecasting.panel import Panel
from forecasting.sessions import calendar_of, closes_at, sessions_between
from tests.references.market import small_macro, small_panel

WORLD = ("AAPL", "MSFT", "7203.T", "6758.T", "VOD.L", "BTC-USD")
MARKET_NAMES = SETS["market"]


@pytest.fixture(scope="module")
def market() -> Panel:
    return small_panel()


def by_day(panel: Panel, values: np.ndarray, members: tuple[str, ...]) -> dict:
    """day -> the members' known values."""
    found: dict = {day: [] for day in panel.sessions}
    for i, symbol in enumerate(panel.symbols):
        if symbol in members:
            for r in range(panel.starts[i], panel.starts[i + 1]):
                if np.isfinite(values[r]):
                    found[panel.session[r]].append(values[r])
    return found


def test_cross_section__equals_the_definition(market: Panel) -> None:
    members = ("S0", "S2", "S3")
    names = ("dispersion", "market_breadth", "average_correlation", "market_momentum_20", "market_vol_level")
    values = compute_features(market, names, market_symbols=members).values
    returns, scale = log_returns(market), ewma_volatility(market)
    scaled, signs, variances = (by_day(market, x, members) for x in (returns / scale, np.sign(returns), scale**2))
    mean = np.array([np.mean(x) if len(x) else np.nan for x in by_day(market, returns, members).values()])
    fast = seeded_ewma(mean, 0.94)
    for t in (40, 130, 180, 329):
        row, day = t, market.sessions[t]  # S0 has every session, so its row is the session's number
        expected = (
            np.log(np.std(scaled[day])), np.mean(signs[day]), fast[t] / np.mean(variances[day]),
            np.nansum(mean[t - 19 : t + 1]) / np.sqrt(20 * fast[t]), 0.5 * np.log(fast[t]) - np.log(0.01),
        )  # fmt: skip
        np.testing.assert_allclose(values[row], expected, rtol=2e-5, atol=2e-6)


def seeded_ewma(x: np.ndarray, lam: float) -> np.ndarray:
    """EWMA of squares, started at the mean of the first twenty known."""
    out, known = np.full(len(x), np.nan), []
    for t, value in enumerate(x):
        if np.isfinite(value):
            known.append(value**2)
            if len(known) == 20:
                v = np.mean(known)
            elif len(known) > 20:
                v = lam * v + (1 - lam) * value**2
        if len(known) >= 20:
            out[t] = v
    return out


def test_dispersion_ratio__is_fast_over_slow(market: Panel) -> None:
    values = compute_features(market, ("dispersion_ratio",)).values[:, 0]
    scaled = by_day(market, log_returns(market) / ewma_volatility(market), market.symbols)
    spread = np.array([np.std(x) if len(x) else np.nan for x in scaled.values()])
    expected = 0.5 * np.log(seeded_ewma(spread, 0.94) / seeded_ewma(spread, 0.99))
    np.testing.assert_allclose(values[:330], expected, rtol=2e-4, atol=2e-6)


def test_regression_on_the_market__equals_least_squares(market: Panel) -> None:
    names = ("beta_60", "market_correlation_60", "idio_volatility_60", "residual_momentum_60")
    values = compute_features(market, names).values
    returns, scale = log_returns(market), ewma_volatility(market)
    mean = {day: np.mean(x) if x else np.nan for day, x in by_day(market, returns, market.symbols).items()}
    for i in (0, 3):
        for t in (60, 140, 320):
            r = market.starts[i] + t
            y = returns[r - 59 : r + 1]
            x = np.array([mean[day] for day in market.session[r - 59 : r + 1]])
            slope, alpha = np.polyfit(x, y, 1)
            rest = np.std(y - alpha - slope * x)
            expected = (slope, np.corrcoef(x, y)[0, 1], rest / scale[r], alpha * np.sqrt(60) / rest)
            np.testing.assert_allclose(values[r], expected, rtol=1e-3, atol=1e-4)


def test_ranks__count_who_is_below_and_half_of_who_is_equal(market: Panel) -> None:
    members = ("S0", "S1", "S3")
    names = ("rank_return_5", "rank_volatility", "rank_dollar_volume_20")
    values = compute_features(market, names, market_symbols=members).values
    for column, base in enumerate(("return_5", "vol_level", "dollar_volume_20")):
        own = compute_features(market, (base,)).values[:, 0]
        there = by_day(market, own, members)
        for r in (200, market.starts[1] + 100, market.starts[2] + 200, market.starts[3] + 300):  # S2 is none of the market
            peers = np.array(there[market.session[r]])
            expected = (np.mean(peers < own[r]) + np.mean(peers <= own[r])) / 2 - 0.5
            np.testing.assert_allclose(values[r, column], expected, atol=1e-6)


def test_a_market_of_one_symbol__has_no_dispersion_and_no_residual() -> None:
    panel = small_panel(symbols=1)
    values = compute_features(
        panel, ("dispersion", "dispersion_ratio", "beta_60", "residual_momentum_60", "rank_return_5")
    ).values
    np.testing.assert_allclose(values[100:], np.tile([0, 0, 1, 0, 0], (230, 1)), atol=1e-5)


# Several exchanges: a date is over in Tokyo long before it is in New York.


@pytest.fixture(scope="module")
def world() -> Panel:
    """Six symbols of four calendars, each on its own sessions; Bitcoin trades every day of the week."""
    random = np.random.default_rng(11)
    parts, sessions = [], {}
    for symbol in WORLD:
        days = sessions_between(calendar_of(symbol), date(2021, 1, 4), date(2021, 12, 30))
        sessions[symbol] = days
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, len(days))))
        frame = pd.DataFrame({"symbol": symbol, "session": days.astype("datetime64[us]"), "close": close})
        parts.append(
            frame.assign(open=close, high=close * 1.01, low=close * 0.99, volume=1e6 * random.uniform(1, 2, len(days)))
        )
    return Panel.from_frames(pd.concat(parts, ignore_index=True), sessions=sessions)


def closes(panel: Panel) -> np.ndarray:
    """The instant at which each row's session ended."""
    ends = [closes_at(calendar_of(panel.symbols[i]), day) for i, day in zip(panel.symbol_index, panel.session, strict=True)]
    return np.array([end.replace(tzinfo=None) for end in ends], dtype="datetime64[s]")


def test_market__of_each_exchange_is_made_of_what_had_closed_there(world: Panel) -> None:
    values = compute_features(world, ("market_return",)).values[:, 0]
    scaled, ends, index = log_returns(world) / ewma_volatility(world), closes(world), world.symbol_index
    for symbol in WORLD:
        i = world.symbols.index(symbol)
        for r in range(world.starts[i] + 60, world.starts[i + 1], 7):
            known = []
            for j in range(len(world.symbols)):  # each symbol's last session since the close before this one
                own = np.flatnonzero((index == j) & (ends <= ends[r]) & (ends > ends[r - 1]))
                known += list(scaled[own[-1:]])
            np.testing.assert_allclose(values[r], np.mean(known), rtol=1e-5, atol=1e-6, err_msg=f"{symbol} {world.session[r]}")


def test_tokyo__does_not_see_new_york_of_the_same_date_but_of_the_day_before(world: Panel) -> None:
    """AAPL falls by half on Wednesday 2021-06-16: known in London and Tokyo at their next close, on Thursday."""
    day = np.datetime64("2021-06-16")
    a = world.starts[world.symbols.index("AAPL")] + np.flatnonzero(world.session_of(world.symbols.index("AAPL")) == day)[0]
    changed = world.close.copy()
    changed[a] /= 2
    other = replace(world, close=changed)
    one, two = (compute_features(p, ("market_return",)).values[:, 0] for p in (world, other))
    first = {}
    for i, symbol in enumerate(world.symbols):
        rows = np.arange(world.starts[i], world.starts[i + 1])
        moved = rows[(one[rows] != two[rows]) & np.isfinite(one[rows])]
        first[symbol] = str(world.session[moved[0]])
    assert first == {
        "AAPL": "2021-06-16", "MSFT": "2021-06-16", "BTC-USD": "2021-06-16", "VOD.L": "2021-06-17", "7203.T": "2021-06-17",
        "6758.T": "2021-06-17",
    }  # fmt: skip


def test_every_feature__of_every_exchange_depends_on_nothing_that_closed_later(world: Panel) -> None:
    names, ends, random = expand(["set:all"]), closes(world), np.random.default_rng(5)
    macro = small_macro()
    expected = compute_features(world, names, macro=macro).values
    for row in random.choice(np.arange(60, world.rows), size=12, replace=False):
        column = ("close", "high", "volume", "open")[row % 4]
        changed = getattr(world, column).copy()
        changed[row] *= 1.7
        actual = compute_features(replace(world, **{column: changed}), names, macro=macro).values
        earlier = ends < ends[row]
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        seen = [names[c] for c in np.flatnonzero(~same[earlier].all(axis=0))]
        assert seen == [], (world.symbols[world.symbol_index[row]], world.session[row], column)
        assert not same[~earlier].all()


def test_new_yorks_market__is_the_same_bits_with_strangers_from_elsewhere(world: Panel) -> None:
    """Where the market is New York's, a panel of New York alone and one with Tokyo and Bitcoin beside it agree."""
    home = ("AAPL", "MSFT")
    names = tuple(n for n in expand(["set:default", "set:market", "set:volatility"]) if not n.startswith("vix"))
    among, days = world, sessions_between("XNYS", date(2021, 1, 4), date(2021, 12, 30))
    alone = world.only(home)
    alone = replace(alone, at=np.searchsorted(days, alone.session).astype(np.int32), sessions=days)
    one = compute_features(alone, names, market_symbols=home).values
    two = compute_features(among, names, market_symbols=home).values
    keep = np.isin(np.array(among.symbols)[among.symbol_index], home)
    assert np.array_equal(one, two[keep], equal_nan=True)


def test_market_features__changed_with_their_definition() -> None:
    assert [feature(n).version for n in ("market_return", "market_vol_ratio", "vix_market_vol", "excess_return")] == [2] * 4


def test_audit__of_every_feature_finds_nothing(world: Panel) -> None:
    """Cut off, poisoned, reordered, with holes, with later splits: over four calendars at once."""
    names = expand(["set:all"])
    assert len(names) > 140
    few = world.only(("AAPL", "7203.T", "BTC-USD"))
    report = audit(
        lambda p, m: compute_features(p, names, macro=m, threads=1).values, few, small_macro(), names, cuts=6, rows=260
    )
    assert report.findings == () and report.compared > 1_000_000
