"""A day on which a forecaster answers what cannot be meant for one symbol: that is held back, the others are issued."""

from __future__ import annotations

import pytest

import forecasting.outlook
from flows.daily import daily
from flows.parameters import Daily
from forecasting.errors import WildForecast
from storage.database import Database
from storage.home import Home
from tasks.listening import Listener, heard_by

ORIGIN = "2021-04-01"


class Heard(Listener):
    """The receipt of each step."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        self.receipts[step] = summary


def wild(monkeypatch, symbols: set[str], forecaster_number: int | None = None) -> None:
    """From now on what every forecaster (or the one of that number) says of ``symbols`` is found far away."""
    true, asked = forecasting.outlook.deviations, []

    def far(inputs, rows, quantiles, horizons):
        found = true(inputs, rows, quantiles, horizons)
        asked.append(found)
        if forecaster_number in (None, len(asked) - 1):
            found[[inputs.panel.symbols[inputs.panel.symbol_index[row]] in symbols for row in rows]] = 25.0
        return found

    monkeypatch.setattr(forecasting.outlook, "deviations", far)


def issued(home, what: str) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(f"SELECT {what} FROM store.forecasts WHERE origin = '{ORIGIN}' ORDER BY ALL").fetchall()


def test_served_forecast__that_is_wild_is_held_back_and_the_others_are_issued(copied, monkeypatch):
    wild(monkeypatch, {"BBB"})
    report = daily(Daily(home=str(copied), origin=ORIGIN))
    [refused] = report["refused"]
    assert (refused["symbol"], refused["reason"]) == ("BBB", "wild_forecast")
    assert "25 standard deviations of its history away and was held back" in refused["message"]
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA", "CCC"} == {s for (s,) in issued(copied, "DISTINCT symbol")}
    with Database(Home(copied)).reading() as con:
        [kept] = con.execute("SELECT symbol, reason, severity FROM quarantine WHERE reason = 'wild_forecast'").fetchall()
    assert kept == ("BBB", "wild_forecast", "refused")


def test_day__with_nothing_but_wild_forecasts_ends_in_one_line_and_issues_none(copied, monkeypatch):
    wild(monkeypatch, {"AAA", "BBB", "CCC"})
    with pytest.raises(Exception, match="none of 3 symbols can be forecast from 2021-04-01") as caught:
        daily(Daily(home=str(copied), origin=ORIGIN))
    assert "\n" not in str(caught.value) and issued(copied, "symbol") == []


def test_rival__that_is_wild_keeps_its_record_and_nobody_is_refused(copied, monkeypatch):
    with Database(Home(copied)).reading() as con:
        [serving] = con.execute("SELECT DISTINCT forecaster FROM latest_forecasts").fetchone()
    number = next(n for n, name in enumerate(("lstm", "persistence")) if name != serving)
    wild(monkeypatch, {"BBB"}, number)
    heard = Heard()
    with heard_by(heard):
        report = daily(Daily(home=str(copied), origin=ORIGIN))
    assert report["refused"] == [] and len(report["forecasts"]) == 9
    assert len(issued(copied, "symbol, forecaster")) % 9 == 0
    assert heard.receipts["forecast"].endswith(" forecasts; wild answers of rivals: 1")


def test_wild_forecast__is_an_error_that_says_what_to_type():
    assert "`nextclose retrain --force`" in str(WildForecast("AAA", "lstm", 12.3)) and WildForecast.exit_code == 4
