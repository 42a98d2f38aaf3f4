"""``nextclose quality``: a verdict for each path, in words and in JSON, and the code that it ends with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from app.cli import execute
from sources.file_names import UNKNOWN, best_fit, symbols_in_name
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tests.quality.table import changed, days_of, good, scaled

DAYS = days_of()


@pytest.fixture
def checked(capsys, tmp_path):
    """checked("--prices", path, ...) -> (exit code, the JSON that came)."""

    def run(*tokens: object) -> tuple[int, dict]:
        capsys.readouterr()
        code = execute(["quality", "--home", str(tmp_path / "home"), *(str(token) for token in tokens), "--json"])
        said = capsys.readouterr()
        assert said.out.count("\n") == 1, said.err
        return code, json.loads(said.out)

    return run


def written(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / name, index=False)
    return folder / name


def test_json__has_exactly_the_agreed_shape(checked, tmp_path):
    good_one, bad_one = written(tmp_path, "AAPL.csv", good()), written(tmp_path, "MSFT.csv", changed(30, Close=None))
    code, answer = checked("--prices", good_one, bad_one)
    assert code == 0
    assert answer == {
        "files": [
            {"path": str(good_one), "verdict": "accept", "findings": []},
            {
                "path": str(bad_one),
                "verdict": "quarantine",
                "findings": [
                    {
                        "rule": "nan_close",
                        "severity": "quarantine",
                        "symbol": "MSFT",
                        "sessions": [DAYS[30]],
                        "message": "the close is not known",
                    }
                ],
            },
        ]
    }


def test_code__is_4_where_a_path_is_rejected_and_with_strict_where_something_is_set_aside(checked, tmp_path):
    fine, odd = written(tmp_path, "AAPL.csv", good()), written(tmp_path, "MSFT.csv", good().drop(index=30))
    aside = written(tmp_path, "TSLA.csv", changed(30, Close=0))
    assert [checked("--prices", path)[0] for path in (fine, odd, aside, tmp_path / "none.csv")] == [0, 0, 0, 4]
    assert [checked("--prices", path, "--strict")[0] for path in (fine, odd, aside, tmp_path / "none.csv")] == [0, 0, 4, 4]
    assert checked("--prices", fine, aside, tmp_path / "none.csv")[0] == 4


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.csv", None, "no such file"),
        ("EMPTY.csv", b"", "empty"),
        ("HEADER.csv", b"Date,Open,High,Low,Close,Volume\n", "no row"),
        ("PAGE.csv", b"<!DOCTYPE html><html><body>Please sign in</body></html>", ""),
        ("CUT.csv.gz", gzip.compress(b"Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\n" * 500, mtime=0)[:-20], "gzip"),
        ("NOISE.parquet", b"PAR1 and no more", "Parquet"),
        ("NOTES.csv", b"to do,when\nbuy milk,today\n", "date"),
    ],
)
def test_what_cannot_be_read__is_a_reject_that_says_why(checked, tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, answer = checked("--prices", tmp_path / name)
    [entry] = answer["files"]
    assert (code, entry["verdict"]) == (4, "reject")
    [finding] = entry["findings"]
    assert (finding["rule"], finding["severity"], finding["symbol"], finding["sessions"]) == ("unreadable", "reject", "", [])
    assert name in finding["message"] and says in finding["message"] and "\n" not in finding["message"]


def test_folder__is_one_entry_with_the_worst_verdict_and_each_file_named(checked, tmp_path):
    written(tmp_path / "prices", "AAPL.csv", good())
    written(tmp_path / "prices", "AET-L-1d-100x-error.csv", scaled(good("AET.L"), 0.01, slice(20, 30)))
    code, answer = checked("--prices", tmp_path / "prices")
    [entry] = answer["files"]
    assert (code, entry["path"], entry["verdict"]) == (0, str(tmp_path / "prices"), "quarantine")
    [finding] = entry["findings"]
    assert (finding["rule"], finding["symbol"], finding["sessions"]) == ("unit_jump", "AET.L", days_of("AET.L")[20:30])
    assert finding["message"].startswith("AET-L-1d-100x-error.csv: ")
    written(tmp_path / "prices", "NOTES.csv", pd.DataFrame({"to do": ["buy milk"]}))
    code, answer = checked("--prices", tmp_path / "prices")
    assert (code, answer["files"][0]["verdict"]) == (4, "reject")


def test_panel__one_rejected_symbol_leaves_the_others(checked, tmp_path):
    shifted = good("SAP.DE", start="2023-11-02", n=100)
    shifted["Date"] = (pd.to_datetime(shifted["Date"]) - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d")
    both = pd.concat([good().assign(ticker="AAPL"), shifted.assign(ticker="SAP.DE")])
    code, answer = checked("--prices", written(tmp_path, "panel.csv", both))
    [entry] = answer["files"]
    assert (code, entry["verdict"]) == (0, "quarantine")
    assert [(f["rule"], f["severity"], f["symbol"]) for f in entry["findings"]] == [("shifted_sessions", "reject", "SAP.DE")]


def test_options__are_those_of_the_source_files(checked, tmp_path, capsys):
    path = written(tmp_path, "prices.csv", good("VOD.L").rename(columns={"Close": "Schluss"}))
    code, answer = checked("--prices", path, "--option", "symbol=VOD.L", 'columns={"close": "Schluss"}')
    assert (code, answer["files"][0]["verdict"]) == (0, "accept")
    assert execute(["quality", "--prices", str(path), "--option", "symbl=VOD.L"]) == 2
    assert "'symbol'" in capsys.readouterr().err


def test_second__is_compared(checked, tmp_path):
    first, second = (
        written(tmp_path / "a", "AAPL.csv", good()),
        written(tmp_path / "b", "AAPL.csv", scaled(good(), 1.05, slice(20, 22))),
    )
    code, answer = checked("--prices", first, "--second", second)
    [entry] = answer["files"]
    assert (code, entry["verdict"]) == (0, "quarantine")
    told = {f["rule"]: f["sessions"] for f in entry["findings"]}
    assert told["sources_disagree"] == DAYS[20:22]
    assert checked("--prices", first, "--second", first)[1]["files"][0]["verdict"] == "accept"


def test_thresholds__are_settings(checked, tmp_path):
    (tmp_path / "home").mkdir()
    path = written(tmp_path, "AAPL.csv", scaled(good(), 1.4, slice(30, None)))
    assert checked("--prices", path)[1]["files"][0]["findings"] == []
    (tmp_path / "home" / "settings.toml").write_text("[quality]\nlarge_move = 0.3\n")
    assert [f["rule"] for f in checked("--prices", path)[1]["files"][0]["findings"]] == ["large_move_unconfirmed"]


def test_for_people__verdict_rows_and_reason(capsys, tmp_path):
    path = written(tmp_path, "AAPL.csv", pd.concat([changed(30, Close=None), good().iloc[[5]]]))
    assert execute(["quality", "--prices", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"{path}: quarantine" in " ".join(out.split()).replace(" ", "", 0)
    assert "61 received, 59 kept, 1 merged, 1 quarantined" in out
    assert "nan_close" in out and DAYS[30] in out and "duplicate_identical" in out


def test_store__is_judged_by_the_newest_run_of_each_source(checked, capsys, tmp_path):
    home = tmp_path / "home"
    rows = pd.concat([changed(30, Close=None).assign(ticker="AAPL"), good().drop(index=20).assign(ticker="MSFT")])
    prices = written(tmp_path, "panel.csv", rows)
    assert execute(["ingest", "--home", str(home), "--prices", str(prices), "--json"]) == 0
    code, answer = checked()
    [entry] = answer["files"]
    assert (code, entry["verdict"], entry["path"]) == (0, "quarantine", f"{home}: files")
    told = {(f["rule"], f["symbol"]): f["sessions"] for f in entry["findings"]}
    assert told[("nan_close", "AAPL")] == [DAYS[30]] and told[("gap", "MSFT")] == [DAYS[20]]
    capsys.readouterr()
    assert execute(["quality", "--home", str(home)]) == 0
    assert "2 symbols, rows: 119 received, 118 stored" in capsys.readouterr().out
    with open_snapshot(Home(home)) as con:
        assert ask(
            con, "SELECT sum(received) - sum(stored + unchanged + revised + merged + outside + quarantined) FROM quality"
        ).rows == [(0,)]


def test_store__that_is_not_there_says_what_to_do(capsys, tmp_path):
    assert execute(["quality", "--home", str(tmp_path / "none")]) == 5
    assert "run `nextclose run` or `nextclose demo` first" in capsys.readouterr().err
    assert execute(["quality", "--home", str(tmp_path / "none"), "--second", "x.csv"]) == 2


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("AAPL.csv", "AAPL"),
        ("AET-L-1d-100x-error.csv", "AET.L"),
        ("4063-T-1d-bad-stock-split-fixed.csv", "4063.T"),
        ("1398-HK-1d-bad-div.csv", "1398.HK"),
        ("AV-L-1wk-bad-stock-split.csv", "AV.L"),
        ("BRK-B-1d-no-bad-divs.csv", "BRK-B"),
        ("CALM-1d-no-bad-divs.csv", "CALM"),
        ("NASDAQ_CSCO_30Y.csv.gz", "CSCO"),
        ("NYSE_IBM_30Y.csv.gz", "IBM"),
        ("BRK-B.csv", "BRK-B"),
        ("BTC-USD.csv", "BTC-USD"),
        ("BTC-USD-1d-x.csv", "BTC-USD"),
        ("^GSPC.csv", "^GSPC"),
        ("0700.HK.csv.gz", "0700.HK"),
        ("aapl_us_d.csv", "AAPL"),
        ("vod_uk_d.csv", "VOD.L"),
        ("GOOG-year.csv", "GOOG"),
        ("tesla_2015_2018_partial_first_row.csv", "TESLA"),
        ("prices.csv", None),
    ],
)
def test_file_name__says_whose_prices_they_are(name, symbol):
    assert (symbols_in_name(Path(name)) or (None,))[0] == symbol


def test_file_name__that_may_mean_two_is_settled_by_the_days(tmp_path):
    """Tokyo was closed on 2024-01-02, New York open; on 2024-01-15 it was the other way round... for London 2024-05-06."""
    assert symbols_in_name(Path("AET-L.csv")) == ("AET-L", "AET.L")
    new_york, london = (good(s, start="2024-04-02")["Date"].to_numpy().astype("datetime64[D]") for s in ("AET", "AET.L"))
    assert best_fit(("AET-L", "AET.L"), london) == "AET.L" and best_fit(("AET.L", "AET-L"), new_york) == "AET-L"
    assert best_fit((), london) == UNKNOWN


def test_second__of_another_file_name_is_the_same_symbol_and_of_another_symbol_is_said(checked, tmp_path):
    first = written(tmp_path, "AAPL.csv", good())
    vendor = written(tmp_path, "vendor_copy.csv", scaled(good(), 1.05, slice(20, 22)))
    assert checked("--prices", first, "--second", vendor)[1]["files"][0]["verdict"] == "quarantine"
    other = written(tmp_path, "panel.csv", good().assign(ticker="MSFT"))
    mine = written(tmp_path, "mine.csv", good().assign(ticker="AAPL"))
    [finding] = checked("--prices", mine, "--second", other)[1]["files"][0]["findings"]
    assert (finding["rule"], finding["symbol"]) == ("one_source_only", "AAPL")
    code, answer = checked("--prices", first, "--second", tmp_path / "none.csv")
    assert code == 4 and answer["files"][0]["findings"][0]["rule"] == "unreadable"


def test_store__that_holds_the_symbol_shows_that_a_whole_file_is_in_another_unit(checked, tmp_path):
    """100 times what is stored is a reject; 112 times in the old days and the same in the new ones is Apple's splits."""
    home, first = tmp_path / "home", written(tmp_path / "a", "AAPL.csv", good())
    pence = written(tmp_path / "b", "AAPL.csv", scaled(good(), 100.0))
    unsplit = scaled(good(), 112.0, slice(0, 30)).assign(**{"Dividends": 0.0, "Stock Splits": 0.0})
    unsplit.loc[30, "Stock Splits"] = 112.0
    assert checked("--prices", pence)[1]["files"][0]["verdict"] == "accept"
    assert execute(["ingest", "--home", str(home), "--prices", str(first), "--json"]) == 0
    code, answer = checked("--prices", pence)
    [finding] = answer["files"][0]["findings"]
    assert (code, finding["rule"], len(finding["sessions"])) == (4, "unit_changed", 60)
    assert checked("--prices", written(tmp_path / "c", "AAPL.csv", unsplit))[0] == 0
    assert checked("--prices", first)[1]["files"][0]["verdict"] == "accept"


