"""Who is told how a run goes: the command line's progress lines, Prefect's log, or nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tasks.run import Run


T = TypeVar("T")


class Listener:
    """Told what happens, in the order in which it happens. This one keeps it to itself."""

    def opened(self, run: Run) -> None:
        """A run knows what it works on, and has the right to write."""

    def started(self, step: str, detail: str) -> None:
        """A step begins; ``detail`` says with what (a chunk of symbols, a span of sessions)."""

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        """A step ended well; ``summary`` is its receipt in words."""

    def retrying(self, step: str, error: BaseException, seconds: float) -> None:
        """A step failed and is tried again after ``seconds``."""

    def advanced(self, step: str, done: float, note: str = "") -> None:
        """A long step has done the share ``done`` (0..1) of its work."""

    def noted(self, text: str) -> None:
        """Something that a person should know: a failed symbol, a decision."""


_NOBODY = Listener()
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def tell() -> Listener:
    """The listener of the run under way."""
    return _listener.get() or _NOBODY


def one_by_one(step: str, items: Iterable[T]) -> Iterator[T]:
    """The items in turn; before each, whoever listens is told the share of them that is done."""
    several = list(items)
    for number, item in enumerate(several):
        if len(several) > 1:
            tell().advanced(step, number / len(several))
        yield item
    if len(several) > 1:
        tell().advanced(step, 1.0)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear what happens inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
