"""The ranks of a backtest, from a file of closes only."""

from __future__ import annotations

from datetime import date

import pytest

from forecasting.joint import rank_report
from forecasting.judging.gate import GateThresholds
from forecasting.lstm import LstmSpec
from forecasting.models import fit_model
from forecasting.splits import Spans
from tasks.backtesting import Bench, load_prices
from tests.tiny import tiny_bars

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
SPEC = LstmSpec(
    features=("ret", "abs_ret"), horizons=(1, 5), lookback=20, labels_per_sequence=40, stem_units=0, units=(4,), head_units=4,
    members=1, epochs=1, min_updates=4, batch_size=8,
)  # fmt: skip


def test_rank_report__from_symbol_date_and_price(tmp_path) -> None:
    file = tmp_path / "closes.csv"
    closes = tiny_bars(SYMBOLS)[["symbol", "session", "close"]].rename(columns={"session": "date", "close": "price"})
    closes.assign(date=closes["date"].dt.strftime("%Y-%m-%d")).to_csv(file, index=False)
    bench = Bench(str(file), None, None, SPEC, GateThresholds())
    load_prices(bench, date(2021, 4, 9))
    spans = Spans(date(2020, 9, 30), date(2020, 12, 31), date(2021, 4, 9))
    fitted = fit_model(SPEC, bench.panel, None, spans, rivals=("persistence", "drift", "ewma", "ridge"))

    report, again = (rank_report(fitted, bench.panel, None, spans, draws=500) for _ in range(2))

    assert bench.panel.symbols == SYMBOLS
    assert report == again
    # 4 January to 9 April 2021: 68 sessions, of which the last origin with an outcome is the 63rd: blocks at 1, 6, ... 61.
    assert report["horizon"] == 5 and report["blocks"] == 13
    assert [block["origin"] for block in report["by_block"]][:2] == ["2021-01-04", "2021-01-11"]
    assert {block["symbols"] for block in report["by_block"]} == {6}
    assert 0.1 < report["rps"]["lstm"] < 0.25
    # six symbols: the chances of the fifths are 2/6, 1/6, 1/6, 1/6, 1/6
    assert report["rps"]["uniform"] == pytest.approx(report["by_block"][0]["uniform"])
    assert set(report["t"]) == {"lstm against joint_bootstrap", "lstm against uniform"}
