"""Every source end to end, as a person uses it: ``nextclose ingest --source NAME``, then the stored closes in SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from app.cli import execute
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tests.sources.stand_in import Answer, StandIn
from tests.sources.test_alpha_vantage import daily
from tests.sources.test_nasdaq_data_link import NAMES, dataset
from tests.sources.test_zip_members import zipped
from tests.sources.yahoo_stand_in import YahooStandIn, chart

CLOSES = {"2017-03-01": 139.79, "2017-03-02": 138.96, "2017-03-03": 139.78}
ROWS = [(day, c, c + 1, c - 1, c, 1000.0 + i) for i, (day, c) in enumerate(CLOSES.items())]
CSV = "Date,Open,High,Low,Close,Volume\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS)
PAGE = "<html><body><table><tr><th>Date<th>Open<th>High<th>Low<th>Close<th>Volume</tr>{}</table></body></html>"
QUIET = ["waits=[0]", "seconds_between=0.0"]


def yahoo(folder: Path, server: YahooStandIn) -> list[str]:
    server.say("AAPL", chart(ROWS))
    return [f"base_url={server.url}", "waits=[0]"]


def alpha_vantage(folder: Path, server: StandIn) -> list[str]:
    server.say("/query", daily({row[0]: row[1:] for row in ROWS}, symbol="AAPL"))
    return [f"base_url={server.url}", *QUIET]


def quandl(folder: Path, server: StandIn) -> list[str]:
    rows = [[*row, 0.0, 1.0, *row[1:]] for row in ROWS]
    server.say("/api/v3/datasets/WIKI/AAPL.json", dataset(rows, "AAPL", NAMES))
    return [f"base_url={server.url}", *QUIET]


def stooq(folder: Path, server: StandIn) -> list[str]:
    server.say("/q/d/l/", Answer(CSV, kind="text/csv"))
    return [f"base_url={server.url}", *QUIET]


def github(folder: Path, server: StandIn) -> list[str]:
    server.say("/owner/repo/abc123/AAPL.csv", Answer(CSV, kind="text/csv"))
    return ["url=https://github.com/owner/repo/blob/abc123/AAPL.csv", f"base_url={server.url}", *QUIET]


def kaggle(folder: Path, server: StandIn) -> list[str]:
    (folder / "archive.zip").write_bytes(zipped(("stocks/AAPL.csv", CSV.encode()), ("readme.md", b"#")))
    return [f"path={folder / 'archive.zip'}"]


def scrape(folder: Path, server: StandIn) -> list[str]:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
    server.say("/history/AAPL", Answer(PAGE.format(body), kind="text/html"))
    server.say("/robots.txt", Answer("User-agent: *\nAllow: /\n", kind="text/plain"))
    return ["url=https://prices.example/history/{symbol}", f"base_url={server.url}", *QUIET]


def sql(folder: Path, server: StandIn) -> list[str]:
    con = sqlite3.connect(folder / "prices.sqlite")
    frame = pd.DataFrame(ROWS, columns=["date", "open", "high", "low", "close", "volume"]).assign(ticker="AAPL")
    frame.to_sql("daily", con, index=False)
    con.close()
    return [f"path={folder / 'prices.sqlite'}", "query=SELECT * FROM daily WHERE ticker IN :symbols"]


def files(folder: Path, server: StandIn) -> list[str]:
    (folder / "AAPL.csv").write_text(CSV, encoding="utf-8")
    return [f"path={folder / 'AAPL.csv'}"]


STORED_AS = {"quandl": "nasdaq_data_link", "github": "http_csv", "sql": "database"}


@pytest.mark.parametrize("prepare", [yahoo, alpha_vantage, quandl, stooq, github, kaggle, scrape, sql, files])
def test_source__from_the_command_line_into_the_published_tables(prepare: Callable, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "kanarienvogel")
    name = prepare.__name__
    with YahooStandIn() if name == "yahoo" else StandIn() as server:
        options = prepare(tmp_path, server)
        home = tmp_path / "home"
        command = ["ingest", "--home", str(home), "--source", name, "--symbols", "AAPL", "--end", "2017-03-03", "--json"]
        code = execute([*command, "--option", *options])
    said = capsys.readouterr()
    assert code == 0, said.err
    report = json.loads(said.out)
    assert report["quality"]["rows"] | {"warned": 0} == {
        "received": 3, "stored": 3, "unchanged": 0, "revised": 0, "merged": 0, "outside": 0, "quarantined": 0, "warned": 0,
    }  # fmt: skip
    with open_snapshot(Home(home)) as con:
        rows = ask(con, "SELECT session::VARCHAR, round(close, 2), source FROM prices ORDER BY 1").rows
        log = ask(con, "SELECT source, answered, failed FROM requests").rows
    assert rows == [(day, close, STORED_AS.get(name, name)) for day, close in CLOSES.items()]
    assert log == [(STORED_AS.get(name, name), 1, 0)]
    assert "kanarienvogel" not in said.out + said.err


def test_source__that_says_its_budget_is_spent_is_left_alone_until_the_day_is_over(tmp_path, monkeypatch, capsys):
    """25 requests a day: the third of three runs with a limit of two asks nothing and says why."""
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "kanarienvogel")
    with StandIn() as server:
        server.say("/query", daily({row[0]: row[1:] for row in ROWS}, symbol="AAPL"))
        options = [f"base_url={server.url}", *QUIET, "per_day=2"]
        command = ["ingest", "--home", str(tmp_path), "--source", "alpha_vantage", "--symbols", "AAPL", "--end"]
        for end in ("2017-03-01", "2017-03-02"):
            assert execute([*command, end, "--option", *options]) == 0
        assert execute([*command, "2017-03-03", "--option", *options]) == 3
        assert len(server.requests) == 2
    assert "the 2 requests that it allows in 24 hours are used up" in capsys.readouterr().err
    assert execute(["sources", "--home", str(tmp_path), "--json"]) == 0
    [told] = [s for s in json.loads(capsys.readouterr().out)["sources"] if s["source"] == "alpha_vantage"]
    assert told["requests_24h"] == 2 and "used up" in told["last_failure"] and told["last_success_at"]
