"""Installing afresh, from the lock and from the bounds alone: both give a server that starts and schedules.

sh start test tests/live/test_fresh_install.py -m live -s          (minutes, and some gigabytes of packages;
    NEXTCLOSE_PYTHON names another interpreter)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deployments.conftest import Served, _planned, free_port, wait_for
from tests.tiny import tiny_home

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("app", "deployments", "flows", "forecasting", "sources", "storage", "tasks")


def installed(folder: Path, how: str) -> Path:
    """A virtual environment with a copy of the project in it; its folder of commands."""
    project = folder / "project"
    for part in PARTS:
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "requirements.lock"):
        shutil.copy(ROOT / name, project)
    python = os.environ.get("NEXTCLOSE_PYTHON", sys.executable)
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    if how == "lock":
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(project / "requirements.lock")], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", str(project)], check=True)
    else:
        subprocess.run([*pip, str(project)], check=True)
    return folder / "venv" / "bin"


@pytest.mark.live
@pytest.mark.parametrize("how", ["lock", "bounds"])
def test_fresh_install__gives_a_server_that_starts_and_schedules(tmp_path, how, figure):
    begin = time.monotonic()
    commands = installed(tmp_path, how)
    took = time.monotonic() - begin
    home = tiny_home(tmp_path / "home")
    server = Served(home, free_port(), tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NEXTCLOSE_", "PYTHON"))}
    with (tmp_path / "serve.log").open("wb") as log:
        server.process = subprocess.Popen(
            [str(commands / "nextclose"), "serve", "--home", str(home), "--port", str(server.port)],
            cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: "ready for runs" in server.log or server.process.poll() is not None, "a runner")
        assert server.process.poll() is None, server.log[-3000:]
        planned = wait_for(lambda: _planned(server), "a scheduled run")
        assert server.stop() == 0
    finally:
        if server.process is not None:
            os.killpg(server.process.pid, signal.SIGKILL)
    seconds = time.monotonic() - begin
    figure(f"installed from the {how} in {took:.0f} s; {len(planned)} runs of the daily flow planned after {seconds:.0f} s")
