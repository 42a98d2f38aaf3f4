"""``nextclose shell`` and ``nextclose export``: what they answer, and that nothing gets out of the child."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from app.cli import execute
from app.exporting import planned

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """SELECT symbol, horizon
FROM latest_forecasts WHERE symbol = 'A;AA' OR symbol = 'AAA' ORDER BY horizon;
.json
SELECT count(*) AS n FROM latest_forecasts; .nothing
"""


def piped(home: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "shell", "--home", str(home), *options]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False, timeout=60)


def test_shell__answers_statements_over_several_lines_and_changes_how(copied):
    done = piped(copied, SCRIPT.replace(" .nothing", ""), "--csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "symbol,horizon",
        "AAA,1",
        "AAA,5",
        "AAA,20",
        '{"columns": ["n"], "rows": [{"n": 9}], "truncated": false}',
    ]


def test_shell__tells_of_views_columns_and_itself(copied):
    said = piped(copied, ".tables\n.columns latest_forecasts\n.help\n").stdout
    assert "prices_as_of(as_of)" in said and "q50" in said and ".timeout SECONDS" in said
    refused = piped(copied, ".columns latest_forecast\nFROM runs;\n")
    assert refused.returncode == 2 and "did you mean 'latest_forecasts'?" in refused.stderr and refused.stdout == ""
    assert "did you mean .tables?" in piped(copied, ".tabels\n").stderr
    assert "at least 1" in piped(copied, ".limit 0\n").stderr


def test_shell__at_a_terminal_completes_names_goes_on_after_an_error_and_ends_with_control_d(copied):
    """Typed as a person would: a wrong statement, a name completed with the tabulator, one line taken back, Ctrl-D."""
    master, slave = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith("NEXTCLOSE_")} | {"TERM": "xterm", "COLUMNS": "80"}
    child = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "shell", "--home", str(copied)],
        cwd=ROOT, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    said = b""

    def until(wanted: str) -> None:
        nonlocal said
        said, give_up = b"", time.monotonic() + 60
        while wanted.encode() not in said:
            assert time.monotonic() < give_up, said
            said += os.read(master, 4096)

    until("nextclose> ")
    os.write(master, b"SELEC 1;\n")
    until("SELEC")
    until("nextclose> ")
    assert b"the SQL was refused" in said
    os.write(master, b"SELECT count(*) AS n\n")
    until("...> ")
    os.write(master, b"FROM latest_fo\t;\n")
    until("nextclose> ")
    assert b"latest_forecasts" in said and b"9" in said
    os.write(master, b"\x04")
    assert child.wait(30) == 0
    os.close(master)


ATTACKS = {
    "write a table": "DELETE FROM store.forecasts",
    "make a table": "CREATE TABLE own AS SELECT 1",
    "write a file": "COPY (SELECT 1) TO '{folder}/x.csv'",
    "export all": "EXPORT DATABASE '{folder}/x'",
    "read a file": "SELECT * FROM read_text('/etc/passwd')",
    "read a table of a file": "FROM '/etc/passwd'",
    "look for files": "FROM glob('/*')",
    "sniff a file": "FROM sniff_csv('/etc/passwd')",
    "attach": "ATTACH '{folder}/y.duckdb'",
    "attach what the writer has": "ATTACH '{home}/nextclose.duckdb' AS w",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "from the network": "FROM read_csv('https://127.0.0.1:9/x.csv')",
    "unlock": "SET lock_configuration = false",
    "more memory": "SET memory_limit = '100GB'",
    "files again": "SET enable_external_access = true",
    "a pragma": "PRAGMA enable_profiling",
    "the environment": "SELECT getenv('HOME')",
    "the writer's password": "FROM read_text('{home}/server-password')",
    "secrets": "CREATE SECRET s (TYPE s3)",
    "second statement": "SELECT 1; COPY (SELECT 1) TO '{folder}/z.csv'",
    "all memory, a string": "SELECT length(repeat('a', 2000000000))",
    "all memory, a list": "SELECT list(range) FROM range(1000000000)",
    "all memory, a sort": "SELECT * FROM range(2000000000) ORDER BY hash(range)",
    "all time": "SELECT count(*) FROM range(9000000) a, range(9000000) b WHERE (a.range * b.range + a.range) % 7 = 3",
    "all time, recursion": "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
}


THROUGH_EXPORT = ("write a file", "read a file", "attach", "unlock", "second statement", "all memory, a sort", "all time")
_TRY = """
import json, resource, sys
from app.cli import execute
codes = []
for tokens in json.load(sys.stdin):
    sys.stderr.write("\\x00")
    codes.append(execute(tokens))
