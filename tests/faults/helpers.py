"""Processes that do what the simulator asks of them until one of them dies, as it was to.

A fork a question would cost more than the question: the first run of a process is twice as slow as the next.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection

# No child may keep an end of another's pipe: nobody would hear of that one's death, nor it of ours.
_FORKING = threading.Lock()
_PIPES: set[Connection] = set()


class Helper:
    """A child that calls functions of simulated_run.py by name; begun anew after it was killed."""

    def __init__(self) -> None:
        self.pid = 0

    def ask(self, what: str, *arguments: object) -> dict:
        """The answer, or {'killed': True} where the child died over it."""
        self.tell(what, *arguments)
        return self.hear()

    def tell(self, what: str, *arguments: object) -> None:
        if not self.pid:
            self._begin()
        self.pipe.send((what, arguments))

    def hear(self) -> dict:
        try:
            return self.pipe.recv()
        except EOFError:
            _, status = os.waitpid(self.pid, 0)
            self._forget()
            died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            return {"killed": died == signal.SIGKILL, "signal": died}

    def end(self) -> None:
        if self.pid:
            self.pipe.close()
            os.waitpid(self.pid, 0)
            self._forget()

    def _forget(self) -> None:
        _PIPES.discard(self.pipe)
        self.pipe.close()
        self.pid = 0

    def _begin(self) -> None:
        with _FORKING:
            self.pipe, theirs = Pipe()
            _PIPES.add(self.pipe)
            self.pid = os.fork()
            if self.pid == 0:
                for pipe in _PIPES:
                    pipe.close()
                _serve(theirs)
            theirs.close()


class Helpers(threading.local):
    """Two a thread: one that does everything, and one that is in its way."""

    def __init__(self) -> None:
        self.mine, self.other = Helper(), Helper()


HELPERS = Helpers()


def _serve(pipe) -> None:
    from tests.faults import simulated_run

    try:
        while True:
            what, arguments = pipe.recv()
            try:
                answer = getattr(simulated_run, what)(*arguments)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}", "code": 1}
            pipe.send(answer)
    except (EOFError, OSError):
        os._exit(0)
    finally:
        os._exit(1)  # the child must never return into the parent's code
