"""One real `nextclose serve` for all tests of this folder, started as an operator would, for a home of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.prefect_api import AskingAgain, csrf_headers
from tests.flows.conftest import no_environment  # noqa: F401

PATIENCE = 240
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(what: Callable[[], Any], words: str, seconds: float = PATIENCE) -> Any:
    """What ``what`` answers as soon as that is true of something."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail(f"not within {seconds:.0f} seconds: {words}")


@dataclass
class Served:
    """A home that `nextclose serve` serves, and what a client needs to speak to it."""

    home: Path
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    planned: list[dict[str, Any]] | None = None  # the runs of the daily flow that the server planned at its first start

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def login(self) -> tuple[str, str]:
        user, _, password = (self.home / "server-password").read_text().strip().partition(":")
        return user, password

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until its runner asks for work."""
        before = self.log.count("ready for runs") if (self.folder / "serve.log").exists() else 0
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NEXTCLOSE_"))}
        environment |= {"NEXTCLOSE_SERVE__POLL_SECONDS": "1", "COLUMNS": "200"}
        # A company's proxy that does not know this machine: nobody may ask it for what is here.
        environment |= {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve", "--home", str(self.home), "--port", str(self.port)],
                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_for(
            lambda: self.log.count("ready for runs") > before or self.process.poll() is not None,
            f"a runner:\n{self.log[-3000:]}",
        )
        assert self.process.poll() is None, self.log[-3000:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal to the supervisor alone and wait; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(90)
        self.process = None
        return code

    def children(self) -> dict[int, str]:
        """Every process below the supervisor, by its command line."""
        return {pid: command for pid, command in _descendants(self.process.pid).items() if pid != self.process.pid}

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """The API's answer as plain values, with password and CSRF token."""
        with AskingAgain(self.url, self.login, patience=30) as client:
            if method != "GET":
                more["headers"] = csrf_headers(client)
            answer = client.request(method, path, **more).raise_for_status()
            return answer.json() if answer.content else None

    def trigger(self, deployment: str, request: dict[str, Any]) -> str:
        """Press *Run* with these parameters; the id of the flow run."""
        identity = self.ask("GET", f"/deployments/name/{deployment}")["id"]
        return self.ask("POST", f"/deployments/{identity}/create_flow_run", json={"parameters": {"request": request}})["id"]

    def flow_run(self, identity: str) -> dict[str, Any]:
        return self.ask("GET", f"/flow_runs/{identity}")

    def ended(self, identity: str) -> dict[str, Any]:
        """The flow run once it has ended for good."""
        final = ("COMPLETED", "FAILED", "CANCELLED")
        return wait_for(
            lambda: run if (run := self.flow_run(identity))["state"]["type"] in final else None,
            f"the end of {identity}:\n{self.log[-3000:]}",
        )


def _descendants(pid: int) -> dict[int, str]:
    found = {}
    with contextlib.suppress(OSError):
        found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        for thread in Path(f"/proc/{pid}/task").glob("*/children"):  # each thread has its own
            for child in thread.read_text().split():
                found |= _descendants(int(child))
    return found


_OPEN = contextlib.ExitStack()  # the server, and this process as its client


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Close both after the last test of the folder: a server with nothing to do takes a tenth of a core from the others."""
    if nextitem is not None and nextitem.path.parent == item.path.parent:
        return
    items = item.session.items
    spread = "PYTEST_XDIST_WORKER" in os.environ  # then not all items are for this process, and those of a folder come together
    if spread or all(later.path.parent != item.path.parent for later in items[items.index(item) + 1 :]):
        _OPEN.close()


@pytest.fixture(scope="session")
def served(request, finished, tmp_path_factory) -> Served:
    """The server of this folder; its home is a copy of the one in which the day of 2021-03-31 was done."""
    request.addfinalizer(_OPEN.close)
    return _OPEN.enter_context(_serving(finished[0], tmp_path_factory.mktemp("served")))


@contextlib.contextmanager
def _serving(finished: Path, folder: Path) -> Iterator[Served]:
    server = Served(Path(shutil.copytree(finished, folder / "home")), free_port(), folder)
    server.start()
    try:
        wait_for(lambda: _planned(server), "a scheduled run")  # SQLAlchemy 2.1 plans none
        server.planned = _planned(server)
        yield server
    finally:
        if server.process is not None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                os.killpg(server.process.pid, signal.SIGKILL)


@pytest.fixture
def first_day(served, finished) -> None:
    """The served home as it was when only 2021-03-31 was done, whichever file's tests had the server before."""
    for there in finished[0].iterdir():
        ours = served.home / there.name
        if there.is_dir():
            shutil.rmtree(ours, ignore_errors=True)
            shutil.copytree(there, ours)
        else:
            ours.unlink(missing_ok=True)
            shutil.copy2(there, ours)
    (served.home / "nextclose.duckdb.wal").unlink(missing_ok=True)


def _planned(server: Served) -> list[dict[str, Any]]:
    """The runs of the daily flow that the server plans."""
    daily = server.ask("GET", "/deployments/name/daily/daily")["id"]
    wanted = {"deployments": {"id": {"any_": [daily]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    return server.ask("POST", "/flow_runs/filter", json=wanted)


@pytest.fixture(scope="session")
def prefect_server(served, tmp_path_factory) -> str:
    """The address of the server's API; this process is a client with the password as long as the server is there."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    login = ":".join(served.login)
    _OPEN.enter_context(temporary_settings({PREFECT_API_URL: served.url, PREFECT_API_AUTH_STRING: login, PREFECT_HOME: home}))
    return served.url


@pytest.fixture
def client(prefect_server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client