print(json.dumps([codes, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


@pytest.mark.slow(40)
def test_attack_by_sql__is_refused_by_sql_and_export(copied, tmp_path, figure):
    """Code 2 and one line for each, no file made, nothing changed, no child larger than it may be. From a small process of its
    own, since Linux counts a child's parent as its memory until it is what it will be."""
    folder, before = tmp_path / "out", {p: p.stat().st_mtime_ns for p in copied.rglob("*") if p.is_file()}
    folder.mkdir()
    asked = {name: text.format(folder=folder, home=copied) for name, text in ATTACKS.items()}
    bounds = ["--timeout", "2", "--home", str(copied)]
    typed = [["sql", statement, *bounds] for statement in asked.values()]
    typed += [["export", "--query", asked[name], "--to", str(folder / "x.csv"), *bounds] for name in THROUGH_EXPORT]
    done = subprocess.run(
        [sys.executable, "-c", _TRY], cwd=ROOT, input=json.dumps(typed), capture_output=True, text=True, check=True, timeout=300
    )
    codes, largest = json.loads(done.stdout.splitlines()[-1])
    said = done.stderr.split("\0")[1:]
    blocked = sum(
        code == 2 and text.startswith("nextclose: ") and text.count("\n") == 1 for code, text in zip(codes, said, strict=True)
    )
    assert list(folder.iterdir()) == []
    assert {p: p.stat().st_mtime_ns for p in copied.rglob("*") if p.is_file()} == before
    figure(f"attacks by SQL: {blocked} blocked / {len(typed)} tried; largest child {largest:,.0f} MB")
    assert blocked == len(typed), list(zip(typed, codes, said, strict=True))
    assert largest < 512


def test_export__csv_parquet_and_excel_hold_the_same_rows(copied, tmp_path, capsys):
    import openpyxl
    import pyarrow.parquet as pq

    for ending in ("csv", "parquet", "xlsx"):
        file = tmp_path / f"today.{ending}"
        assert execute(["export", "latest_forecasts", "--to", str(file), "--home", str(copied), "--json"]) == 0
        [told] = json.loads(capsys.readouterr().out)["files"]
        assert told == {"table": "latest_forecasts", "file": str(file), "rows": 9, "bytes": file.stat().st_size}
    arrow = pq.read_table(tmp_path / "today.parquet")
    assert str(arrow.schema.field("origin").type) == "date32[day]" and str(arrow.schema.field("issued_at").type).startswith(
        "timestamp"
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "today.csv").read_bytes().decode())))
    assert [float(row["q50"]) for row in rows] == arrow["q50"].to_pylist()
    assert [date.fromisoformat(row["origin"]) for row in rows] == arrow["origin"].to_pylist()
    sheet = openpyxl.load_workbook(tmp_path / "today.xlsx")["latest_forecasts"]
    head, *cells = sheet.iter_rows(values_only=True)
    assert list(head) == arrow.schema.names and len(cells) == 9
    assert [row[head.index("q50")] for row in cells] == pytest.approx(arrow["q50"].to_pylist(), rel=1e-15)  # 16 digits
    assert cells[0][head.index("origin")].date() == arrow["origin"][0].as_py()


