"""Excel workbooks: read as the same table in CSV, or refused with what to type."""

from __future__ import annotations

import builtins
import io
import zipfile
from datetime import date, datetime, time
from pathlib import Path

import pytest

from forecasting.errors import PricesFileError
from sources.files import FilesSource
from sources.tables import read_table_bytes
from tests.sources.test_zip_members import zipped

ROWS = [
    ["Ticker", "Date", "Open", "High", "Low", "Close", "Volume"],
    ["AAPL", datetime(2024, 1, 2), 10, 11.0, 9.5, 10.5, 1000],
    ["AAPL", date(2024, 1, 3), "10.5", "$12.00", 10, 11.5, "1,000,000"],
    ["0700.HK", "2024-01-03", 300, 301, 299, 300.25, 3e9],
]


def book(folder: Path, *sheets: list[list[object]], name: str = "prices.xlsx") -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed (the extra 'excel')")
    made = openpyxl.Workbook()
    made.remove(made.active)
    for n, rows in enumerate(sheets):
        sheet = made.create_sheet(f"Sheet {n + 1}")
        for row in rows:
            sheet.append(row)
    made.save(folder / name)
    return folder / name


def fetched(path: Path, **options):
    source = FilesSource(path, **options)
    return source.fetch(source.symbols())


def test_excel__dates_numbers_and_text_as_a_csv_file_would_hold_them(tmp_path):
    got = fetched(book(tmp_path, ROWS))
    assert got.bars[["symbol", "open", "high", "close", "volume"]].to_numpy().tolist() == [
        ["0700.HK", 300.0, 301.0, 300.25, 3e9],
        ["AAPL", 10.0, 11.0, 10.5, 1000.0],
        ["AAPL", 10.5, 12.0, 11.5, 1e6],
    ]
    assert got.bars["session"].dt.strftime("%Y-%m-%d").tolist() == ["2024-01-03", "2024-01-02", "2024-01-03"]
    assert got.rejects.empty


def test_excel__every_row_is_a_bar_or_a_reject(tmp_path):
    rows = [
        [],
        *ROWS,
        [None] * 7,
        ["AAPL", time(11, 34), 1, 1, 1, 1, 1],  # row 7
        ["AAPL", datetime(2024, 1, 4), 1, 1, 1, "#DIV/0!", 1],
        ["AAPL", datetime(2024, 1, 5), 1, 1, 1, 1, 1, "a remark"],
        ["=1+1", datetime(2024, 1, 5), 1, 1, 1, 1, 1],
        ROWS[0],
    ]
    got = fetched(book(tmp_path, rows))
    told = dict(zip(got.rejects["row"], got.rejects["reason"], strict=True))
    assert told == {7: "not_final", 8: "not_a_number", 9: "wrong_width", 10: "bad_symbol", 11: "repeated_header"}
    assert len(got.bars) == 3


def test_excel__the_first_sheet_counts_and_the_name_may_be_the_symbol(tmp_path):
    rows = [row[1:] for row in ROWS[:3]]
    got = fetched(book(tmp_path, rows, [["notes"]], name="BRK-B.xlsx"))
    assert set(got.bars["symbol"]) == {"BRK-B"} and "read the sheet 'Sheet 1', not 'Sheet 2'" in got.notes


def test_excel__a_folder_may_hold_both(tmp_path):
    book(tmp_path, [row[1:] for row in ROWS[:3]], name="AAPL.xlsx")
    (tmp_path / "MSFT.csv").write_text("Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,1\n")
    assert FilesSource(tmp_path).symbols() == ("AAPL", "MSFT")


@pytest.mark.parametrize(
    ("rows", "says"),
    [([], "the file is empty"), ([ROWS[0]], "there is a header but no row"), (ROWS[1:], "there is no header")],
)
def test_excel__what_holds_no_prices_is_refused(tmp_path, rows, says):
    with pytest.raises(PricesFileError, match=says):
        FilesSource(book(tmp_path, rows)).symbols()


def test_excel__without_openpyxl_it_says_what_to_type(tmp_path, monkeypatch):
    path = book(tmp_path, ROWS)
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "openpyxl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PricesFileError, match=r"reading Excel needs openpyxl; type: pip install 'nextclose\[excel\]'"):
        FilesSource(path).symbols()


def test_excel__a_zip_a_bomb_a_broken_and_an_old_workbook_are_refused(tmp_path):
    with pytest.raises(PricesFileError, match='is a zip file, not a table; unpack it, or read it with the source "kaggle"'):
        read_table_bytes("prices.xlsx", zipped(("AAPL.csv", b"x")))
    with pytest.raises(PricesFileError, match="unpacks to 5,000,000 bytes, more than 1,000,000"):
        read_table_bytes("prices.xlsx", zipped(("xl/workbook.xml", b" " * 5_000_000)), most_bytes=1_000_000)
    with pytest.raises(PricesFileError, match="is an Excel file of the old form; save it as .xlsx"):
        read_table_bytes("prices.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 100)
    pytest.importorskip("openpyxl")
    with pytest.raises(PricesFileError, match="is not a readable Excel file"):
        read_table_bytes("prices.xlsx", zipped(("xl/workbook.xml", b"<broken")))
    whole = book(tmp_path, ROWS).read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("sheet1.xml"):
                laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
                content = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'.encode() + content.split(b"?>")[-1]
                content = content.replace(b"<v>10.5</v>", b"<v>&l11;</v>")
            new.writestr(name, content)
    with pytest.raises(PricesFileError):
        FilesSource(written(tmp_path / "laughs.xlsx", out.getvalue())).symbols()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
