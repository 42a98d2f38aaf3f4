"""Kaggle datasets: a zip, a folder, or fetched with a token; what is no table of prices is passed over and said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from forecasting.errors import Blocked, Malformed, PricesFileError, RateLimited, SettingError, SourceDown
from sources.kaggle import KEY, USER, KaggleSource
from tests.sources.stand_in import Answer, StandIn, redirect
from tests.sources.test_zip_members import zipped

PRICES = (
    b"Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,10,11,9.5,10.5,10.5,1000\n2024-01-03,10.5,12,10,11.5,11.5,2000\n"
)
STOOQ = b"Date,Open,High,Low,Close,Volume,OpenInt\n2017-11-10,10,11,9.5,10.5,1000,0\n"
META = b"Symbol,Security Name\nAAPL,Apple Inc.\n"
CANARY = "kanarienvogel0815"
DATASET = zipped(("stocks/AAPL.csv", PRICES), ("etfs/SPY.csv", PRICES), ("symbols_valid_meta.csv", META), ("notes.md", b"#"))
DOWNLOAD = "/api/v1/datasets/download/someone/stock-market"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "archive.zip"
    path.write_bytes(content)
    return path


def test_kaggle__a_downloaded_zip(tmp_path):
    source = KaggleSource(path=written(tmp_path, DATASET))
    assert source.symbols() == ("AAPL", "SPY")
    got = source.fetch(["AAPL", "SPY"])
    assert len(got.bars) == 4 and got.rejects.empty
    assert "symbols_valid_meta.csv: there is no column for date" in got.notes[0] and got.notes[0].startswith("passed over")


def test_kaggle__files_chooses_tables(tmp_path):
    assert KaggleSource(path=written(tmp_path, DATASET), files="etfs/*.csv").symbols() == ("SPY",)
    with pytest.raises(PricesFileError, match=r"no table that files = 'bonds/\*' names"):
        KaggleSource(path=tmp_path / "archive.zip", files="bonds/*").symbols()


def test_kaggle__zip_folder_and_download_are_the_same_source(tmp_path, monkeypatch):
    folder = tmp_path / "unpacked"
    for name, content in (("stocks/AAPL.csv", PRICES), ("etfs/SPY.csv", PRICES), ("symbols_valid_meta.csv", META)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    monkeypatch.setenv(USER, "someone")
    monkeypatch.setenv(KEY, CANARY)
    with StandIn() as server:
        server.say(DOWNLOAD, Answer(DATASET, kind="application/zip"))
        sources = [
            KaggleSource(path=written(tmp_path, DATASET)),
            KaggleSource(path=folder),
            KaggleSource(dataset="someone/stock-market", version=3, base_url=server.url),
        ]
        assert len({source.identity() for source in sources}) == 1
        assert len({tuple(source.fetch(["AAPL"]).bars["close"]) for source in sources}) == 1
        assert server.requests == [(DOWNLOAD, {"datasetVersionNumber": ["3"]})]  # once, however often it is read
        assert server.headers[0]["authorization"].startswith("Basic ")


def test_kaggle__stooq_s_file_names(tmp_path):
    """The best known dataset of its kind names its files aapl.us.txt and brk-b.us.txt; some of them are empty."""
    content = zipped(("Stocks/aapl.us.txt", STOOQ), ("Stocks/brk-b.us.txt", STOOQ), ("Stocks/accp.us.txt", b""))
    got = KaggleSource(path=written(tmp_path, content))
    assert got.symbols() == ("AAPL", "BRK-B") and "accp.us.txt is empty" in got.fetch(["AAPL"]).notes


def test_kaggle__links_and_hidden_files_in_a_folder_are_not_read(tmp_path):
    (tmp_path / "secret.csv").write_bytes(PRICES)
    folder = tmp_path / "data"
    (folder / ".cache").mkdir(parents=True)
    (folder / "AAPL.csv").write_bytes(PRICES)
    (folder / ".cache" / "MSFT.csv").write_bytes(PRICES)
    (folder / "TSLA.csv").symlink_to(tmp_path / "secret.csv")
    assert KaggleSource(path=folder).symbols() == ("AAPL",)


def test_kaggle__a_hostile_zip_is_refused_whole(tmp_path):
    with pytest.raises(PricesFileError, match="leads out of it"):
        KaggleSource(path=written(tmp_path, zipped(("AAPL.csv", PRICES), ("../../AAPL.csv", PRICES)))).symbols()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive.zip"]


def test_kaggle__a_bomb_is_refused(tmp_path):
    path = written(tmp_path, zipped(("AAPL.csv", PRICES + b"\n" * 5_000_000)))
    with pytest.raises(PricesFileError, match="unpacks to 5,000,115 bytes, more than 1,000,000"):
        KaggleSource(path=path, max_bytes=1_000_000).symbols()


def test_kaggle__what_is_no_zip_or_holds_no_prices(tmp_path):
    with pytest.raises(PricesFileError, match="is neither a zip file nor a folder"):
        KaggleSource(path=written(tmp_path, PRICES)).symbols()
    with pytest.raises(PricesFileError, match="there is no column for date"):
        KaggleSource(path=written(tmp_path, zipped(("meta.csv", META)))).symbols()


@pytest.mark.parametrize(
    "options",
    [{}, {"path": "a.zip", "dataset": "a/b"}, {"dataset": "stock-market"}, {"dataset": "../b"}, {"dataset": "a/.."},
     {"dataset": "a/b?x=1"}, {"dataset": "a/b/../c"}, {"path": "a.zip", "basis": "raw"}],
)  # fmt: skip
def test_kaggle__wrong_options_are_refused(options):
    with pytest.raises(SettingError, match="kaggle"):
        KaggleSource(**options)


def test_kaggle__without_a_token_it_says_what_to_do(monkeypatch):
    monkeypatch.delenv(USER, raising=False)
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(Blocked, match="KAGGLE_USERNAME and KAGGLE_KEY are not both set; make a token on kaggle.com"):
        KaggleSource(dataset="someone/stock-market").symbols()


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (Answer({"message": "Unauthorized"}, status=401), Blocked, "check KAGGLE_USERNAME and KAGGLE_KEY, and accept"),
        (Answer({"message": "terms"}, status=403), Blocked, "accept the dataset's terms"),
        (Answer({"message": "none"}, status=404), Malformed, "there is no dataset someone/stock-market"),
        (Answer("slow down", status=429), RateLimited, "429"),
        (Answer("upstream", status=503), SourceDown, "503"),
        (Answer("<html>sign in</html>", kind="text/html"), Blocked, "web page"),
        (redirect("http://169.254.169.254/latest/meta-data/"), Blocked, "refused"),
        (redirect("https://kaggle.evil.example/x.zip"), Blocked, "may be asked"),
    ],
)
def test_kaggle__what_the_api_refuses(monkeypatch, answer, kind, says):
    monkeypatch.setenv(USER, "someone")
    monkeypatch.setenv(KEY, CANARY)
    with StandIn() as server:
        server.say(DOWNLOAD, answer)
        with pytest.raises(kind, match=says) as error:
            KaggleSource(dataset="someone/stock-market", base_url=server.url).symbols()
        assert CANARY not in str(error.value) and server.asked(DOWNLOAD) == 1


def test_kaggle__identity_is_of_the_content_not_of_the_packing(tmp_path):
    one = KaggleSource(path=written(tmp_path, zipped(("AAPL.csv", PRICES)))).identity()
    assert KaggleSource(path=written(tmp_path, zipped(("AAPL.csv", PRICES), level=0))).identity() == one
    assert KaggleSource(path=written(tmp_path, zipped(("AAPL.csv", PRICES + b"\n")))).identity() != one
    assert one.startswith("kaggle:") and len(one) == len("kaggle:") + len(hashlib.sha256().hexdigest())
