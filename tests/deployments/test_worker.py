"""A work pool and a real `prefect worker`: a run on it, and one whose machine is lost, which only its silence can tell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.automations import MISSED_BEATS, put_in_place
from tasks.settings_serving import Notify
from tests.deployments.conftest import ROOT, _descendants, wait_for
from tests.tiny import LAST

POOL = "elsewhere"
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]


@pytest.fixture(scope="module")
def worker(served, finished, tmp_path_factory) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Its process, and the home that its runs work for: what the first lines of deployments/prefect.yaml say, typed."""
    folder = tmp_path_factory.mktemp("worker")
    home = Path(shutil.copytree(finished[0], folder / "home"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NEXTCLOSE_"))} | {
        "PREFECT_API_URL": served.url, "PREFECT_API_AUTH_STRING": ":".join(served.login),
        "PREFECT_HOME": str(folder / "prefect"), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "PREFECT_WORKER_QUERY_SECONDS": "1",
        "NEXTCLOSE_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }  # fmt: skip
    text = (ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^  - name: (.+)$", r"  - name: pool-own-\1", text, flags=re.MULTILINE)  # the others are served
    text = text.replace("  name: nextclose\n", f"  name: {POOL}\n").replace('cron: "', 'active: false\n        cron: "')
    (folder / "prefect.yaml").write_text(text, encoding="utf-8")
    some = [word for name in ("ingest", "weekly-controls") for word in ("--name", f"pool-own-{name}")]
    for arguments in (
        ["work-pool", "create", POOL, "--type", "process", "--overwrite"],
        ["deploy", *some, "--prefect-file", str(folder / "prefect.yaml")],
    ):
        done = subprocess.run(
            [*PREFECT, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    command = [sys.executable, "-m", "deployments.automations"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "nextclose: 6 automations are in place\n", done.stderr[-1500:]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*PREFECT, "worker", "start", "--pool", POOL, "--type", "process", "--limit", "2"],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process, home
    finally:
        for pid in _descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow(30)
def test_worker__runs_a_deployment_of_the_file(served, worker):
    """Triggered by the API, taken up by the worker, done in the home that the worker's machine names."""
    from storage.database import Database
    from storage.home import Home

    run = served.ended(served.trigger("ingest/pool-own-ingest", {"end": LAST}))
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["work_pool_name"] == POOL and run["name"] == f"ingest-{LAST}"
    with Database(Home(worker[1])).reading() as con:
        assert str(con.execute("SELECT max(session) FROM store.bars").fetchone()[0])[:10] == LAST


@pytest.mark.slow(40)
def test_run__whose_machine_is_lost_is_marked_as_crashed_and_frees_its_place(served, worker, prefect_server):
    """Worker and run are killed with -9 in the same moment, so nobody is left to say so: the zombie automation does, here after
    10 seconds without a heartbeat instead of 300."""
    put_in_place(Notify(), heartbeat_seconds=10 / MISSED_BEATS)
    try:
        run = served.trigger("controls/pool-own-weekly-controls", {"size": "full", "processes": 1})
        beats = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "any_resource": {"id": [f"prefect.flow-run.{run}"]}}
        wait_for(lambda: served.ask("POST", "/events/filter", json={"filter": beats})["events"], "a heartbeat", 120)
        for pid in _descendants(worker[0].pid):
            os.kill(pid, signal.SIGKILL)
        assert served.flow_run(run)["state"]["type"] == "RUNNING"
        state = wait_for(
            lambda: state if (state := served.flow_run(run)["state"])["type"] == "CRASHED" else None, "the zombie", 120
        )
        assert state["message"] == f"no sign of life for {MISSED_BEATS} heartbeats"
        limit = served.ask("GET", "/deployments/name/controls/pool-own-weekly-controls")["global_concurrency_limit"]
        assert limit["limit"] == 1 and limit["active_slots"] == 0
    finally:
        put_in_place(Notify())
