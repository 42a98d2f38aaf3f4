"""Every row that a file delivers is a bar or a reject: small cases by hand, and the real files where they are at hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import NoSession, PricesFileError
from sources.cells import REJECT_REASONS
from sources.files import FilesSource
from sources.tables import read_table_bytes

HEADER = "Date,Open,High,Low,Close,Volume\n"
ONE = "2024-01-02,10.0,11.0,9.5,10.5,1000\n"


def written(folder: Path, text: str | bytes, name: str = "AAPL.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def fetched(path: Path, **options):
    source = FilesSource(path, **options)
    return source.fetch(source.symbols())


# --- one row, one place ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ("2024-01-03,10,11,9,10.5 USD,1000", "not_a_number", "Close: '10.5 USD' is not a number"),
        (
            '2024-01-03,"1,0",x,9,"1.234,56",1e3',
            "not_a_number",
            "Open: '1,0' is not a number; High: 'x' is not a number; Close",
        ),
        ("11:34,10,11,9,10.5,1000", "not_final", "'11:34' is a time of day: the session was still running"),
        ("4:00 PM ET,10,11,9,10.5,1000", "not_final", "is a time of day"),
        ("2024-13-03,10,11,9,10.5,1000", "bad_session", "month must be in 1..12"),
        (",10,11,9,10.5,1000", "bad_session", "'' is not a date"),
        ("2024-01-03,10,11,9,10.5,1000,7,8,9", "wrong_width", "has 9 cells, the header has 6"),
        ("2024-01-03,10,11", "wrong_width", "has 3 cells, the header has 6"),
        ("Date,Open,High,Low,Close,Volume", "repeated_header", "is the header again"),
    ],
)
def test_rows__what_cannot_be_read_is_set_aside_once(tmp_path, row, reason, says):
    got = fetched(written(tmp_path, HEADER + ONE + row + "\n" + ONE.replace("02,", "04,")))
    assert len(got.bars) == 2 and got.bars["close"].notna().all()
    assert got.rejects[["row", "reason"]].to_numpy().tolist() == [[3, reason]] and reason in REJECT_REASONS
    assert says in got.rejects["message"].item()
    cells = got.rejects["row_json"].item()
    assert row.split(",")[-1].strip('"') in cells  # as delivered
    assert json.loads(cells)


@pytest.mark.parametrize("cell", ["", "-", "--", "null", "NaN", "n/a", "N/A", " ", "#N/A", "."])
def test_rows__a_number_that_is_not_there_is_a_gap_and_no_reject(tmp_path, cell):
    got = fetched(written(tmp_path, HEADER + ONE + f"2024-01-03,10,11,9,{cell},1000\n"))
    assert got.rejects.empty and got.bars["close"].isna().tolist() == [False, True]


def test_rows__zero_opens_arrive_as_they_are(tmp_path):
    got = fetched(written(tmp_path, HEADER + "1990-01-02,0,11,9,10,1000\n1990-01-03,0.0,11,9,10,0\n"))
    assert got.bars["open"].tolist() == [0.0, 0.0] and got.bars["volume"].tolist() == [1000.0, 0.0]


def test_rows__lines_are_counted_past_quoted_line_breaks(tmp_path):
    text = 'Date,Open,High,Low,Close,Note\n2024-01-02,1,1,1,1,"two\nlines"\n2024-01-03,1,1,1,x,\n2024-01-04,1,1,1,y,"a""b"\n'
    got = fetched(written(tmp_path, text))
    assert got.rejects["row"].tolist() == [4, 5] and len(got.bars) == 1


def test_rows__a_symbol_of_which_nothing_can_be_read_says_why(tmp_path):
    text = "ticker,date,open,high,low,close\nAAPL,2024-01-02,1,1,1,1\nMSFT,2024-01-02,1,1,1,one\nMSFT,soon,1,1,1,1\n"
    source = FilesSource(written(tmp_path, text, "panel.csv"))
    got = source.fetch(source.symbols())
    assert source.symbols() == ("AAPL", "MSFT") and isinstance(got.failures["MSFT"], NoSession)
    assert "none of its 2 rows could be read; line 4: 'soon' is not a date" in str(got.failures["MSFT"])


def test_rows__a_table_whose_every_line_has_another_width_is_refused(tmp_path):
    with pytest.raises(PricesFileError, match="line 2: has 7 cells, the header has 6, and so do all; correct the header"):
        FilesSource(written(tmp_path, HEADER + ONE.replace("\n", ",\n") * 3)).symbols()


def test_rows__identical_rows_of_two_files_both_count_and_changed_ones_are_superseded(tmp_path):
    first = HEADER.replace("Volume", "Volume,Adj Close") + "2024-01-02,10,11,9,10,1000,5\n2024-01-03,10,11,9,10.5,1000,5.25\n"
    written(tmp_path, first.replace("Date", "Symbol,Date").replace("2024", "AAPL,2024"), "1.csv")
    second = HEADER.replace("Volume", "Volume,Adj Close") + "2024-01-02,10,11,9,10,1000,10\n2024-01-03,10,11,9,10.6,1000,10.6\n"
    written(tmp_path, second.replace("Date", "Symbol,Date").replace("2024", "AAPL,2024"), "2.csv")
    got = fetched(tmp_path)
    assert got.bars["close"].tolist() == [10.0, 10.0, 10.6] and got.rejects["reason"].tolist() == ["superseded"]
    assert got.bars["adj_ratio"].tolist() == [1.0, 1.0, 1.0]  # of the later file, also beside the twin
    assert len(got.bars) + len(got.rejects) == 4 and got.actions.empty


_CELL = st.sampled_from(
    ["2024-01-02", "2024-01-03", "11:34", "10", "1,5", "-", "", "x", "nan", "1e999", "AAPL", "=1+1", " ", "\u00a0"]
)


@settings(max_examples=200)
@given(st.lists(st.lists(_CELL, min_size=0, max_size=8), min_size=1, max_size=12))
def test_rows__whatever_the_lines_hold_each_is_a_bar_or_a_reject(tmp_path_factory, lines):
    """Seven cells make a row, and the first row is a good one; a line of blanks is none."""
    text = "ticker;date;open;high;low;close;volume\nAAPL;2024-01-02;1;1;1;1;1\n" + "".join(";".join(c) + "\n" for c in lines)
    got = fetched(written(tmp_path_factory.mktemp("fuzz"), text, "panel.csv"))
    assert len(got.bars) + len(got.rejects) == 1 + sum(any(cell.strip() for cell in cells) for cells in lines)
    assert set(got.rejects["reason"]) <= set(REJECT_REASONS) and got.rejects["row"].is_unique


# --- the adjusted close over the close ------------------------------------------------------------------------------


def test_adj_ratio__is_as_delivered_even_where_splits_are_undone(tmp_path):
    text = (
        "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
        "2024-01-02,25,26,24,25,20,4000,0,0\n2024-01-03,25,26,24,25.5,20.4,4000,0,0\n"
        "2024-01-04,25,26,24,25.6,25.6,4000,0,4.0\n2024-01-05,25,26,24,,,4000,0,0\n"
    )
    got = fetched(written(tmp_path, text))
    assert got.bars["close"].tolist()[:3] == [100.0, 102.0, 25.6]
    np.testing.assert_allclose(got.bars["adj_ratio"], [0.8, 0.8, 1.0, np.nan])


def test_adj_ratio__is_no_column_where_there_is_no_adjusted_close(tmp_path):
    assert "adj_ratio" not in fetched(written(tmp_path, HEADER + ONE)).bars
    zero = "Date,Open,High,Low,Close,Adj Close\n2024-01-02,1,1,1,0,0\n2024-01-03,1,1,1,2,1\n"
    np.testing.assert_array_equal(fetched(written(tmp_path, zero)).bars["adj_ratio"], [np.nan, 0.5])


# --- currency, share classes ----------------------------------------------------------------------------------------


def test_rows__a_price_in_another_currency_is_not_mixed_in(tmp_path):
    text = (
        "symbol,date,open,high,low,close,currency\nVOD.L,2024-01-02,68,69,67,68,GBp\nVOD.L,2024-01-03,68,69,67,68,GBp\n"
        "VOD.L,2024-01-04,0.68,0.69,0.67,0.68,GBP\nAAPL,2024-01-02,1,1,1,1,USD\nMSFT,2024-01-02,1,1,1,1,\n"
    )
    got = fetched(written(tmp_path, text, "panel.csv"))
    assert got.currency == {"VOD.L": "GBp", "AAPL": "USD"}
    assert got.rejects[["row", "reason", "message"]].to_numpy().tolist() == [[4, "other_currency", "in GBP, the others in GBp"]]


def test_rows__quandl_s_share_classes(tmp_path):
    got = fetched(
        written(tmp_path, "ticker,date,open,high,low,close\nBRK_A,2014-01-02,1,1,1,1\n_X,2014-01-02,1,1,1,1\n", "w.csv")
    )
    assert got.bars["symbol"].tolist() == ["BRK-A"] and "BRK_A is read as BRK-A" in got.notes
    assert got.rejects["reason"].tolist() == ["bad_symbol"]


# --- tickers, columns, header lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ticker", ["=1+1", "@SUM(A1)", "+A", "-A", "A\u00adB", "../../x", "A B", "<b>A</b>", "A;DROP", "a" * 21]
)
def test_rows__a_hostile_ticker_is_set_aside_as_delivered(tmp_path, ticker):
    text = f"ticker,date,open,high,low,close\nAAPL,2024-01-02,1,1,1,1\n{ticker},2024-01-02,1,1,1,1\n"
    got = fetched(written(tmp_path, text, "panel.csv"))
    assert got.bars["symbol"].tolist() == ["AAPL"] and got.rejects["reason"].tolist() == ["bad_symbol"]
    assert json.loads(got.rejects["row_json"].item())["ticker"] == ticker and "\n" not in got.rejects["message"].item()


def test_columns__by_name_in_any_order_with_others_between_and_without_volume(tmp_path):
    got = fetched(written(tmp_path, "note,close,Low,date,HIGH,open\nx,10.5,9.5,2024-01-02,11,10\n"))
    assert got.bars.iloc[0, 2:6].tolist() == [10.0, 11.0, 9.5, 10.5] and np.isnan(got.bars["volume"][0])
    assert "the file has no volume; it is missing in all rows" in got.notes


def test_columns__a_yfinance_download_of_one_or_many_symbols_is_the_same_table(tmp_path):
    days = [("2024-01-02", (10.5, 11.0, 9.5, 10.0, 1000.0)), ("2024-01-03", (11.5, 12.0, 10.0, 10.5, 2000.0))]
    kinds = ("Close", "High", "Low", "Open", "Volume")
    plain = "Date," + ",".join(kinds) + "\n" + "".join(f"{d},{','.join(map(str, v))}\n" for d, v in days)
    one = f"Price,{','.join(kinds)}\nTicker{',AAPL' * 5}\nDate,,,,,\n" + plain.split("\n", 1)[1]
    by_kind = f"Price{''.join(f',{k},{k}' for k in kinds)}\nTicker{',AAPL,MSFT' * 5}\nDate{',' * 10}\n" + "".join(
        f"{d},{','.join(f'{x},' for x in v)}\n" for d, v in days
    )
    by_symbol = f"Ticker{',AAPL' * 5}{',MSFT' * 5}\nPrice,{','.join(kinds * 2)}\nDate{',' * 10}\n" + "".join(
        f"{d},{','.join(map(str, v))},,,,,\n" for d, v in days
    )
    expected = fetched(written(tmp_path, plain)).bars
    for name, text in (("one", one), ("by_kind", by_kind), ("by_symbol", by_symbol)):
        got = fetched(written(tmp_path, text, f"{name}.csv"))
        pd.testing.assert_frame_equal(got.bars, expected)
        assert got.rejects.empty


# --- bombs ----------------------------------------------------------------------------------------------------------


def test_tables__what_unpacks_to_more_than_allowed_is_refused(tmp_path):
    with pytest.raises(PricesFileError, match="unpacks to more than 1,000,000 bytes"):
        read_table_bytes("AAPL.csv.gz", gzip.compress(HEADER.encode() + b"\n" * 2_000_000), most_bytes=1_000_000)
    two = gzip.compress(HEADER.encode()) + gzip.compress(ONE.encode()) + b"\x00" * 10  # appended, and padded
    assert read_table_bytes("AAPL.csv.gz", two).rows == 1


def test_tables__a_parquet_file_of_a_billion_repeated_rows_is_refused(tmp_path, monkeypatch):
    pd.DataFrame({"date": ["2024-01-02"] * 1000, "close": [1.0] * 1000}).to_parquet(tmp_path / "AAPL.parquet")
    monkeypatch.setattr("sources.tables.MOST_CELLS", 1999)
    with pytest.raises(PricesFileError, match="says that it holds 1,000 rows"):
        FilesSource(tmp_path / "AAPL.parquet").symbols()


# --- the real files -------------------------------------------------------------------------------------------------

#: file: (bars, rejects by reason, sessions without a close, opens of 0, basis); every other file is all bars, no rejects.
SEEN = {
    "dirty/google_finance/NASDAQ_CSCO_30Y.csv.gz": (7008, {}, 0, 2503, "adjusted"),
    "dirty/google_finance/NYSE_IBM_30Y.csv.gz": (7561, {}, 0, 3048, "adjusted"),
    "dirty/nasdaq_com/tesla_2015_2018_partial_first_row.csv": (756, {"not_final": 1}, 0, 0, "adjusted"),
    "dirty/yahoo_csv/AWR.csv.gz": (12647, {}, 0, 4032, "as_traded"),
    "dirty/yahoo_csv/DIOD.csv.gz": (12647, {}, 0, 4008, "adjusted"),
    "dirty/yahoo_csv/DOMH.csv.gz": (10860, {}, 0, 969, "adjusted"),
    "dirty/yahoo_csv/BEP.csv.gz": (4382, {}, 1, 0, "as_traded"),
    "dirty/yahoo_csv/CLWT.csv.gz": (6565, {}, 1, 0, "as_traded"),
    "dirty/yfinance_repair/1398-HK-1d-bad-div.csv": (648, {}, 1, 0, "as_traded"),
    "dirty/yfinance_repair/1398-HK-1d-bad-div-fixed.csv": (648, {}, 1, 0, "as_traded"),
    "daily_drops/20150406.csv.gz": (25641, {"repeated_header": 1}, 0, 0, "as_traded"),
    "recorded/nasdaq_data_link/WIKI_PRICES_2014_sample.csv": (916, {}, 0, 0, "as_traded"),
    "recorded/stooq/aapl_us_d.csv": (9825, {}, 0, 0, "adjusted"),
    "raw_unadjusted/lean_raw.parquet": (21511, {}, 0, 0, "adjusted"),
}
#: what holds no prices, and why it is refused
REFUSED = {
    "daily_drops/20150610.csv.gz": "the file is empty",
    "raw_unadjusted/factors_AAPL.csv": "there is no header",
    "raw_unadjusted/factors_IBM.csv": "there is no header",
    "raw_unadjusted/factors_QQQ.csv": "there is no header",
    "raw_unadjusted/factors_SPY.csv": "there is no header",
    "recorded/fred/DGS10_fredgraph.csv": "there is no column for open",
}
FOLDERS = ("dirty", "tutorial", "raw_unadjusted", "daily_drops", "recorded/nasdaq_data_link", "recorded/stooq", "recorded/fred")


def test_rows__of_every_real_file_are_accounted_for(shared_data):
    files = sorted(
        p for folder in FOLDERS for p in (shared_data / folder).rglob("*") if p.suffix in (".csv", ".gz", ".parquet")
    )
    names = [str(p.relative_to(shared_data)) for p in files]
    assert len(files) == 90 and SEEN.keys() | REFUSED.keys() <= set(names)
    wrong, rows = [], 0
    for path, name in zip(files, names, strict=True):
        try:
            raw = FilesSource(path, symbol=None if _has_symbols(path) else "X")
            got = raw.fetch(raw.symbols())
        except PricesFileError as error:
            if REFUSED.get(name, "?") not in str(error):
                wrong.append(f"{name}: {error}")
            continue
        delivered = _lines(path)
        rows += delivered
        seen = (
            len(got.bars), got.rejects["reason"].value_counts().to_dict(), int(got.bars["close"].isna().sum()),
            int((got.bars["open"] == 0).sum()), got.basis,
        )  # fmt: skip
        if len(got.bars) + len(got.rejects) != delivered or seen != SEEN.get(name, (delivered, {}, 0, 0, got.basis)):
            wrong.append(f"{name}: {delivered} lines, {seen}")
    print(f"{len(files) - len(wrong)} of {len(files)} files as documented, {rows:,} rows, all bars or rejects")
    assert not wrong, "\n".join(wrong)


def _has_symbols(path: Path) -> bool:
    if path.suffix == ".parquet" or path.parent.name == "daily_drops":
        return True
    head = (gzip.open(path, "rt") if path.suffix == ".gz" else open(path)).readline().lower()
    return "ticker" in head or "stock," in head + "," and "adjvolume" in head


def _lines(path: Path) -> int:
    """Lines with something in them after the first; of Parquet the rows."""
    if path.suffix == ".parquet":
        return len(pd.read_parquet(path, columns=["date"]))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return sum(1 for line in content.splitlines() if line.strip()) - 1
