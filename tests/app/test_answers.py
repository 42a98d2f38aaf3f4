"""How commands answer: tables as wide as the terminal, JSON, CSV, colour, and what is wrong with the nearest right name."""

from __future__ import annotations

import csv
import importlib
import inspect
import io
import json
import os
import pty
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from app.cli import COMMANDS, execute
from app.common import Tabular
from app.csv_text import as_csv

ROOT = Path(__file__).resolve().parents[2]
#: What each command is asked for on a home in which one day was done.
ASKED = {
    "forecast": ["AAA", "--rivals"], "scoreboard": [], "status": [], "models": [], "sources": [], "doctor": ["--only", "disk"],
    "sql": ["FROM latest_forecasts"], "quality": [], "verify": [], "explain": ["AAA", "2021-03-31", "--no-contributions"],
    "reproduce": ["AAA", "2021-03-31", "1", "ewma"], "run": ["--origin", "2021-03-31"], "retrain": ["--origin", "2021-03-31"],
}  # fmt: skip
_LONG = {"demo", "tune", "backtest", "controls", "shell"}  # minutes, or a sitting: tried elsewhere


def commands_with_tables() -> list[str]:
    return [name for name in COMMANDS if _parameter(name) is Tabular]


def _parameter(name: str) -> type:
    function = getattr(importlib.import_module(f"app.commands.{name}"), name)
    return type(inspect.signature(function).parameters["common"].default)


def on_terminal(*tokens: str, columns: int = 80, **environment: str) -> str:
    """What a person sees who types the command at a terminal of so many columns, escapes included."""
    master, slave = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NEXTCLOSE_", "NO_COLOR"))}
    env |= {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm-256color"} | environment
    child = subprocess.Popen([sys.executable, "-m", "app.cli", *tokens], cwd=ROOT, env=env, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        said += part
    os.close(master)
    assert child.wait(60) == 0, said.decode()
    return said.decode().replace("\r\n", "\n")


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_every_command_that_prints_a_table__takes_json_and_csv():
    printing = {" table(", "show_run", "show_backtest", "show_scoreboard", "show_rows", "Shell("}
    tabular = {name for name in COMMANDS if any(word in _source(name) for word in printing)} - {"recover"}  # it tells of a run
    assert tabular | {"verify", "doctor"} == set(commands_with_tables()) == set(ASKED) | _LONG


def _source(name: str) -> str:
    text = (ROOT / "app" / "commands" / f"{name}.py").read_text(encoding="utf-8")
    return text + (ROOT / "app" / "explained.py").read_text(encoding="utf-8") if "app.explained" in text else text


@pytest.mark.parametrize("command", sorted(ASKED))
def test_csv__has_the_rows_of_the_json(copied, capsys, command):
    """One list of the JSON has as many entries as the CSV rows, and they agree in what both say."""
    tokens = [command, *ASKED[command], "--home", str(copied)]
    execute([*tokens, "--json"])
    told = json.loads(capsys.readouterr().out)
    execute([*tokens, "--csv"])
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    lists = [value for value in told.values() if isinstance(value, list)]
    lists += [[f for file in told.get("files", []) for f in file["findings"]], (told.get("decision") or {}).get("checks", [])]
    if command == "reproduce":
        assert [float(row["stored"]) for row in rows] == list(told["forecasts"][0]["stored"].values())
        return
    same = [entries for entries in lists if len(entries) == len(rows) and (not rows or set(entries[0]) <= set(rows[0]))]
    assert same, (len(rows), text[:300])
    for row, entry in zip(rows, same[0], strict=True):
        for name, value in entry.items():
            if isinstance(value, str) and not value.startswith(("=", "+", "-", "@")):
                assert row[name] == value
            elif isinstance(value, float):
                assert float(row[name]) == value


def test_json_and_csv_together__are_refused(copied, capsys):
    assert execute(["status", "--json", "--csv", "--home", str(copied)]) == 2
    assert "two ways to answer" in capsys.readouterr().err


def test_csv_of_a_command_without_a_table__is_no_option(capsys):
    assert execute(["backup", "--csv"]) == 2
    assert "--csv" in capsys.readouterr().err


def test_csv__keeps_formulas_text_and_numbers_numbers():
    rows = [
        ("=1+1", -2.5, None, True),
        ("@SUM(A1)", float("nan"), date(2013, 3, 1), [1, "a"]),
        ('say "x", y\n', 1, {"a": 1}, "-"),
    ]
    assert as_csv(["a", "=b", "c", "d"], rows, end="\n").decode() == (
        'a,=b,c,d\n\'=1+1,-2.5,,true\n\'@SUM(A1),,2013-03-01,"[1, ""a""]"\n"say ""x"", y\n",1,"{""a"": 1}",\'-\n'
    )


def test_table__fits_terminals_from_forty_columns_on_and_cuts_nothing(copied):
    """Three widths: the figures are all there in each, and no line is longer than the terminal."""
    for columns in (40, 80, 160):
        for command in (["forecast", "AAA"], ["status"], ["models"]):
            said = bare(on_terminal(*command, "--home", str(copied), columns=columns))
            assert max(len(line) for line in said.splitlines()) <= columns, (command, columns, said)
            assert "…" not in said
    narrow = bare(on_terminal("forecast", "AAA", "--home", str(copied), columns=40))
    wide = bare(on_terminal("forecast", "AAA", "--home", str(copied), columns=160))
    figures = re.findall(r"\d+\.\d\d", wide.partition("forecast from there")[2])
    assert len(figures) >= 21 and figures == re.findall(r"\d+\.\d\d", narrow.partition("from there")[2])
    assert re.search(r"^ahead +\S.*\ntarget", narrow, re.MULTILINE)  # a line a value
    assert [len(re.findall(r"^ahead\b", said, re.MULTILINE)) for said in (narrow, wide)] == [3, 1]


def test_table__in_a_pipe_is_never_cut(copied):
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "sql", "SELECT * FROM latest_forecasts LIMIT 1", "--home", str(copied)],
        cwd=ROOT, capture_output=True, text=True, check=True, env={k: v for k, v in os.environ.items() if k != "COLUMNS"},
    )  # fmt: skip
    head, row = done.stdout.splitlines()[:2]
    assert len(head.split()) > 15 and "…" not in row and len(row) > 200


