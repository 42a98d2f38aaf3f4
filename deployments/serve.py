"""``nextclose serve``: the Prefect server with its UI, and the process that runs the flows; one command, one folder.

    supervisor ──► server   answers on the address, keeps its records in the home        (deployments/server.py)
               └─► runner   registers the deployments, starts a process for each run    (deployments/runner.py)

The supervisor imports no Prefect. A child that ends is started again; both end with the supervisor, whatever ends it: each
holds one end of a pipe that it can hear closing. On SIGTERM or Ctrl-C the runner ends first, then the server; a second signal
ends both at once.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deployments.environment import Address, address_of, flows_environment, server_environment
from deployments.password import VARIABLE, Password, password_for
from forecasting.errors import AlreadyRunning, HomeNotWritable, InputError, NextcloseError
from tasks.loopback import is_loopback

if TYPE_CHECKING:
    from tasks.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
LOCK = ".serving"
START_SECONDS = 300.0  # a server on a slow machine makes its database first
RUNNER_SECONDS, SERVER_SECONDS = 45.0, 20.0  # to end in peace
PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)  # before a child that ended is started again
HEALTHY_SECONDS = 300.0  # after so long the pauses begin anew
_DIRECTLY = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy of the environment does not know this machine


@dataclass
class Child:
    """A process that the supervisor keeps alive."""

    name: str
    command: list[str]
    environment: dict[str, str]
    patience: float
    process: subprocess.Popen[bytes] | None = None
    ended: int = 0  # times in a row
    since: float = 0.0
    again_at: float = 0.0

    def start(self) -> None:
        # In a session of its own, so that Ctrl-C reaches the supervisor alone, which knows the order.
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        )
        self.since = time.monotonic()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, hurry: threading.Event) -> None:
        """SIGTERM, and SIGKILL to it and all that it started where it does not end in time."""
        if self.process is None:
            return
        if self.running():
            self.process.terminate()
            give_up = time.monotonic() + self.patience
            while self.running() and time.monotonic() < give_up and not hurry.is_set():
                time.sleep(0.1)
        _kill_group(self.process.pid)
        self.process.wait()
        self.process = None


@dataclass
class Supervisor:
    """Keeps both children alive until a signal; see the module's text."""

    server: Child
    runner: Child | None
    address: Address
    stopping: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Until a signal; 0, or 1 where the server does not start at all."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)
        try:
            self.server.start()
            if not self._answers():
                return 0 if self.stopping.is_set() else self._failed()
            print(f"nextclose: the Prefect UI is at {self.address.url}", flush=True)
            if self.runner is not None:
                self.runner.start()
            while not self.stopping.wait(0.3):
                for child in (self.server, self.runner):
                    if child is not None:
                        self._keep_alive(child)
            print("nextclose: stopping; a run under way goes on where it stood after the next start", flush=True)
            return 0
        finally:
            for child in (self.runner, self.server):
                if child is not None:
                    child.stop(self.hurry)

    def _signalled(self, number: int, frame: object) -> None:
        (self.hurry if self.stopping.is_set() else self.stopping).set()

    def _failed(self) -> int:
        print("nextclose: the Prefect server did not start; its words are above", file=sys.stderr, flush=True)
        return 1

    def _answers(self) -> bool:
        """Wait until the server answers; False where it ended or takes too long."""
        give_up = time.monotonic() + START_SECONDS
        while self.server.running() and time.monotonic() < give_up and not self.stopping.is_set():
            if healthy(self.address):
                return True
            self.stopping.wait(0.2)
        return False

    def _keep_alive(self, child: Child) -> None:
        now = time.monotonic()
        if child.running():
            if now - child.since > HEALTHY_SECONDS:
                child.ended = 0
            return
        if child.process is not None:
            code = child.process.returncode
            _kill_group(child.process.pid)  # what it may have left
            child.process = None
            child.again_at = now + PAUSES[min(child.ended, len(PAUSES) - 1)]
            child.ended += 1
            print(f"nextclose: the {child.name} ended with code {code}; it is started again", file=sys.stderr, flush=True)
        elif now >= child.again_at:
            child.start()


