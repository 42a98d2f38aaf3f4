"""A day of 500 symbols from a provider that fails in every way at once: it finishes, and every symbol is told about."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flows.daily import daily
from flows.parameters import Daily
from forecasting.sessions import sessions_between
from storage.database import Database
from storage.home import Home
from tasks.policies import Policy
from tests.sources.yahoo_stand_in import YahooStandIn, chart
from tests.tiny import NETWORK

NOW = datetime(2021, 4, 9, 22, 30, tzinfo=UTC)  # 18:30 in New York
DAYS = [str(day) for day in sessions_between("XNYS", "2020-01-02", "2021-04-09")][-300:]
EXPLAINED = {"blocked", "unknown_symbol", "partial", "malformed", "down", "rate_limited", "stale_symbol", "inactive"}


def walk(symbol: str, seed: int) -> object:
    closes = 50.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, len(DAYS))))
    return chart([(day, round(float(c), 2)) for day, c in zip(DAYS, closes, strict=True)], symbol=symbol)


@pytest.mark.slow(35)
def test_day__of_five_hundred_symbols_with_five_percent_of_each_failure(tmp_path, monkeypatch):
    symbols = [f"S{n:03d}" for n in range(500)]
    home = tmp_path / "home"
    home.mkdir()
    with YahooStandIn() as yahoo:
        for n, symbol in enumerate(symbols):
            yahoo.say(symbol, walk(symbol, n))
        yahoo.fail_at_random(0.05, seed=3)
        source = f'[source]\nname = "yahoo"\noptions = {{ base_url = "{yahoo.url}", waits = [0, 0, 0], timeout_seconds = 2 }}\n'
        universe = f"[universe]\nsymbols = {symbols!r}\n".replace("'", '"')
        (home / "settings.toml").write_text(universe + source + NETWORK, encoding="utf-8")
        monkeypatch.setattr("flows.entry.now_utc", lambda: NOW)
        monkeypatch.setattr(Policy, "delay", lambda self, retry: 0.0)  # the stand-in is no better for being left alone
        report = daily(Daily(home=str(home)))
        asked = len(yahoo.requests)
    forecast = {row["symbol"] for row in report["forecasts"]}
    refused = {row["symbol"]: row["reason"] for row in report["refused"]}
    print(f"{len(forecast)} forecast, {len(refused)} explained, {asked} requests")
    assert forecast | set(refused) == set(symbols) and not forecast & set(refused)
    assert set(refused.values()) <= EXPLAINED
    assert len(forecast) > 250  # what may pass was asked again, so that most answered in the end
    assert asked <= 3 * 2 * len(symbols)  # three tries at most, a second request for those that answered badly
    with Database(Home(home)).reading() as con:
        lost = con.execute("SELECT sum(received - stored - unchanged - revised - merged - outside - quarantined) FROM quality")
        assert lost.fetchone() == (0,)
        counted = con.execute("SELECT sum(requests) FROM store.requests WHERE source = 'yahoo'").fetchone()[0]
    assert counted == pytest.approx(asked, rel=0.1)  # curl repeats a request whose kept connection was cut, unseen
