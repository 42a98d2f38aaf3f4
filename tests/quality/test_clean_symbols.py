"""What is clean passes: of clean symbols over ten years no row and no action is set aside."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from forecasting.quality.thresholds import QualityThresholds
from sources.synthetic import SyntheticSource
from tasks.checking import Report, check_path

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def report_of(bars: pd.DataFrame, path, **options) -> Report:
    bars.to_parquet(path)
    return check_path(path, options, NOW, QualityThresholds())


def set_aside(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings if finding.severity != "warn"]


def test_made_up_market__with_splits_and_dividends_passes(tmp_path):
    symbols = tuple(f"S{i:02}" for i in range(20))
    market = SyntheticSource(symbols=symbols, sessions=2520, start="2014-01-02", events=True, seed=5).fetch(symbols, None, None)
    bars = market.bars
    for kind, column in (("split", "Stock Splits"), ("dividend", "Dividends")):
        actions = market.actions[market.actions["kind"] == kind][["symbol", "session", "value"]]
        bars = bars.merge(actions.rename(columns={"value": column}), on=["symbol", "session"], how="left").fillna({column: 0.0})
    report = report_of(
        bars.rename(columns={"symbol": "ticker", "session": "date"}), tmp_path / "market.parquet", basis="as_traded"
    )
    assert set_aside(report) == []
    assert sum(account.kept for account in report.accounts) == len(bars) > 40_000


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("panel/sp500_adjusted", "2013-08-31", "2023-08-31"),
        ("panel/yahoo_88_2012_2017", "2012-09-01", "2017-09-01"),
        ("long_history/yahoo_long", "2013-04-14", "2023-04-14"),
        ("raw_unadjusted/wiki_raw_2000_2013", "2003-03-01", "2013-03-01"),
        ("raw_unadjusted/lean_raw", "2011-04-01", "2021-03-31"),
    ],
)
def test_real_symbols__twenty_over_ten_years_pass(shared_data, tmp_path, figure, name, since, until):
    """The twenty of each set with the most rows and a trade on every day: false rejections 0."""
    bars = pd.read_parquet(shared_data / f"{name}.parquet")
    day = pd.to_datetime(bars["date"])
    bars = bars[(day >= since) & (day <= until)]
    rows = bars.groupby("ticker").agg(rows=("close", "count"), least=("volume", "min"))
    chosen = rows[rows["least"] > 0].sort_values(["rows"], ascending=False, kind="stable").index[:20]
    options = {"basis": "as_traded"} if name.endswith("lean_raw") else {}
    report = report_of(bars[bars["ticker"].isin(chosen)], tmp_path / "clean.parquet", **options)
    aside = sum(account.quarantined for account in report.accounts)
    received = sum(account.received for account in report.accounts)
    figure(f"{name}: {len(report.accounts)} symbols, {received:,} rows, false rejections {aside}, {report.verdict}")
    assert set_aside(report) == [] and aside == 0
    assert len(report.accounts) == len(chosen)
