"""Macro series: read in three forms, and never known before they were."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import PricesFileError
from sources.macro_files import known_session, lag_of, read_macro


def rows(frame: pd.DataFrame) -> list[tuple]:
    return [(s, str(d.date()), v) for s, d, v in frame.itertuples(index=False)]


def test_read_macro__vix_takes_the_close_and_its_name_from_the_file(tmp_path):
    path = tmp_path / "vix_daily.csv"
    path.write_text("DATE,OPEN,HIGH,LOW,CLOSE\n01/02/2024,13.2,14.2,13.1,13.2\n01/03/2024,13.4,14.3,13.3,14.04\n")
    assert rows(read_macro(path)) == [("VIX", "2024-01-02", 13.2), ("VIX", "2024-01-03", 14.04)]


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


def test_known_session__vix_at_once_and_fred_a_session_later():
    assert lag_of("VIX") == 0 and lag_of("DGS10") == 1
    sessions = np.array(["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"], dtype="datetime64[D]")
    about = pd.to_datetime(["2024-01-05", "2024-01-05", "2024-01-06", "2024-01-08", "2024-01-09"])
    macro = pd.DataFrame(
        {"series": ["VIX", "DGS10", "DGS10", "DGS10", "DGS10"], "session": about, "value": [13.0, 4.0, 4.1, 4.2, 4.3]}
    )
    # Friday's and Saturday's values are both known by Monday's close: the later one stays; Tuesday's is not known yet
    assert rows(known_session(macro, sessions)) == [
        ("DGS10", "2024-01-08", 4.1),
        ("DGS10", "2024-01-09", 4.2),
        ("VIX", "2024-01-05", 13.0),
    ]


def test_read_macro__real_files(shared_data):
    vix = read_macro(shared_data / "macro" / "vix_daily.csv")
    assert len(vix) == 8489 and set(vix["series"]) == {"VIX"} and vix["session"].max() == pd.Timestamp("2023-08-31")
    fred = read_macro(shared_data / "macro" / "fred_daily.parquet")
    assert fred["series"].nunique() == 8 and fred["value"].notna().all() and fred["value"].min() < 0
    dgs10 = read_macro(shared_data / "recorded" / "fred" / "DGS10_fredgraph.csv")
    assert set(dgs10["series"]) == {"DGS10"} and 14_000 < len(dgs10) < 15_396
