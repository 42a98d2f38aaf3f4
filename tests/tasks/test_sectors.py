"""A file of sectors as people keep one, and what is said of one that is wrong."""

from __future__ import annotations

import pytest

from forecasting.errors import InputError
from tasks.sectors import read_sectors


def test_read_sectors__in_any_order_and_case(tmp_path):
    (tmp_path / "s.csv").write_text(
        "\ufeffSector,Name,Ticker\nTechnology,Apple,aapl\n\nEnergy,Exxon,XOM\n,Unknown,ZZZ\n", "utf-8"
    )
    assert read_sectors(str(tmp_path / "s.csv")) == {"AAPL": "Technology", "XOM": "Energy"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,group\nA,B\n", "has no columns symbol and sector but name, group"),
        ("", "has no columns symbol and sector but nothing"),
        ("symbol,sector\nAAPL\n", "row 2 has 1 cells"),
        ("symbol,sector\nAAPL,Tech\nAAPL,Energy\n", "row 3 names AAPL again"),
        ("symbol,sector\n../x,Tech\n", "row 2: "),
        ("symbol,sector\n", "names no sector"),
    ],
)
def test_read_sectors__names_file_and_row(tmp_path, text, said):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_sectors(str(tmp_path / "s.csv"))
    assert "s.csv" in str(error.value) and "\n" not in str(error.value)


def test_read_sectors__of_no_file_says_what_to_write(tmp_path):
    with pytest.raises(InputError, match="name a CSV file with the columns symbol,sector"):
        read_sectors(str(tmp_path / "none.csv"))
