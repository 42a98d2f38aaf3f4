"""The prices that the project carries."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.errors import NoSession, UnknownSymbol
from sources.build_bundled import build
from sources.bundled import BundledSource


def test_bundled__holds_what_its_provenance_says():
    source = BundledSource()
    got = source.fetch(source.symbols())
    assert source.symbols() == ("AAPL", "FB", "GOOG", "IBM", "MSFT") and len(got.bars) == 12_154 and not got.failures
    spans = got.bars.groupby("symbol")["session"].agg(["min", "max"]).map(lambda d: str(d.date()))
    assert spans.loc["FB"].tolist() == ["2012-05-18", "2013-03-01"] and spans.loc["GOOG", "min"] == "2004-08-19"
    prices = got.bars[["open", "high", "low", "close"]]
    assert (prices > 0).all().all() and (got.bars["volume"] > 0).all() and not got.bars.duplicated(["symbol", "session"]).any()
    assert got.basis == "as_traded" and got.actions["kind"].value_counts().to_dict() == {"dividend": 92, "split": 3}


def test_bundled__prices_are_as_traded():
    bars = BundledSource().fetch(["AAPL"], date(2000, 6, 20), date(2000, 6, 21)).bars
    assert bars["close"].tolist() == [101.25, 55.63]  # the 2:1 of that day shows


def test_bundled__actions_are_those_known_elsewhere():
    actions = BundledSource().fetch(["AAPL", "MSFT"]).actions
    keyed = {(s, str(d.date()), k): v for s, d, k, v in actions.itertuples(index=False)}
    assert keyed["MSFT", "2004-11-15", "dividend"] == 3.08 and keyed["AAPL", "2012-08-09", "dividend"] == 2.65
    assert [k for k in keyed if k[2] == "split"] == [
        ("AAPL", "2000-06-21", "split"),
        ("AAPL", "2005-02-28", "split"),
        ("MSFT", "2003-02-18", "split"),
    ]


def test_bundled__what_it_does_not_hold_is_a_failure():
    got = BundledSource().fetch(["TSLA", "FB", "IBM"], date(2001, 1, 1), date(2001, 12, 31))
    assert isinstance(got.failures["TSLA"], UnknownSymbol) and isinstance(got.failures["FB"], NoSession)
    assert set(got.bars["symbol"]) == {"IBM"} and set(got.actions["symbol"]) == {"IBM"}


def test_bundled__agrees_with_the_extract_in_the_shared_data(shared_data):
    theirs = pd.read_parquet(shared_data / "raw_unadjusted" / "wiki_raw_2000_2013.parquet")
    ours = BundledSource().fetch(BundledSource().symbols()).bars
    assert (theirs["close"] - ours["close"].astype("float32")).abs().max() == 0.0


def test_build_bundled__refuses_another_file(tmp_path):
    (tmp_path / "stocks.csv.gz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="take stocks.csv.gz of bokeh-sampledata 2026.1"):
        build(tmp_path / "stocks.csv.gz")