def test_export__formulas_stay_text(copied, tmp_path):
    import openpyxl

    query = "SELECT '=1+1' AS a, '@x' AS b, -1.5 AS c, 'nan'::DOUBLE AS d, chr(7) || 'bell' AS e"
    for ending in ("csv", "xlsx"):
        assert execute(["export", "--query", query, "--to", str(tmp_path / f"q.{ending}"), "--home", str(copied)]) == 0
    assert (tmp_path / "q.csv").read_text().splitlines()[1].startswith("'=1+1,'@x,-1.5,,")
    row = openpyxl.load_workbook(tmp_path / "q.xlsx").active[2]
    assert [(c.data_type, c.value) for c in row] == [("s", "=1+1"), ("s", "@x"), ("n", -1.5), ("n", None), ("s", " bell")]


def test_export__all_views_into_a_folder_and_a_book(copied, tmp_path, capsys):
    from storage.views import all_views

    views = {view.name for view in all_views() if not view.parameters}
    assert {order.file.stem for order in planned(("all",), None, tmp_path / "tables", "parquet", False)} == views
    two = ["export", "runs", "models", "--to", str(tmp_path / "tables"), "--format", "parquet"]
    assert execute([*two, "--home", str(copied)]) == 0
    assert {file.name for file in (tmp_path / "tables").iterdir()} == {"runs.parquet", "models.parquet"}
    assert execute(["export", "runs", "freshness", "--to", str(tmp_path / "two.xlsx"), "--home", str(copied)]) == 0
    assert "runs: 1 rows" in capsys.readouterr().out


def test_export__says_what_is_wrong_and_leaves_no_part(copied, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_text("mine")
    wrong = {
        ("export", "runs"): "--replace",
        ("export",): "name a view",
        ("export", "runs", "--query", "FROM runs"): "not both",
        ("export", "runs", "--to", "x.pdf"): ".csv, .parquet or .xlsx",
        ("export", "runs", "models", "--to", "x.csv"): "name a folder",
        ("export", "runs", "--to", "x.csv", "--format", "xlsx"): "leave one of the two out",
        ("export", "--query", "SELECT error('late') FROM range(5)", "--to", "late.csv"): "late",
    }
    for tokens, words in wrong.items():
        assert execute([*tokens, "--home", str(copied)]) == 2, tokens
        assert words in (said := capsys.readouterr().err) and said.count("\n") == 1, said
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["runs.csv"] and (tmp_path / "runs.csv").read_text() == "mine"
    assert (
        execute(["export", "runs", "--replace", "--home", str(copied)]) == 0
        and "finished_at" in (tmp_path / "runs.csv").read_text()
    )


def test_export__of_many_rows_takes_little_memory(copied, tmp_path):
    """Three million rows through a child that may not hold them: the parent grows by less than they weigh."""
    script = (
        "import json, re\nfrom app.cli import execute\n"
        f"code = execute(['export', '--query', 'SELECT range AS a, hash(range) AS b, range / 7 AS c FROM range(3000000)', "
        f"'--to', {str(tmp_path / 'x.parquet')!r}, '--home', {str(copied)!r}, '--json'])\n"
        "print(json.dumps([code, int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    code, peak = json.loads(done.stdout.splitlines()[-1])
    assert code == 0 and json.loads(done.stdout.splitlines()[0])["files"][0]["rows"] == 3_000_000
    assert peak < 300, peak


def test_planned__names_files_as_they_will_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert [o.file.relative_to(tmp_path).as_posix() for o in planned(("runs", "models"), None, None, None, False)] == [
        "runs.csv",
        "models.csv",
    ]
    assert [o.file.name for o in planned(("runs", "models"), None, None, "xlsx", False)] == ["nextclose.xlsx"]
    assert [o.file.relative_to(tmp_path).as_posix() for o in planned(("runs",), None, Path("there"), "parquet", False)] == [
        "there/runs.parquet"
    ]