def healthy(address: Address, seconds: float = 2.0) -> bool:
    """Whether the server at ``address`` answers."""
    try:
        with _DIRECTLY.open(f"{address.api}/health", timeout=seconds) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def supervisor_for(
    home: Path, settings: Settings, base: Mapping[str, str], password: Password, address: Address, flows: bool = True
) -> Supervisor:
    """The supervisor with its children, nothing started yet."""
    (home / "prefect").mkdir(mode=0o700, exist_ok=True)
    python = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m"]
    said = [f"--name={name}" for name in address.hosts] + [f"--origin={origin}" for origin in address.origins]
    server = Child(
        "server",
        [*python, "deployments.server", f"--host={address.host}", f"--port={address.port}", *said],
        server_environment(base, home, settings.serve, address, password.login),
        SERVER_SECONDS,
    )
    runner = Child(
        "runner",
        [*python, "deployments.runner"],
        flows_environment(base, home, settings.serve, address, password.login),
        RUNNER_SECONDS,
    )
    return Supervisor(server, runner if flows else None, address)


def lock_home(home: Path, address: Address) -> IO[str]:
    """The file that says who serves this home and where, locked; AlreadyRunning where somebody does."""
    file = (home / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        served = serving(home) or {}
        file.close()
        where = f"at {served['url']} (pid {served['pid']})" if served else "already"
        raise AlreadyRunning(f"already running: {home} is served {where}; stop that one first") from None
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "url": address.url, "api": address.api}))
    file.flush()
    return file


def serving(home: Path) -> dict[str, str] | None:
    """What the process that serves ``home`` says of itself (pid, url, api); None where nobody does."""
    try:
        with (home / LOCK).open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except OSError:
                return json.loads(file.read())
    except (OSError, ValueError):
        return None


def require_free(address: Address) -> None:
    """InputError where something listens already."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise InputError(
                f"{address.host}:{address.port} cannot be listened on ({error.strerror}); name another one with --port, "
                "or serve.port in the settings"
            ) from error


def serve(home: Path, settings: Settings, environment: Mapping[str, str], flows: bool = True) -> int:
    """Serve ``home`` until a signal; the exit code."""
    from storage.home import Home

    Home(home).ensure_writable()
    chosen = VARIABLE in environment
    address = address_of(settings.serve, chosen)
    with lock_home(home, address):
        password = password_for(home, environment)
        require_free(address)
        print(f"nextclose: serving {home}; log in with {_login_words(password)}", flush=True)
        if not is_loopback(address.host) and not address.url.startswith("https://"):
            print("nextclose: others can reach it without TLS; put a proxy with https before it", file=sys.stderr, flush=True)
        return supervisor_for(home, settings, environment, password, address, flows).run()


def _login_words(password: Password) -> str:
    if password.made_now:
        return f"the password that was just made; {password.how}"
    return f"the password; {password.how}"


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main(arguments: Sequence[str] | None = None) -> int:
    from flows.entry import home_path, settings_for
    from flows.parameters import Parameters

    said = argparse.ArgumentParser(prog="nextclose serve")
    said.add_argument("--home")
    said.add_argument("--host")
    said.add_argument("--port", type=int)
    said.add_argument("--no-flows", action="store_true")
    wanted = said.parse_args(arguments)
    environment = dict(os.environ)
    for name in ("host", "port"):
        if getattr(wanted, name) is not None:
            environment[f"NEXTCLOSE_SERVE__{name.upper()}"] = os.environ[f"NEXTCLOSE_SERVE__{name.upper()}"] = str(
                getattr(wanted, name)
            )
    request = Parameters(home=wanted.home)
    try:
        return serve(home_path(request), settings_for(request), environment, flows=not wanted.no_flows)
    except (NextcloseError, HomeNotWritable) as error:
        print(f"nextclose: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
