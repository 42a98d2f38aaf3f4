"""The command line: what each command answers, how it says what is wrong, and the code that it ends with."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import duckdb
import pytest

from app.asking import exit_code
from app.cli import COMMANDS, execute
from app.summaries import SUMMARIES
from forecasting.rivals import RIVALS
from tests.tiny import SYMBOLS, prices_file, tiny_bars, tiny_home

DAY = "2021-03-31"


@pytest.fixture
def typed(capsys):
    """typed("status", ...) -> (exit code, what went to stdout, what went to stderr)."""

    def run(*tokens: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = execute([str(token) for token in tokens])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def answered(typed):
    """answered("status", ...) -> the JSON that the command answers with; nothing else may be on stdout."""

    def run(*tokens: object) -> dict:
        code, out, err = typed(*tokens, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    return run


def test_help__lists_every_command_with_its_line(typed):
    code, out, _ = typed("--help")
    assert code == 0
    assert set(SUMMARIES) == set(COMMANDS)
    for command in COMMANDS:
        assert re.search(rf"^│ {command} ", out, re.MULTILINE), command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command__has_its_line_an_example_and_home(typed, command):
    code, out, _ = typed(command, "--help")
    assert code == 0
    text = " ".join(out.replace("│", " ").split())
    assert SUMMARIES[command].rstrip(".") in text
    assert f"nextclose {command}" in text and "For example:" in text
    assert "--home" in text and "--json" in text


def test_version__is_that_of_the_package(typed):
    code, out, _ = typed("--version")
    assert code == 0 and re.match(r"\d", out)


def test_run__from_a_file_answers_in_the_agreed_shape(typed, tmp_path):
    """`nextclose run --home DIR --source files --prices PATH --json`, and again: nothing changes."""
    prices = prices_file(tmp_path / "prices.csv", tiny_bars())
    command = (
        "run",
        "--home",
        tiny_home(tmp_path / "home"),
        "--source",
        "files",
        "--prices",
        prices,
        "--origin",
        DAY,
        "--json",
    )
    code, out, _ = typed(*command)
    first = json.loads(out)
    assert code == 0
    assert {"run_id", "origin", "status", "forecasts", "digest"} <= set(first)
    assert first["origin"] == DAY and first["status"] == "completed"
    assert re.fullmatch(r"[0-9a-f]{16}", first["run_id"]) and re.fullmatch(r"[0-9a-f]{64}", first["digest"])
    assert len(first["forecasts"]) == 9
    again = json.loads(typed(*command)[1])
    assert {k: again[k] for k in ("run_id", "digest", "forecasts")} == {k: first[k] for k in ("run_id", "digest", "forecasts")}


def test_run__for_people_shows_forecasts_who_serves_and_why(typed, copied):
    code, out, err = typed("run", "--home", copied, "--origin", DAY)
    assert code == 0
    assert "symbol" in out and "80 % interval" in out and "P(up)" in out
    for symbol in SYMBOLS:
        assert re.search(rf"^{symbol} +[\d,.]+ +1 +2021-04-01 +[\d,.]+ +[\d,.]+ \.\. [\d,.]+ +\d+%", out, re.MULTILINE)
    assert re.search(r"^\w+ of model [0-9a-f]{16} serves since 2021-03-31: .+\.$", out, re.MULTILINE)
    assert "was done before, nothing changed" in out
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith(("symbol", "AAA", "BBB", "CCC", " ")))


def test_run__two_symbols_typed_in_any_way(answered, copied):
    for way in (["aaa,BBB"], ["AAA", "BBB"], ["AAA", "--symbols", "BBB"]):
        assert answered("run", "--home", copied, "--origin", DAY, "--symbols", *way)["symbols"] == ["AAA", "BBB"]


def test_run__with_a_bad_symbol_among_good_ones(typed, copied):
    code, out, err = typed("run", "--home", copied, "--origin", "2021-04-01", "--symbols", "AAA,BBB,ZZZZ", "--json")
    report = json.loads(out)
    assert code == 0 and report["status"] == "degraded"
    assert "ZZZZ" in err and "no such symbol" in err
    code, out, err = typed("run", "--home", copied, "--origin", "2021-04-01", "--symbols", "AAA,ZZZZ,YYYY", "--json")
    assert code == 10  # half or more got nothing


def test_forecast__of_a_symbol(typed, answered, copied):
    found = answered("forecast", "aaa", "--home", copied)
    assert found["symbol"] == "AAA" and [f["horizon"] for f in found["forecasts"]] == [1, 5, 20]
    with_rivals = answered("forecast", "AAA", "--home", copied, "--rivals")
    assert {f["forecaster"] for f in with_rivals["forecasts"]} == {"lstm", *RIVALS}
    code, out, _ = typed("forecast", "AAA", "--home", copied)
    assert code == 0 and "AAA closed at" in out and "2021-04-01" in out


def test_forecast__of_a_symbol_that_is_not_there_names_the_nearest(typed, copied):
    code, _, err = typed("forecast", "AAB", "--home", copied)
    asked = "`nextclose run --symbols AAB` makes one"
    assert code == 2 and err == f"nextclose: there is no forecast for AAB in {copied}; did you mean AAA? ({asked})\n"


def test_scoreboard__before_and_after_something_settled(typed, answered, copied):
    assert answered("scoreboard", "--home", copied) == {"scoreboard": []}
    assert "Nothing has settled yet" in typed("scoreboard", "--home", copied)[1]
    typed("run", "--home", copied, "--origin", "2021-04-09", "--json")
    board = answered("scoreboard", "--home", copied)["scoreboard"]
    one = {r["forecaster"]: r for r in board if r["horizon"] == 1}
    assert set(one) == {"lstm", *RIVALS, "served"}
    assert one["persistence"]["n"] == 18 and abs(one["persistence"]["skill_vs_persistence"]) < 1e-12
    assert answered("scoreboard", "--mode", "live", "--home", copied) == {"scoreboard": []}


def test_status_and_models__say_what_is_stored_and_who_serves(typed, answered, copied):
    state = answered("status", "--home", copied)
    assert state["counts"]["forecasts"] == 81
    assert state["serving"]["forecaster"] in ("lstm", *RIVALS)
    assert [s["symbol"] for s in state["symbols"]] == list(SYMBOLS)
    [model] = answered("models", "--home", copied)["models"]
    shown = answered("models", model["model_id"][:8], "--home", copied)
    assert shown["checks"][0]["code"] == "G01" and len(shown["evaluations"]) > 100
    for command in (["status"], ["models"], ["models", model["model_id"][:8]]):
        code, out, err = typed(*command, "--home", copied)
        assert code == 0 and model["model_id"][:16] in out, err


def test_sql__answers_and_refuses_to_write(typed, answered, copied):
    counted = "SELECT symbol, count(*) AS n FROM latest_forecasts GROUP BY symbol ORDER BY symbol"
    found = answered("sql", counted, "--home", copied)
    assert found["rows"] == [{"symbol": s, "n": 3} for s in SYMBOLS]
    outside = ("COPY (SELECT 1) TO '/tmp/x.csv'", "ATTACH '/tmp/y.db'", "SELECT * FROM '/etc/passwd'")
    for forbidden in ("DELETE FROM store.forecasts", *outside):
        code, _, err = typed("sql", forbidden, "--home", copied)
        assert code == 2 and err.startswith("nextclose: ") and err.count("\n") == 1, forbidden


def test_exit_code__is_10_where_half_of_the_symbols_failed_and_not_where_their_exchange_is_closed():
    for reason, code in (("down", 10), ("stale_symbol", 10), ("exchange_closed", 0), ("inactive", 0)):
        assert exit_code({"symbols": ["AAPL", "0700.HK"], "refused": [{"symbol": "0700.HK", "reason": reason}]}) == code


def test_verify__finds_a_changed_file(typed, answered, copied):
    assert answered("verify", "--home", copied) == {"ok": True, "findings": []}
    [folder] = (copied / "models").iterdir()
    card = folder / "card.json"
    card.write_text(card.read_text().replace('"seed": 7', '"seed": 8'))
    advice = "run `nextclose recover`, which takes it from a backup, or `nextclose retrain`"
    model = f"model {folder.name[:16]}: was changed or exchanged since it was trained; {advice}"
    assert typed("verify", "--home", copied)[:2] == (11, f"{model}\n{copied}: 1 finding\n")
    with duckdb.connect(str(copied / "nextclose.duckdb")) as con:
        con.execute("UPDATE store.bars SET close = 2 * close WHERE symbol = 'AAA' AND session = '2021-03-30'")
    bars = "database bars 2021-03: the rows are not those that were stored; run `nextclose recover`"
    assert typed("verify", "--home", copied)[:2] == (11, f"{bars}\n{model}\n{copied}: 2 findings\n")


def test_ingest_retrain_backfill__one_after_the_other(typed, answered, copied):
    report = answered("ingest", "--home", copied, "--end", "2021-04-09")
    assert report["origin"] == "2021-04-09" and report["forecasts"] == []
    assert answered("ingest", "--home", copied, "--end", "2021-04-09")["digest"] == report["digest"]
    report = answered("backfill", "--home", copied, "--start", "2021-04-05")
    done = answered("sql", "SELECT DISTINCT origin::VARCHAR AS d FROM forecasts ORDER BY d", "--home", copied)
    assert [row["d"][5:] for row in done["rows"]] == ["03-31", "04-05", "04-06", "04-07", "04-08", "04-09"]
    report = answered("retrain", "--home", copied)
    assert report["decision"]["origin"] == "2021-04-09" and len(report["decision"]["checks"]) >= 8
    assert answered("retrain", "--home", copied, "--if-due")["decision"]["decision_id"] == report["decision"]["decision_id"]


WRONG = [
    (["nonsense"], 2, r"nonsense"),
    (["run", "--symbols", "../x"], 2, r"'\.\./x' is not a symbol"),
    (["run", "--symbols", "AAA,AAA"], 2, r"named twice"),
    (["run", "--symbols", ""], 2, r"is not a symbol|requires an argument"),
    (["run", "--source", "yaho"], 2, r"'yahoo'"),
    (["run", "--source", "files"], 2, r"--prices PATH"),
    (["run", "--source", "yahoo", "--prices", "x.csv"], 2, r"--prices goes with --source files"),
    (["run", "--prices", "no-such-file.csv"], 2, r"no-such-file\.csv"),
    (["run", "--origin", "yesterday"], 2, r"yesterday"),
    (["run", "--origin", "2199-01-04"], 2, r"origin is '2199-01-04'"),
    (["run", "--replay", "-1"], 2, r"--replay"),
    (["run", "--option", "seed"], 2, r"name=value"),
    (["run", "--option", "sed=7"], 2, r"'seed'"),
    (["backfill", "--start", "2021-04-05", "--end", "2021-04-01"], 2, r"before start"),
    (["sql", "SELEC 1"], 2, r"SELEC"),
    (["models", "ffff"], 2, r"0 models begin with 'ffff'"),
    (["forecast", "a/b"], 2, r"'a/b' is not a symbol"),
    (["scoreboard", "--mode", "both"], 2, r"both"),
]


@pytest.mark.parametrize(("tokens", "code", "message"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_wrong_input__is_one_line_and_a_code(typed, copied, tokens, code, message):
    got, out, err = typed(*tokens, "--home", copied)
    assert got == code, err
    assert err.startswith("nextclose: ") and err.count("\n") == 1 and re.search(message, err), err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("command", [["forecast", "TSLA"], ["scoreboard"], ["status"], ["models"], ["sql", "FROM runs"]])
def test_reading__where_nothing_is_yet_says_what_to_do(typed, tmp_path, command):
    code, _, err = typed(*command, "--home", tmp_path / "none")
    assert code == 5 and "run `nextclose run` or `nextclose demo` first" in err
    assert not (tmp_path / "none").exists()  # looking makes nothing


def test_unknown_setting__names_it_and_the_nearest(typed, copied):
    (copied / "settings.toml").write_text("[retraning]\nafter_sessions = 3\n")
    code, _, err = typed("run", "--home", copied)
    assert code == 2 and err == (
        "nextclose: setting retraning is 'unknown'; expected one of the sections; did you mean 'retraining'?\n"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder__is_refused_before_anything_is_fetched(typed, tmp_path):
    home = tiny_home(tmp_path / "home")
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        code, _, err = typed("run", "--home", home)
        assert code == 5 and "cannot be written" in err
    finally:
        home.chmod(stat.S_IRWXU)


def test_home_that_is_a_file__is_refused(typed, tmp_path):
    (tmp_path / "home").write_text("not a folder")
    code, _, err = typed("run", "--home", tmp_path / "home", "--source", "bundled")
    assert code == 5 and "cannot be written" in err and err.count("\n") == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can write")
def test_home_where_nobody_can_write__is_refused_before_anything_is_fetched(typed):
    code, _, err = typed("run", "--home", "/proc/nextclose", "--symbols", "TSLA")
    assert code == 5 and err.startswith("nextclose: home /proc/nextclose cannot be written") and err.count("\n") == 1


BROKEN = {
    "no_close.csv": ("Date,Open,High,Low\n2021-01-04,1,2,1\n", r"no_close\.csv.*no column for close"),
    "empty.csv": ("", r"empty\.csv.*empty"),
    "header.csv": ("Date,Open,High,Low,Close,Volume\n", r"header\.csv.*no row"),
    "binary.parquet": ("PAR1 but not really", r"binary\.parquet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_price_file_that_cannot_be_read__is_named_with_what_is_wrong(typed, tmp_path, name):
    text, message = BROKEN[name]
    (tmp_path / name).write_text(text)
    code, _, err = typed("run", "--home", tiny_home(tmp_path / "home"), "--prices", tmp_path / name)
    assert code == 2 and re.search(message, err), err
    assert err.count("\n") == 1


@pytest.mark.parametrize("symbol", ["NA", "ON", "TRUE", "0700.HK", "BRK-B", "^GSPC"])
def test_odd_ticker__goes_in_by_file_and_comes_out_by_sql(typed, answered, tmp_path, symbol):
    path = prices_file(tmp_path / "odd.csv", tiny_bars(("AAA",), 60).assign(symbol=symbol))
    home = tmp_path / "home"
    assert answered("ingest", "--home", home, "--prices", path)["symbols"] == [symbol]
    assert answered("sql", "SELECT DISTINCT symbol FROM prices", "--home", home)["rows"] == [{"symbol": symbol}]


def test_message__that_quotes_control_characters_stays_one_printable_line(typed, copied):
    code, _, err = typed("forecast", "A\x1b[31m\r\nB", "--home", copied)
    assert code == 2 and err.count("\n") == 1 and "\x1b" not in err and "\r" not in err


def test_debug__shows_where(typed, monkeypatch, copied):
    monkeypatch.setenv("NEXTCLOSE_DEBUG", "1")
    _, _, err = typed("forecast", "../x", "--home", copied)
    assert "Traceback" in err and err.splitlines()[-1].startswith("nextclose: ")


def test_home__from_the_environment(answered, copied, monkeypatch):
    monkeypatch.setenv("NEXTCLOSE_HOME", str(copied))
    assert answered("status")["home"] == str(copied)


def test_exit_codes__are_those_of_the_error_tree():
    """The list in app/cli.py names every code that an error class has."""
    import app.cli
    from forecasting import errors

    listed = {int(n) for n in re.findall(r"\b(\d+) [a-z`]", app.cli.__doc__.split("Exit codes:")[1])}
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.NextcloseError)]
    assert {c.exit_code for c in classes} <= listed
    assert {0, 10, 11, 130} <= listed


def test_backtest__answers_in_the_agreed_shape(answered, tmp_path):
    prices = prices_file(tmp_path / "prices.csv", tiny_bars(sessions=500))
    (tmp_path / "spec.toml").write_text(
        'features = ["ret", "range"]\nlookback = 20\nlabels_per_sequence = 40\nstem_units = 0\nunits = [4]\nhead_units = 4\n'
        "members = 1\nepochs = 1\nmin_updates = 4\nbatch_size = 8\n"
    )
    report = answered(
        "backtest", "--prices", prices, "--train-end", "2020-12-31", "--valid-end", "2021-04-30", "--test-end", "2021-12-23",
        "--spec", tmp_path / "spec.toml", "--home", tmp_path / "none",
    )  # fmt: skip
    assert [h["horizon"] for h in report["horizons"]] == [1, 5, 20]
    one = report["horizons"][0]
    for name in ("pinball", "mae", "rmse", "mse", "mape", "mase", "direction"):
        assert isinstance(one[name], float), name
    assert one["rank_correlation"] is None  # three symbols are too few to rank
    assert set(one["skill"]) == set(one["dm_t"]) == set(one["p_corrected"]) == set(RIVALS)
    assert set(one["coverage"]) == {"50", "80", "90"} and 0.5 < one["coverage"]["80"] < 1
    assert report["gate"]["verdict"] in ("promoted", "refused", "cannot_tell")
    assert {s["name"] for s in report["stages"]} >= {"load_prices", "train", "evaluate", "gate"}
    assert all(s["seconds"] >= 0 and s["peak_mb"] > 0 for s in report["stages"])
    assert not Path(tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["units = 3.5", "unitz = [3]", "horizons = [0]", "not toml at all ]["])
def test_backtest__wrong_spec_is_named(typed, tmp_path, text):
    (tmp_path / "spec.toml").write_text(text)
    code, _, err = typed(
        "backtest", "--prices", "x.csv", "--train-end", "2020-01-31", "--valid-end", "2020-02-28", "--test-end", "2020-03-31",
        "--spec", tmp_path / "spec.toml", "--home", tmp_path / "none",
    )  # fmt: skip
    assert code == 2 and "spec.toml" in err and err.count("\n") == 1
