"""Macro series from files: the forms they come in, and the release dates that some of them carry."""

from __future__ import annotations

import pandas as pd
import pytest

from forecasting.errors import PricesFileError
from forecasting.macro import as_known_at, with_publication
from sources.macro_files import MacroFilesSource, read_macro


def rows(frame: pd.DataFrame) -> list[tuple]:
    return [(s, str(d.date()), v) for s, d, v in zip(frame["series"], frame["about"], frame["value"], strict=True)]


def dated(frame: pd.DataFrame) -> list[tuple]:
    return [(str(a.date()), str(p), v) for a, p, v in zip(frame["about"], frame["published_at"], frame["value"], strict=True)]


def test_read_macro__vix_takes_the_close_and_its_name_from_the_file(tmp_path):
    path = tmp_path / "vix_daily.csv"
    path.write_text("DATE,OPEN,HIGH,LOW,CLOSE\n01/02/2024,13.2,14.2,13.1,13.2\n01/03/2024,13.4,14.3,13.3,14.04\n")
    assert rows(read_macro(path)) == [("VIX", "2024-01-02", 13.2), ("VIX", "2024-01-03", 14.04)]


def test_read_macro__closes_of_several_tickers_are_as_many_series(tmp_path):
    path = tmp_path / "sector_etf_close.csv"
    path.write_text("ticker,date,close\nXLB,2024-01-02,84.1\nxle,2024-01-02,83.6\nXLB,2024-01-03,83.0\n")
    assert rows(read_macro(path)) == [("XLB", "2024-01-02", 84.1), ("XLB", "2024-01-03", 83.0), ("XLE", "2024-01-02", 83.6)]


def test_read_macro__fredgraph_dots_are_gaps_and_several_columns_several_series(tmp_path):
    path = tmp_path / "fred.csv"
    path.write_text("observation_date,DGS10,dgs2\n2024-01-01,.,.\n2024-01-02,3.95,4.33\n2024-01-03,3.91,\n")
    assert rows(read_macro(path)) == [
        ("DGS10", "2024-01-02", 3.95),
        ("DGS10", "2024-01-03", 3.91),
        ("DGS2", "2024-01-02", 4.33),
    ]


def test_read_macro__long_parquet(tmp_path):
    frame = pd.DataFrame(
        {"series": ["T10Y2Y", "DCOILWTICO"], "date": pd.to_datetime(["2020-04-20", "2020-04-20"]), "value": [0.4, -36.98]}
    )
    frame.to_parquet(tmp_path / "m.parquet")
    assert rows(read_macro(tmp_path / "m.parquet")) == [("DCOILWTICO", "2020-04-20", -36.98), ("T10Y2Y", "2020-04-20", 0.4)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DATE,DGS10\n2024-01-02,3.95\n2024-01-03,about 4\n", "line 3: DGS10: 'about 4' is not a number"),
        ("DATE,DGS10\nsoon,3.95\n", "line 2: 'soon' is not a date"),
        ("DATE,DGS10\n2024-01-02,3.95\n2024-01-02,3.96\n", "DGS10 has two values for 2024-01-02"),
        ("when,DGS10\n2024-01-02,3.95\n", "there is no date column among when, DGS10"),
        ("DATE\n2024-01-02\n", "there is no column of values"),
    ],
)
def test_read_macro__refuses_with_one_clear_line(tmp_path, text, says):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(PricesFileError, match=says):
        read_macro(path)


def test_read_macro__release_dates_count_at_the_end_of_the_day_and_instants_as_they_are(tmp_path):
    path = tmp_path / "cpi.csv"
    path.write_text(
        "series,date,realtime_start,realtime_end,value\n"
        "CPIAUCSL,2023-12-01,2024-01-11,2024-02-08,308.85\n"
        "CPIAUCSL,2023-12-01,2024-02-09,9999-12-31,308.742\n"
        "CPIAUCSL,2024-01-01,2024-02-13,9999-12-31,.\n"
    )
    assert dated(read_macro(path)) == [
        ("2023-12-01", "2024-01-12 05:00:00", 308.85),
        ("2023-12-01", "2024-02-10 05:00:00", 308.742),
    ]
    path.write_text("series,date,published_at,value\nCPI,2023-12-01,2024-01-11T08:30:00-05:00,308.85\nCPI,2024-01-01,,309\n")
    assert dated(read_macro(path)) == [("2023-12-01", "2024-01-11 13:30:00", 308.85), ("2024-01-01", "NaT", 309.0)]


