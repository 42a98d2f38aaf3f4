"""No process outlives the one that it works for, also where that one was killed with -9 and could not say goodbye."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

#: Names the process that runs flows, in the environment of the processes that it starts.
RUNNER = "NEXTCLOSE_RUNNER"
GRACE_SECONDS = 10.0  # to tell the server and to roll back, before the process ends without


def end_with_stdin() -> None:
    """Stop this process as SIGTERM does when its standard input ends: the other end is held open by the supervisor."""

    def wait() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock would be held when the interpreter ends
            pass
        stop()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def end_with_parent(environment: Mapping[str, str], parent: Callable[[], int] = os.getppid) -> bool:
    """Stop this process when the runner that started it is gone; whether there is such a runner."""
    wanted = environment.get(RUNNER, "")
    if not wanted.isdigit() or parent() != int(wanted):
        return False

    def watch() -> None:
        while parent() == int(wanted):
            time.sleep(0.5)
        stop()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    return True


def stop() -> None:
    """SIGTERM to this process, and SIGKILL where it has not ended after a while."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
