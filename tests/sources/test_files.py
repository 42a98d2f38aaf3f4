"""Price files of every kind: read right, or refused with one clear line."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import NoSession, PricesFileError, SettingError, UnknownSymbol
from sources.files import FilesSource

HEADER = "Date,Open,High,Low,Close,Volume\n"
TWO_DAYS = "2024-01-02,10.0,11.0,9.5,10.5,1000\n2024-01-03,10.5,12.0,10.0,11.5,2000\n"


def written(folder: Path, text: str | bytes, name: str = "AAPL.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def fetched(path: Path, **options):
    source = FilesSource(path, **options)
    return source.fetch(source.symbols())


def days(bars: pd.DataFrame) -> list[str]:
    return [str(d.date()) for d in bars["session"]]


# --- spellings ------------------------------------------------------------------------------------------------------


def test_files__one_symbol_named_by_the_file(tmp_path):
    got = fetched(written(tmp_path, HEADER + TWO_DAYS))
    assert got.bars.to_dict("list") == {
        "symbol": ["AAPL", "AAPL"],
        "session": [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")],
        "open": [10.0, 10.5],
        "high": [11.0, 12.0],
        "low": [9.5, 10.0],
        "close": [10.5, 11.5],
        "volume": [1000.0, 2000.0],
    }
    assert str(got.bars["session"].dtype) == "datetime64[us]" and got.rejects.empty and not got.failures


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + TWO_DAYS,
        (HEADER + TWO_DAYS).replace("\n", "\r\n"),
        (HEADER + TWO_DAYS).replace(",", ";"),
        (HEADER + TWO_DAYS).replace(",", "\t"),
        (HEADER + TWO_DAYS).rstrip("\n"),
        HEADER + "\n" + TWO_DAYS + "\n\n",
        (HEADER + TWO_DAYS).encode("utf-16"),
        gzip.compress((HEADER + TWO_DAYS).encode()),
        "volume,CLOSE/last,date,LOW,High,Open,remark\n1000,10.5,2024-01-02,9.5,11.0,10.0,x\n2000,11.5,2024-01-03,10.0,12.0,10.5,é\n",
        "Date,Close/Last,Volume,Open,High,Low\n"
        '01/03/2024,$11.50,"2,000",$10.50,$12.00,$10.00\n01/02/2024,$10.50,1000.0000,$10,$11,$9.5\n01/22/2024,,,,,\n',
        "timestamp,o_p,High,Low,Close,Volume\n2024-01-02T00:00:00+09:00,10,11,9.5,10.5,1K\n"
        "2024-01-03 00:00:00+09:00,10.5,12,10,11.5,0.002M\n",
    ],
    ids=["BOM", "CRLF", "semicolon", "tab", "no-last-newline", "blank-lines", "utf16", "gzip", "any-order", "nasdaq", "offset"],
)
def test_files__the_same_prices_in_many_spellings(tmp_path, text):
    columns = {"open": "o_p"} if "o_p" in str(text) else {}
    got = fetched(written(tmp_path, text), columns=columns)
    bars = got.bars.dropna()
    assert days(bars) == ["2024-01-02", "2024-01-03"]
    assert bars[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [
        [10.0, 11.0, 9.5, 10.5, 1000.0],
        [10.5, 12.0, 10.0, 11.5, 2000.0],
    ]


def test_files__decimal_comma_only_where_declared(tmp_path):
    path = written(tmp_path, "Date;Open;High;Low;Close;Volume\n03.01.2024;1.234,5;1.240;1.230,25;1.235,00;1.000.000\n")
    got = fetched(path, decimal=",", date_order="dmy")
    assert got.bars.iloc[0, 2:].tolist() == [1234.5, 1240.0, 1230.25, 1235.0, 1_000_000.0]
    undeclared = fetched(path, date_order="dmy")
    assert undeclared.bars.empty and undeclared.rejects["reason"].tolist() == ["not_a_number"]
    assert undeclared.rejects["message"].item().startswith("Open: '1.234,5' is not a number; Low: '1.230,25' is not")


def test_files__day_or_month_first_is_asked_for_when_nothing_shows_it(tmp_path):
    path = written(tmp_path, HEADER + "03/02/2024,1,1,1,1,1\n04/02/2024,1,1,1,1,1\n")
    with pytest.raises(PricesFileError, match='day/month or month/day; set the option date_order to "mdy" or "dmy"'):
        FilesSource(path).symbols()
    assert days(fetched(path, date_order="dmy").bars) == ["2024-02-03", "2024-02-04"]


def test_files__symbols_stay_text(tmp_path):
    names = ["NA", "NULL", "NAN", "TRUE", "ON", "0700.HK", "1E5", "INF", "N", "BRK-B", "^GSPC", "M&M.NS"]
    rows = "".join(f"{name},2024-01-02,1,1,1,1,1\n" for name in names)
    path = written(tmp_path, "ticker,date,open,high,low,close,volume\n" + rows, "panel.csv")
    got = fetched(path)
    assert sorted(got.bars["symbol"]) == sorted(names) and got.rejects.empty
    got.bars.to_parquet(tmp_path / "again.parquet")
    assert sorted(fetched(tmp_path / "again.parquet").bars["symbol"]) == sorted(names)


def test_files__yfinance_download_with_two_header_lines(tmp_path):
    text = (
        "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\nTicker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT\n"
        "Date,,,,,,,,,,\n2024-01-02,10.5,20.5,11,21,9.5,19.5,10,20,1000,3000\n2024-01-03,11.5,,12,,10,,10.5,,2000,\n"
    )
    got = fetched(written(tmp_path, text, "download.csv"))
    assert list(zip(got.bars["symbol"], days(got.bars), got.bars["close"], strict=True)) == [
        ("AAPL", "2024-01-02", 10.5),
        ("AAPL", "2024-01-03", 11.5),
        ("MSFT", "2024-01-02", 20.5),
    ]


def test_files__time_stamps_keep_the_exchange_s_date(tmp_path):
    berlin = written(tmp_path, HEADER + "2024-07-01T22:00:00+00:00,1,1,1,1,1\n2024-01-02 23:00:00Z,1,1,1,1,1\n", "SAP.DE.csv")
    assert days(fetched(berlin, timezone="Europe/Berlin").bars) == ["2024-01-03", "2024-07-02"]
    assert days(fetched(berlin).bars) == ["2024-01-03", "2024-07-02"]  # by the calendar of .DE
    close = written(tmp_path, HEADER + "1990-02-16 16:00:00-05:00,1,1,1,1,1\n", "CSCO.csv")
    assert days(fetched(close).bars) == ["1990-02-16"]
    stamps = pd.DataFrame(
        {"date": pd.to_datetime(["2024-01-03"]).tz_localize("Asia/Tokyo")}
        | dict.fromkeys(("open", "high", "low", "close"), 1.0)
    )
    stamps.to_parquet(tmp_path / "7203.T.parquet")
    assert days(fetched(tmp_path / "7203.T.parquet").bars) == ["2024-01-03"]


# --- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("", "AAPL.csv", "the file is empty; give a file with a header"),
        (HEADER, "AAPL.csv", "there is a header but no row"),
        (TWO_DAYS, "AAPL.csv", "line 1: there is no header: '2024-01-02,10.0"),
        (HEADER + TWO_DAYS, "tesla.csv", 'no symbol column and its name is no symbol; set the option symbol'),
        ("Date,Open,High,Low,Volume\n2024-01-02,1,1,1,1\n", "AAPL.csv", "no column for close among Date, Open"),
        ("Date,Close\n2024-01-02,1\n", "AAPL.csv", "no column for open, high, low .* set close_only = true"),
        ("Open,High,Low,Close\n1,1,1,1\n", "AAPL.csv", "no column for date among Open, .*; name it: columns = {date"),
        ("Date,Open,High,Low,Close,Close\n2024-01-02,1,1,1,1,1\n", "AAPL.csv", "column 'Close' occurs twice"),
        ("Date,Open,High,Low,Close,close\n2024-01-02,1,1,1,1,1\n", "AAPL.csv", "'Close', 'close' could all be close"),
        (HEADER + "2024-01-02,1,1,\x001,1,1\n", "AAPL.csv", "line 2: holds a NUL byte"),
        (HEADER + "yesterday,1,1,1,1,1\n", "AAPL.csv", "column 'Date' holds no dates"),
        (b"PAR1 but then nothing", "AAPL.parquet", "is not a readable Parquet file"),
        (gzip.compress(b"Date", mtime=0)[:-6], "AAPL.csv.gz", "is not a whole gzip file"),
    ],
)  # fmt: skip
def test_files__refuses_a_file_with_one_clear_line(tmp_path, text, name, says):
    path = written(tmp_path, text, name)
    with pytest.raises(PricesFileError, match=says) as error:
        FilesSource(path).symbols()
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_files__a_missing_path_and_an_empty_folder(tmp_path):
    with pytest.raises(PricesFileError, match="there is no such file"):
        FilesSource(tmp_path / "none.csv").symbols()
    with pytest.raises(PricesFileError, match="the folder holds no price file"):
        FilesSource(tmp_path).symbols()


def test_files__latin_1_is_read_and_said(tmp_path):
    got = fetched(written(tmp_path, "Date,Open,High,Low,Close,Société\n2024-01-02,1,1,1,1,é\n".encode("latin-1")))
    assert len(got.bars) == 1 and any("Windows-1252" in note for note in got.notes)


def test_files__every_row_is_a_bar_or_a_reject(tmp_path):
    text = "ticker,date,open,high,low,close,volume\n" + "".join(
        f"{row}\n"
        for row in (
            "AAPL,2024-01-02,10,11,9,10,1000",
            "AAPL,2024-01-03,10,11,9,12.3 USD,1000",  # line 3: an unreadable cell
            "AAPL,11:34,10,11,9,10,1000",  # line 4: an unfinished day
            "=1+1,2024-01-03,10,11,9,10,1000",  # line 5
            ",2024-01-03,10,11,9,10,1000",  # line 6
            "AAPL,2024-01-04,10,11,9,10,1000,7,8,9",  # line 7: three cells too many
            "ticker,date,open,high,low,close,volume",  # line 8
            "AAPL,2024-01-05,,,,,",  # a gap, no reject: cleaning sees it
            "aapl,2024-01-08,10,inf,9,1e308,-5",  # numbers, if odd ones
        )
    )
    got = fetched(written(tmp_path, text, "panel.csv"))
    assert days(got.bars) == ["2024-01-02", "2024-01-05", "2024-01-08"]
    assert got.bars["close"].isna().tolist() == [False, True, False]
    assert got.bars["high"][2] == np.inf and got.bars["volume"][2] == -5.0
    told = {
        row: (reason, message)
        for row, reason, message in zip(got.rejects["row"], got.rejects["reason"], got.rejects["message"], strict=True)
    }
    assert {row: reason for row, (reason, _) in told.items()} == {
        3: "not_a_number",
        4: "not_final",
        5: "bad_symbol",
        6: "bad_symbol",
        7: "wrong_width",
        8: "repeated_header",
    }
    assert told[3][1] == "close: '12.3 USD' is not a number" and told[7][1] == "has 10 cells, the header has 7"
    kept = json.loads(got.rejects.loc[got.rejects["row"] == 3, "row_json"].item())
    assert kept == {
        "ticker": "AAPL",
        "date": "2024-01-03",
        "open": "10",
        "high": "11",
        "low": "9",
        "close": "12.3 USD",
        "volume": "1000",
    }


def test_files__options_are_checked_at_once(tmp_path):
    for option, value in (("basis", "raw"), ("decimal", "'"), ("date_order", "ymd"), ("timezone", "Mars/Olympus")):
        with pytest.raises(SettingError, match=f"files.{option} is '{value}'" if value != "'" else "files.decimal"):
            FilesSource(tmp_path, **{option: value})
    path = written(tmp_path, HEADER + TWO_DAYS)
    with pytest.raises(PricesFileError, match="says close is 'Kurs', but the file has 'Date'"):
        FilesSource(path, columns={"close": "Kurs"}).symbols()


def test_files__missing_symbols_and_spans_are_failures(tmp_path):
    source = FilesSource(written(tmp_path, HEADER + TWO_DAYS))
    got = source.fetch(["AAPL", "TSLA"], date(2024, 1, 3), date(2024, 1, 31))
    assert days(got.bars) == ["2024-01-03"] and isinstance(got.failures["TSLA"], UnknownSymbol)
    assert isinstance(source.fetch(["AAPL"], date(2025, 1, 1)).failures["AAPL"], NoSession)


# --- adjusted or not ------------------------------------------------------------------------------------------------


def test_files__plain_prices_are_taken_as_adjusted_unless_told(tmp_path):
    path = written(tmp_path, HEADER + TWO_DAYS)
    assert fetched(path).basis == "adjusted" and "already adjusted" in fetched(path).notes[-1]
    assert fetched(path, basis="as_traded").basis == "as_traded"


def test_files__actions_from_an_adjusted_close(tmp_path):
    text = (
        "Date,Open,High,Low,Close,Adj Close\n"
        "2024-01-02,100,100,100,100,49.5\n2024-01-03,50,50,50,50,49.5\n2024-01-04,49.8,49.8,49.8,49.8,49.8\n"
    )
    got = fetched(written(tmp_path, text))
    assert got.basis == "as_traded" and "gave 1 splits and 1 dividends; prices are as traded" in got.notes[-1]
    assert got.actions[["kind", "value"]].to_numpy().tolist() == [["split", 2.0], ["dividend", 0.5]]


YFINANCE = (
    "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
    "2024-01-02 00:00:00-05:00,25,26,24,25,24.8,4000,0.205,0.0\n2024-01-03 00:00:00-05:00,25.2,26,25,25.5,25.3,4000,0,0\n"
    "2024-01-04 00:00:00-05:00,25.4,26,25,25.6,25.4,4000,0,4.0\n2024-01-05 00:00:00-05:00,25.6,26,25,25.7,25.7,4000,0.21,0\n"
)


def test_files__yfinance_output_is_turned_back_into_what_was_traded(tmp_path):
    got = fetched(written(tmp_path, YFINANCE))
    assert got.bars["close"].tolist() == [100.0, 102.0, 25.6, 25.7] and got.bars["volume"].tolist() == [
        1000.0,
        1000.0,
        4000.0,
        4000.0,
    ]
    assert got.actions[["kind", "value"]].to_numpy().tolist() == [["dividend", 0.82], ["split", 4.0], ["dividend", 0.21]]
    assert "was undone" in got.notes[-1]
    assert fetched(tmp_path / "AAPL.csv", basis="as_traded").bars["close"].tolist() == [25.0, 25.5, 25.6, 25.7]


def test_files__yfinance_default_output_is_adjusted_already(tmp_path):
    frame = pd.read_csv(written(tmp_path, YFINANCE)).drop(columns="Adj Close")
    frame.to_csv(tmp_path / "MSFT.csv", index=False)
    got = fetched(tmp_path / "MSFT.csv")
    assert got.basis == "adjusted" and got.actions.empty and "no adjusted close" in got.notes[-1]


def test_files__split_columns_beside_prices_as_traded(tmp_path):
    text = (
        "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio\nAAPL,2014-06-06,649,651,644,645.57,1,0.0,1.0\n"
        "AAPL,2014-06-09,92.7,93.9,91.8,93.7,7,0.0,7.0\nAAPL,2014-08-07,94.9,95.9,94,94.48,7,0.47,1.0\n"
    )
    got = fetched(written(tmp_path, text, "wiki.csv"))
    assert got.basis == "as_traded" and got.bars["close"].tolist() == [645.57, 93.7, 94.48]
    assert got.actions[["kind", "value"]].to_numpy().tolist() == [["split", 7.0], ["dividend", 0.47]]


# --- folders, identity ----------------------------------------------------------------------------------------------


def test_files__folder_where_a_later_file_corrects_an_earlier_one(tmp_path):
    written(
        tmp_path,
        HEADER.lower().replace("date", "symbol,date") + "AAPL,2024-01-02,1,1,1,1,100\nAAPL,2024-01-03,2,2,2,2,100\n",
        "day1.csv",
    )
    written(
        tmp_path,
        HEADER.lower().replace("date", "symbol,date") + "AAPL,2024-01-03,2,2,2,2,150\nAAPL,2024-01-04,3,3,3,3,100\n",
        "day2.csv",
    )
    written(tmp_path, "", "day3.csv")
    got = fetched(tmp_path)
    assert got.bars["volume"].tolist() == [100.0, 150.0, 100.0]
    assert got.rejects[["row", "reason"]].to_numpy().tolist() == [[3, "superseded"]]
    assert "day3.csv is empty" in got.notes


def test_files__folder_of_mixed_forms_is_refused(tmp_path):
    written(tmp_path, HEADER + TWO_DAYS, "AAPL.csv")
    written(tmp_path, YFINANCE, "MSFT.csv")
    with pytest.raises(PricesFileError, match="some of its files have adj_close and some have not; set the option basis"):
        FilesSource(tmp_path).symbols()


def test_files__identity_is_that_of_the_content(tmp_path):
    one = FilesSource(written(tmp_path, HEADER + TWO_DAYS))
    before = one.identity()
    (tmp_path / "sub").mkdir()
    assert FilesSource(written(tmp_path / "sub", HEADER + TWO_DAYS)).identity() == before
    written(tmp_path, HEADER + TWO_DAYS + "2024-01-04,1,1,1,1,1\n")
    assert one.identity() != before and before.startswith("files:") and len(before) == 70


# --- real files -----------------------------------------------------------------------------------------------------


def test_files__large_panel(shared_data):
    source = FilesSource(shared_data / "panel" / "sp500_adjusted.parquet")
    got = source.fetch(source.symbols())
    assert len(source.symbols()) == 333 and len(got.bars) == 1_720_956 and got.basis == "adjusted" and not got.failures
    few = source.fetch(["AAPL", "MSFT"], date(2023, 8, 1), date(2023, 8, 31))
    assert len(few.bars) == 46 and set(few.bars["symbol"]) == {"AAPL", "MSFT"}


@pytest.mark.parametrize(
    ("name", "rows", "first", "last"),
    [
        ("dirty/nasdaq_com/AAPL.csv", 794, "2020-07-08", "2023-08-31"),
        ("dirty/nasdaq_com/tesla_2015_2018_partial_first_row.csv", 756, "2015-10-15", "2018-10-15"),
        ("dirty/google_finance/NASDAQ_CSCO_30Y.csv.gz", 7008, "1990-02-16", "2017-12-08"),
        ("dirty/yahoo_csv/CLWT.csv.gz", 6565, "1997-03-14", "2023-04-13"),
        ("dirty/yfinance_repair/4063-T-1d-bad-stock-split.csv", 22, "2023-03-15", "2023-04-14"),
        ("recorded/stooq/aapl_us_d.csv", 9825, "1984-09-07", "2023-08-31"),
        ("tutorial/TSLA.csv", 251, "2018-03-23", "2019-03-22"),
    ],
)
def test_files__real_downloads(shared_data, name, rows, first, last):
    got = fetched(shared_data / name, symbol="X")
    assert (len(got.bars), days(got.bars)[0], days(got.bars)[-1]) == (rows, first, last)
    assert len(got.rejects) == ("partial" in name)


def test_files__real_daily_drops(shared_data):
    got = fetched(shared_data / "daily_drops")
    assert len(got.bars) + len(got.rejects) == 273_909  # the lines of the 32 files but their first ones
    differing = got.bars.drop_duplicates(["symbol", "session", "open", "high", "low", "close", "volume"])
    conflict = differing[differing.duplicated(["symbol", "session"])]
    assert conflict["symbol"].tolist() == ["ITEK"]  # inside one drop; what two drops say differently is superseded
    assert "20150610.csv.gz is empty" in got.notes
    amsc = got.actions[(got.actions["symbol"] == "AMSC") & (got.actions["kind"] == "split")]
    assert amsc["value"].tolist() == [0.1] and days(amsc) == ["2015-03-25"]
    tripled = fetched(shared_data / "daily_drops" / "20150406.csv.gz")
    assert (tripled.rejects["reason"] == "repeated_header").sum() == 1


@pytest.mark.parametrize(
    "name", ["macro/fred_daily.parquet", "raw_unadjusted/factors_AAPL.csv", "recorded/stooq/errors/daily_limit.txt"]
)
def test_files__what_holds_no_prices_is_refused(shared_data, name):
    with pytest.raises(PricesFileError, match="there is no"):
        FilesSource(shared_data / name).symbols()