def test_read_macro__one_column_a_vintage_as_alfred_writes_it(tmp_path):
    path = tmp_path / "GDP_2_Vintages.csv"
    path.write_text(
        "observation_date,GDP_20240125,GDP_20240228,GDP_20240328\n"
        "2023-07-01,27610.128,27610.128,27610.128\n"
        "2023-10-01,27938.831,27944.627,27956.998\n"
    )
    read = read_macro(path)
    assert set(read["series"]) == {"GDP"} and read["published_at"].notna().all()
    assert dated(read) == [  # what the next vintage says again is no vintage of its own
        ("2023-07-01", "2024-01-26 05:00:00", 27610.128),
        ("2023-10-01", "2024-01-26 05:00:00", 27938.831),
        ("2023-10-01", "2024-02-29 05:00:00", 27944.627),
        ("2023-10-01", "2024-03-29 04:00:00", 27956.998),
    ]


def test_files_source__a_folder_is_one_source_and_a_series_it_lacks_is_named(tmp_path):
    (tmp_path / "vix_daily.csv").write_text("DATE,OPEN,HIGH,LOW,CLOSE\n2024-01-02,13.2,14.2,13.1,13.2\n")
    (tmp_path / "yields.csv").write_text("DATE,DGS2,DGS10\n2024-01-02,4.33,3.95\n")
    source = MacroFilesSource(str(tmp_path))
    assert source.series() == ("DGS10", "DGS2", "VIX")
    fetched = source.fetch(["vix", "UNRATE"])
    assert rows(fetched.values) == [("VIX", "2024-01-02", 13.2)]
    assert "no such series" in str(fetched.failures["UNRATE"]) and "it holds DGS10, DGS2, VIX" in str(
        fetched.failures["UNRATE"]
    )
    before = source.identity()
    (tmp_path / "yields.csv").write_text("DATE,DGS2,DGS10\n2024-01-02,4.33,3.96\n")
    assert MacroFilesSource(str(tmp_path)).identity() != before
    (tmp_path / "more.csv").write_text("DATE,DGS10\n2024-01-02,3.95\n")
    with pytest.raises(PricesFileError, match="DGS10 has two values for 2024-01-02, in two files"):
        MacroFilesSource(str(tmp_path)).series()


def test_read_macro__real_files(shared_data):
    vix = read_macro(shared_data / "macro" / "vix_daily.csv")
    assert len(vix) == 8489 and set(vix["series"]) == {"VIX"} and vix["about"].max() == pd.Timestamp("2023-08-31")
    fred = read_macro(shared_data / "macro" / "fred_daily.parquet")
    assert fred["series"].nunique() == 8 and fred["value"].notna().all() and fred["value"].min() < 0
    dgs10 = read_macro(shared_data / "recorded" / "fred" / "DGS10_fredgraph.csv")
    assert set(dgs10["series"]) == {"DGS10"} and 14_000 < len(dgs10) < 15_396


def test_read_macro__the_real_series_are_usable_when_the_rule_of_each_says(shared_data):
    """Over 43 years: the VIX at its own close, yields at the next session's, exchange rates and oil after a week."""
    source = MacroFilesSource(str(shared_data / "macro" / "fred_daily.parquet"))
    dated = with_publication(source.fetch(["DGS10", "DTWEXBGS", "DCOILWTICO"]).values)
    vix = with_publication(MacroFilesSource(str(shared_data / "macro" / "vix_daily.csv")).fetch().values)
    lags = {name: rows["published_at"] - rows["about"] for name, rows in pd.concat([dated, vix]).groupby("series")}
    days = {name: (lag.min().days, lag.max().days) for name, lag in lags.items()}
    assert days["DTWEXBGS"] == (9, 9) and days["DCOILWTICO"] == (10, 10)
    assert days["DGS10"][0] == 1 and days["DGS10"][1] <= 7  # the week of September 2001
    holiday = days_of(vix[vix["published_at"] - vix["about"] > pd.Timedelta(days=1)])
    assert len(holiday) == 11 and "2022-07-04" in holiday  # the index is computed at night too; no session saw these values
    known = as_known_at(vix, ["XNYS"], vix["about"].min().date(), vix["about"].max().date())
    own = vix[~pd.Series(days_of(vix)).isin(holiday)]
    assert known["session"].tolist() == own["about"].tolist() and known["value"].tolist() == own["value"].tolist()


def days_of(frame: pd.DataFrame) -> list[str]:
    return frame["about"].dt.strftime("%Y-%m-%d").tolist()