def test_exchange__that_only_words_in_the_name_suggest_is_not_held_against_the_file(checked, tmp_path):
    """Hong Kong's days under a name that says nothing: New York's holidays must not count. A bad date still does."""
    bars = good("0700.HK", n=240, start="2023-01-03")
    assert checked("--prices", written(tmp_path, "my_tencent_prices.csv", bars))[1]["files"][0]["verdict"] == "accept"
    assert checked("--prices", written(tmp_path, "AAPL.csv", bars))[1]["files"][0]["verdict"] == "quarantine"
    christmas = changed(30, good(), Date="2023-12-25")
    [finding, _] = checked("--prices", written(tmp_path, "my_apple_prices.csv", christmas))[1]["files"][0]["findings"]
    assert (finding["rule"], finding["sessions"]) == ("not_a_session", ["2023-12-25"])


def test_exchange__without_a_calendar_is_not_judged_by_new_york(checked, tmp_path):
    """Tel Aviv traded on Sundays."""
    days = pd.bdate_range("2024-01-01", periods=60, freq="C", weekmask="Sun Mon Tue Wed Thu")
    path = written(tmp_path, "KEN-TA-1d-no-bad-divs.csv", good().assign(Date=days.strftime("%Y-%m-%d")))
    assert checked("--prices", path) == (0, {"files": [{"path": str(path), "verdict": "accept", "findings": []}]})


