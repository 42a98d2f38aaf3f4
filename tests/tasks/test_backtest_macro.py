"""A backtest with a file of macro series gives the models what each session could see."""

from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.judging.gate import GateThresholds
from forecasting.lstm import LstmSpec
from tasks.backtesting import Bench, load_prices
from tests.tiny import prices_file, tiny_bars


def known(tmp_path, symbol: str) -> list[tuple[str, str, float]]:
    bars = tiny_bars(("AAA",), 40)  # sessions of New York from 2 January 2020 on
    prices = prices_file(tmp_path / "prices.csv", bars.assign(symbol=symbol))
    macro = tmp_path / "macro.csv"
    macro.write_text(
        "series,date,released,value\nVIX,2020-01-02,,12.5\nVIX,2020-01-03,,14.0\nDGS10,2020-01-03,,1.80\nGDP,2019-10-01,2020-01-30,2.1\n"
    )
    bench = Bench(str(prices), str(macro), None, LstmSpec(), GateThresholds())
    load_prices.fn(bench, date(2020, 1, 31))
    found = bench.macro
    return [(s, d.strftime("%m-%d"), v) for s, d, v in zip(found["series"], found["session"], found["value"], strict=True)]


def test_load_prices__vix_at_its_own_close_yields_at_the_next_and_releases_when_they_were(tmp_path):
    assert known(tmp_path, "AAA") == [
        ("DGS10", "01-06", 1.80),
        ("GDP", "01-31", 2.1),  # a date alone is over at midnight in New York
        ("VIX", "01-02", 12.5),
        ("VIX", "01-03", 14.0),
    ]


def test_load_prices__of_london_see_new_yorks_vix_a_session_later(tmp_path):
    assert [row for row in known(tmp_path, "AAA.L") if row[0] == "VIX"] == [("VIX", "01-03", 12.5), ("VIX", "01-06", 14.0)]


def test_load_prices__of_two_exchanges_keep_apart_what_each_could_see(tmp_path):
    both = pd.concat([tiny_bars(("AAA",), 40), tiny_bars(("AAA",), 40).assign(symbol="AAA.L")])
    prices = prices_file(tmp_path / "prices.csv", both)
    (tmp_path / "vix.csv").write_text("DATE,VIX\n2020-01-03,14.0\n")
    bench = Bench(str(prices), str(tmp_path / "vix.csv"), None, LstmSpec(), GateThresholds())
    load_prices.fn(bench, date(2020, 1, 31))
    assert bench.macro[["calendar", "session"]].astype(str).to_numpy().tolist() == [
        ["XLON", "2020-01-06"],
        ["XNYS", "2020-01-03"],
    ]