def test_colour__is_there_on_a_terminal_and_not_with_no_color(copied):
    asked = ("doctor", "--only", "disk", "--home", str(copied))
    coloured = on_terminal(*asked)
    assert "\x1b[32m" in coloured  # ok, in green
    plain = on_terminal(*asked, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain) and bare(plain) == bare(coloured)  # the word says all
    assert "\x1b" not in on_terminal(*asked, TERM="dumb").replace("\x1b[?25h", "")


NEAREST = [
    (["forcast", "TSLA"], "forecast"),
    (["help", "scorebord"], "scoreboard"),
    (["run", "--sybols", "TSLA"], "--symbols"),
    (["run", "--source", "yaho"], "yahoo"),
    (["forecast", "AAB"], "AAA"),
    (["explain", "AAAA", "2021-03-31"], "AAA"),
    (["sql", "FROM latest_forecast"], "latest_forecasts"),
    (["sql", "SELECT orgin FROM forecasts"], "origin"),
    (["export", "scorebord"], "scoreboard"),
    (["doctor", "--only", "dsk"], "disk"),
    (["scoreboard", "--mode", "liv"], "live"),
]


@pytest.mark.parametrize(("tokens", "right"), NEAREST, ids=[" ".join(n[0]) for n in NEAREST])
def test_wrong_name__is_answered_with_the_nearest_right_one(copied, capsys, tokens, right):
    code = execute([*tokens, "--home", str(copied)])
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and right in said, said


def test_wrong_key_of_a_spec__is_answered_with_the_nearest_right_one(tmp_path, capsys):
    (tmp_path / "spec.toml").write_text("lokback = 20\n")
    days = ["--train-end", "2020-01-31", "--valid-end", "2020-02-28", "--test-end", "2020-03-31"]
    code = execute(["backtest", "--prices", "x.csv", *days, "--spec", str(tmp_path / "spec.toml"), "--home", str(tmp_path)])
    assert code == 2 and "did you mean 'lookback'?" in capsys.readouterr().err


def test_help_of__is_the_help(capsys):
    assert execute(["help", "forecast"]) == 0
    said = capsys.readouterr().out
    assert execute(["forecast", "--help"]) == 0 and capsys.readouterr().out == said and "Exit codes" in " ".join(said.split())
