"""The processes and clusters of a run: gone with it, closed to others, and asked for in words that say what to type."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecasting.errors import SettingError
from tasks.settings import read_settings, settings_of
from tasks.settings_running import Running
from tasks.spreading import crew
from tests.tasks.runners import who, with_run
from tests.tiny import tiny_home

ROOT = Path(__file__).resolve().parents[2]

FOLLOWED = """
import time
from tasks.settings_running import Running
from tasks.spreading import crew
if __name__ == "__main__":
    with crew(Running(task_runner={name!r}, workers=2), time.sleep, network=False) as hands:
        first = [hands.submit(0.1) for _ in range(4)]
        print([one.result() for one in first], flush=True)
        hands.submit(600)
        hands.submit(600)
        time.sleep(600)
"""


def below(pid: int) -> set[int]:
    """Every process below ``pid``."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in thread.read_text().split():
            found |= {int(child)} | below(int(child))
    return found


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_workers__of_a_run_that_was_killed_are_gone(name, tmp_path):
    """With -9, in the middle of work: nobody is left to say that it is over."""
    if name == "dask":
        pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    script = tmp_path / "killed.py"
    script.write_text(FOLLOWED.format(name=name))
    run = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                           stdout=subprocess.PIPE)  # fmt: skip
    assert run.stdout.readline() == "[None, None, None, None]\n"
    mine = below(run.pid)
    assert len(mine) >= 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    until = time.monotonic() + 60
    while (left := {pid for pid in mine if alive(pid)}) and time.monotonic() < until:
        time.sleep(0.2)
    assert left == set()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cluster__that_is_started_for_a_run_listens_on_this_machine_and_wants_a_certificate():
    """Whoever can speak to a scheduler can have anything executed: other users of the machine must not."""
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    import distributed

    before, others = listening({os.getpid(), *below(os.getpid())}), set(distributed.Scheduler._instances)
    with crew(Running(task_runner="dask", workers=2), who, network=False) as hands:
        assert hands.submit(1).result()[0] == 1
        places = set(listening({os.getpid(), *below(os.getpid())})) - set(before)
        open_to_others = [place for place in places if not place.startswith("127.0.0.1:")]
        shown = [place for place in places if answers_a_browser(place)]
        [scheduler] = set(distributed.Scheduler._instances) - others
        assert len(places) > 4 and scheduler.address.startswith("tls://127.0.0.1:")
    assert open_to_others == [] and shown == []


def answers_a_browser(place: str) -> bool:
    import httpx

    try:
        pages = [
            httpx.get(f"http://{place}/{page}", timeout=2, trust_env=False).status_code for page in ("health", "status", "")
        ]
    except httpx.HTTPError:
        return False
    return any(code < 400 for code in pages)


def listening(pids: set[int]) -> list[str]:
    """host:port of every TCP socket (IPv4 and IPv6) that these processes listen on."""
    inodes = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(os.readlink(fd))
            except OSError:
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in inodes:
                host, port = parts[1].split(":")
                address = ".".join(str(int(host[i : i + 2], 16)) for i in (6, 4, 2, 0)) if table == "tcp" else host
                found.append(f"{address}:{int(port, 16)}")
    return found


def test_runner__that_is_not_installed_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr("tasks.clusters.find_spec", lambda name: None)
    for name in ("dask", "ray"):
        with pytest.raises(SettingError) as caught, crew(Running(task_runner=name), who):
            pass
        assert f"pip install 'nextclose[{name}]'" in str(caught.value) and "\n" not in str(caught.value)


def test_run__asks_for_the_runner_before_it_fetches(tmp_path, monkeypatch):
    from flows.ingest import ingest
    from flows.parameters import Ingest

    monkeypatch.setattr("tasks.clusters.find_spec", lambda name: None)
    home = tiny_home(tmp_path / "home")
    with pytest.raises(SettingError, match="nextclose.dask."):
        ingest(Ingest(home=with_run(home, Running(task_runner="dask"))))
    assert not (home / "landing").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task_runner": "daks"}, "run.task_runner is 'daks'"),
        ({"workers": 0}, "run.workers is 0"),
        ({"address": "tcp://127.0.0.1:8786"}, "set task_runner to dask or ray"),
    ],
)
def test_settings__of_the_runner_say_what_is_wrong(values, words):
    with pytest.raises(SettingError) as caught:
        settings_of({"run": values})
    assert words in str(caught.value)


def test_cluster__that_does_not_answer_is_told_in_a_line(monkeypatch):
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(SettingError) as caught:
        with crew(Running(task_runner="dask", address="tcp://127.0.0.1:9"), who):
            pass
    assert "run.address is 'tcp://127.0.0.1:9'; expected a dask cluster that answers" in str(caught.value) and "\n" not in str(
        caught.value
    )


def test_runner__is_no_part_of_what_a_run_is(tmp_path):
    """The same run, killed on one machine, goes on with a cluster: its id does not change."""
    plain, other = (
        read_settings(tmp_path / "none", {}),
        read_settings(tmp_path / "none", {"NEXTCLOSE_RUN__TASK_RUNNER": "dask"}),
    )
    assert other.run.task_runner == "dask" and plain.digest == other.digest
