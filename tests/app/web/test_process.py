"""``nextclose web`` and ``nextclose report`` as a person starts them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.cli import execute
from benchmarks.made_store import RUN
from tests.app.web.conftest import TOKEN
from tests.architecture.test_imports import HEAVY

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def started(made):
    """started(home, ...) -> (process, address); ended after the test."""
    processes = []

    def start(home, *options: str, **environment: str):
        command = [sys.executable, "-m", "app.cli", "web", "--home", str(home), "--port", "0", "--json", *options]
        import os

        around = {**os.environ, "PYTHONUNBUFFERED": "", **environment}  # the line must come without that, too
        process = subprocess.Popen(command, cwd=ROOT, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process, json.loads(process.stdout.readline())["address"]

    yield start
    for process in processes:
        process.kill()
        process.wait(10)


def test_web__answers_refuses_and_ends_without_a_word(started, made):
    process, address = started(made.path, NEXTCLOSE_WEB__TOKEN=TOKEN)
    assert httpx.get(f"{address}/", timeout=30).status_code == 200
    assert httpx.get(f"{address}/api/v1/health").json()["edition"]
    assert httpx.get(f"{address}/", headers={"host": "evil.example"}).status_code == 400
    assert httpx.post(f"{address}/api/v1/runs", json={}).status_code == 401
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)
    said = process.stderr.read()
    assert "refused GET '/' for host 'evil.example': 400" in said and "refused to start a run: no token" in said
    assert "Traceback" not in said and TOKEN not in said and "leaked" not in said


def test_web__says_what_is_wrong_in_one_line(started, made, capsys):
    _, address = started(made.path)
    port = address.rpartition(":")[2]
    assert execute(["web", "--home", str(made.path), "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in (said := capsys.readouterr().err) and said.count("\n") == 1
    assert execute(["web", "--home", str(made.path), "--host", "0.0.0.0"]) == 2
    assert "web.hosts" in (said := capsys.readouterr().err) and said.count("\n") == 1


def test_web__loads_neither_prefect_nor_tensorflow_nor_pandas(made):
    script = f"""
import json, sys
from starlette.testclient import TestClient
from app.cli import build
import app.commands.web
from app.web.application import create_app
from storage.home import Home
from tasks.web_settings import WebSettings
app = create_app(Home({str(made.path)!r}), WebSettings(token={TOKEN!r}))
with TestClient(app, base_url="http://localhost") as client:
    for path in ("/", "/symbols/S001", "/scoreboard", "/models", "/data", "/runs", "/runs/{RUN}", "/api", "/scoreboard/pit.png",
                 "/api/v1/forecasts", "/api/v1/forecasts?format=csv", "/api/v1/health", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 200, path
print(json.dumps([name for name in {[*HEAVY]!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_report__of_a_run_is_one_file_that_needs_nothing_else(made, tmp_path, capsys):
    file = tmp_path / "run.html"
    assert execute(["report", RUN[:6], "--home", str(made.path), "--out", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert "<script" not in text and "/static/" not in text and not re.findall(r'(?:src|href)="https?:', text)
    assert text.count("data:image/png;base64,") >= 5 and "S001" in text and "G03" in text and "2.1" in text
    assert file.stat().st_size < 3_000_000
    assert execute(["report", "--home", str(made.path), "--out", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["file"] == str(file)


def test_report__says_what_is_wrong(made, tmp_path, capsys):
    assert execute(["report", "0000", "--home", str(made.path)]) == 2 and "0 runs begin with" in capsys.readouterr().err
    (tmp_path / "x.json").write_text('{"a": 1}', encoding="utf-8")
    assert execute(["report", "--backtest", str(tmp_path / "x.json"), "--home", str(made.path)]) == 2
    assert "is not what `nextclose backtest --json` answers" in capsys.readouterr().err
    assert execute(["report", "--home", str(tmp_path)]) == 5
    assert execute(["report", "--home", str(made.path), "--out", str(tmp_path / "no" / "such" / "x.html")]) == 5


def test_report__of_a_backtest(tmp_path):
    """From what the command answered, by hand: two horizons, three rivals."""
    scored = {
        "pinball": 0.01,
        "mae": 0.02,
        "rmse": 0.03,
        "mse": 0.001,
        "mape": 0.02,
        "mase": 1.0,
        "direction": 0.52,
        "rank_correlation": 0.01,
    }
    rivals = {"persistence": 0.02, "ewma": 0.01, "har": -0.001}
    horizons = [
        {"horizon": h, "sessions": 100, **scored, "coverage": {"50": 0.5, "80": 0.8, "90": 0.9}, "below": {"05": 0.05,
        "50": 0.49, "95": 0.95},
         "skill": rivals, "dm_t": rivals, "p_corrected": rivals, "by_year": {"2020": {"skill": 0.02}, "2021": {"skill": None}}}
        for h in (1, 5)
    ]  # fmt: skip
    paper = {
        "yearly_return": 0.05,
        "yearly_cost": 0.01,
        "volatility": 0.1,
        "sharpe": 0.5,
        "sharpe_error": 0.4,
        "turnover": 0.2,
        "drawdown": 0.1,
    }
    told = {
        "judged": ["2020-01-02", "2021-12-31"], "horizons": horizons, "trials": 3, "portfolio": {"horizon": 5,
        "forecasters": {"lstm": paper}},
        "gate": {"verdict": "refused", "sentence": "lstm is <not> promoted", "checks": [{"code": "G03", "name": "rivals",
        "verdict": "fail", "sentence": "no"}]},
    }  # fmt: skip
    (tmp_path / "b.json").write_text(json.dumps(told), encoding="utf-8")
    file = tmp_path / "b.html"
    assert execute(["report", "--backtest", str(tmp_path / "b.json"), "--out", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert (
        "lstm is &lt;not&gt; promoted" in text
        and "3 trials" in text
        and text.count("data:image/png") == 3
        and "<script" not in text
    )
