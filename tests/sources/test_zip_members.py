"""Zip files that somebody else made: good ones are read, hostile ones refused before a byte is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from forecasting.errors import PricesFileError
from sources.zip_members import members


def zipped(*entries: tuple[str, bytes], level: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", level) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name  # as it is: the constructor would tidy it up
            info.compress_type = level
            archive.writestr(info, content)
    return out.getvalue()


def read(content: bytes, most: int = 1_000_000) -> dict[str, bytes]:
    return dict(members("x.zip", content, lambda name: name.endswith(".csv"), most))


def test_zip__wanted_members_sorted_by_name():
    content = zipped(("b/MSFT.csv", b"2"), ("a/AAPL.csv", b"1"), ("readme.md", b"x"), ("empty/", b""))
    assert list(read(content).items()) == [("a/AAPL.csv", b"1"), ("b/MSFT.csv", b"2")]


@pytest.mark.parametrize(
    "name",
    [
        "../AAPL.csv", "a/../../AAPL.csv", "/etc/AAPL.csv", "C:/AAPL.csv", "c:AAPL.csv", "..\\AAPL.csv", "\\\\host\\AAPL.csv",
        "a\\b.csv", "AAPL\n.csv", "AAPL\x1b[31m.csv", "AAPL.csv\x00.txt", "..",
    ],
)  # fmt: skip
def test_zip__a_name_that_leads_out_refuses_the_whole(name):
    content = zipped(("GOOD.csv", b"1"), (name, b"2"))
    with pytest.raises(PricesFileError, match="such a zip is not read") as error:
        read(content)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)


def test_zip__two_members_of_one_name_are_refused():
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(("AAPL.csv", b"1"), ("AAPL.csv", b"2"))
    with pytest.raises(PricesFileError, match="is there twice"):
        read(content)


def test_zip__a_link_is_refused():
    info = zipfile.ZipInfo("AAPL.csv")
    info.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(PricesFileError, match="is a link"):
        read(out.getvalue())


def test_zip__a_password_is_said():
    content = bytearray(zipped(("AAPL.csv", b"1" * 50)))
    for at in (6, content.rindex(b"PK\x01\x02") + 8):
        content[at] |= 1
    with pytest.raises(PricesFileError, match="has a password"):
        read(bytes(content))


def test_zip__a_bomb_is_refused_by_what_it_says():
    content = zipped(*((f"{n}.csv", b"0" * 10_000_000) for n in range(3)))
    assert len(content) < 100_000
    with pytest.raises(PricesFileError, match="unpacks to 30,000,000 bytes, more than 20,000,000"):
        read(content, most=20_000_000)


def test_zip__a_bomb_that_lies_about_its_size_is_cut_off():
    content = bytearray(zipped(("A.csv", b"0" * 10_000_000)))
    central = content.rindex(b"PK\x01\x02")
    for at in (22, central + 24):  # the uncompressed size in both headers
        content[at : at + 4] = struct.pack("<I", 100)
    with pytest.raises(PricesFileError, match="'A.csv' cannot be read"):
        read(bytes(content), most=1000)


@pytest.mark.parametrize("cut", [10, 60, 100])
def test_zip__a_cut_one_is_refused(cut):
    content = zipped(("AAPL.csv", bytes(range(256)) * 4), level=zipfile.ZIP_STORED)
    with pytest.raises(PricesFileError, match="not a readable zip file"):
        read(content[:-cut])


def test_zip__a_damaged_member_is_refused():
    content = zipped(("AAPL.csv", bytes(range(256)) * 4), level=zipfile.ZIP_STORED)
    with pytest.raises(PricesFileError, match="'AAPL.csv' cannot be read .*CRC"):
        read(content[:100] + b"\xff\xff\xff" + content[103:])


def test_zip__too_many_members_are_refused(monkeypatch):
    monkeypatch.setattr("sources.zip_members.MOST_MEMBERS", 3)
    with pytest.raises(PricesFileError, match="holds 4 members"):
        read(zipped(*((f"{n}.csv", b"") for n in range(4))))