def test_only_bad_rows__is_a_quarantine_with_every_row_told(checked, tmp_path):
    path = written(tmp_path, "panel.csv", good().assign(ticker="=1+1"))
    [entry] = checked("--prices", path)[1]["files"]
    assert entry["verdict"] == "quarantine" and [(f["rule"], len(f["sessions"])) for f in entry["findings"]] == [
        ("bad_symbol", 60)
    ]


@pytest.mark.parametrize(("factor", "told"), [(10.0, ["spike"]), (0.1, ["spike"]), (3.5, ["spike"]), (2.2, None)])
def test_spike__of_one_session_is_a_wrong_print_and_a_smaller_one_a_warning(checked, tmp_path, factor, told):
    bars = good()
    spiked = changed(30, bars, **{c: round(bars[c][30] * factor, 2) for c in ("Open", "High", "Low", "Close")})
    [entry] = checked("--prices", written(tmp_path, "AAPL.csv", spiked))[1]["files"]
    assert entry["verdict"] == ("quarantine" if told else "accept with warning")
    if told:
        assert [(f["rule"], f["sessions"]) for f in entry["findings"]] == [("spike", [DAYS[30]])]


def test_date_in_the_future__opens_no_gap(checked, tmp_path):
    [entry] = checked("--prices", written(tmp_path, "AAPL.csv", changed(59, good(), Date="2199-01-03")))[1]["files"]
    assert [(f["rule"], f["sessions"]) for f in entry["findings"]] == [("future_session", ["2199-01-03"])]
