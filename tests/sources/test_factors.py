"""Factor files in Lean's form: the actions behind the steps, and our adjustment against theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import PricesFileError
from sources.files import FilesSource

BARS = (
    "Date,Open,High,Low,Close,Volume\n2014-06-05,646,647,642,647.35,1\n2014-06-06,649,651,644,645.57,1\n"
    "2014-06-09,92.7,93.9,91.8,93.7,7\n2014-08-06,94.7,95.5,94.7,94.96,7\n2014-08-07,94.9,95.9,94,94.48,7\n"
)
FACTORS = "20140101,0.9950505,0.1428571,1\n20140606,0.9950505,0.1428571,645.57\n20140806,0.9950505,1,94.96\n20501231,1,1,0\n"


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_factors__steps_become_a_split_and_a_dividend_on_the_next_session(tmp_path):
    path = written(tmp_path, "AAPL.csv", BARS)
    source = FilesSource(path, factors=written(tmp_path, "factors_AAPL.csv", FACTORS))
    got = source.fetch(["AAPL"])
    told = [(f"{d:%Y-%m-%d}", k, v) for _, d, k, v in got.actions.itertuples(index=False)]
    assert told == [("2014-06-09", "split", 7.0), ("2014-08-07", "dividend", 0.47)]
    assert got.basis == "as_traded" and got.bars["close"].tolist() == [647.35, 645.57, 93.7, 94.96, 94.48]
    assert got.notes == ("the factors hold 1 splits and 1 dividends; prices are as traded",)
    assert source.identity() != FilesSource(path).identity()


def test_factors__a_friday_s_step_counts_from_monday_and_a_folder_holds_many(tmp_path):
    folder = tmp_path / "factor_files"
    folder.mkdir()
    written(folder, "spy.csv", "20000101,0.99,1,1\n20140620,0.99,1,100\n20501231,1,1,0\n")
    written(
        folder, "factors_IBM.csv", "20000101,1,0.5,1\n19990526,1,0.5,1\n".replace("19990526", "20100526") + "20501231,1,1,0\n"
    )
    bars = "symbol,date,open,high,low,close\n" + "".join(f"{s},2014-06-23,1,1,1,1\n" for s in ("SPY", "IBM", "T"))
    got = FilesSource(written(tmp_path, "panel.csv", bars), factors=folder).fetch(["SPY", "IBM", "T"])
    assert got.actions["session"].dt.strftime("%Y-%m-%d").tolist() == ["2010-05-27", "2014-06-23"]
    assert got.notes[-1] == "the factors hold no action of T"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty; give lines such as 20140606"),
        ("date,price,split\n", "line 1: 'date,price,split' is no line of factors"),
        ("20140606,0.9,1,1\n20140605,1,1,1\n", "line 2: .* out of order"),
        ("20140606,-1,1,1\n", "line 1: .* out of order"),
        ("20140606,0.9,1\n20501231,1,1,0\n", "has no reference price"),
    ],
)
def test_factors__what_is_no_factor_file_is_refused(tmp_path, text, says):
    path = written(tmp_path, "AAPL.csv", BARS)
    with pytest.raises(PricesFileError, match=says):
        FilesSource(path, factors=written(tmp_path, "factors_AAPL.csv", text)).symbols()
    with pytest.raises(PricesFileError, match="its name is no symbol"):
        FilesSource(path, factors=written(tmp_path, "the factors of apple.csv", FACTORS)).symbols()


@pytest.mark.parametrize(
    ("symbol", "bars", "splits", "dividends"),
    [("AAPL", 5849, 4, 35), ("IBM", 5849, 1, 93), ("QQQ", 3964, 1, 66), ("SPY", 5849, 0, 94)],
)
def test_factors__our_adjustment_equals_theirs(shared_data, symbol, bars, splits, dividends):
    """Theirs: raw x price factor x split factor of the first line on or after the bar. Ours: from the actions, by the rule
    that prices before an ex-date are divided by n for a split and times 1 - D / close before for a dividend."""
    folder = shared_data / "raw_unadjusted"
    got = FilesSource(folder / "lean_raw.parquet", factors=folder / f"factors_{symbol}.csv").fetch([symbol])
    assert got.actions["kind"].value_counts().to_dict() == {k: n for k, n in (("split", splits), ("dividend", dividends)) if n}
    assert len(got.bars) == bars
    lines = pd.read_csv(folder / f"factors_{symbol}.csv", header=None, names=["day", "paid", "split", "price"])
    day = pd.to_datetime(lines["day"].astype(str)).to_numpy()
    session, close = got.bars["session"].to_numpy(), got.bars["close"].to_numpy()
    theirs = close * (lines["paid"] * lines["split"]).to_numpy()[np.searchsorted(day, session, side="left")]
    ours = close.copy()
    for _, ex_date, kind, value in got.actions.itertuples(index=False):
        before = session < ex_date.to_datetime64()
        if kind == "split":
            ours[before] /= value
        elif before.any():
            last = close[before][-1]
            if ex_date - session[before][-1] > pd.Timedelta(days=5):  # QQQ has no bars of 2005 to 2010: the file's own close
                last = lines["price"][np.searchsorted(day, ex_date.to_datetime64()) - 1]
            ours[before] *= 1.0 - value / last
    worst = np.abs(ours / theirs - 1.0).max()
    print(f"{symbol}: {bars:,} closes, {len(got.actions)} actions, largest relative difference {worst:.1e}")
    assert worst < 2e-5
