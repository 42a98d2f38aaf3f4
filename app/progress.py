"""How a run goes, on stderr: a moving line for a terminal, one plain line a step for everything else.

All that takes long is told through ``tasks.listening``; this is the one place that shows it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.listening import Listener

if TYPE_CHECKING:
    from rich.status import Status

#: Names under which a flow tells how far the whole of its rounds is.
PARTS = ("symbols", "sessions")

#: What each step does, in words for a person.
WORDS = {
    "fetch_prices": "fetching prices",
    "check_prices": "asking a second source",
    "store_prices": "checking and storing prices",
    "settle_universe": "looking who still trades",
    "fetch_macro": "asking for macro series",
    "store_macro": "storing macro series",
    "train": "training",
    "evaluate": "judging on sessions never seen",
    "gate": "asking the gate",
    "put_in_service": "putting in service",
    "turn_down": "turning down",
    "roll_back": "rolling back",
    "store_features": "storing features",
    "forecast": "forecasting",
    "score": "scoring what settled",
    "rank": "ranking the universe",
    "complete": "closing the run",
    "publish": "publishing",
    "search": "trying specifications",
    "load_prices": "reading and checking prices",
    "try_cases": "trying what is known",
    "judge_spec": "training, judging, asking the gate",
    "rank_blocks": "scoring ranks",
    "draw": "drawing",
    "draw_backtest": "drawing",
}


class Lines(Listener):
    """One line for each step that ended, and for everything worth a remark. How far a step is is for who watches."""

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        self._line(f"{WORDS.get(step, step)}{_of(detail)}: {summary} ({seconds:.1f} s)")

    def retrying(self, step: str, error: BaseException, seconds: float) -> None:
        self._line(f"{WORDS.get(step, step)}: {error}; trying again in {seconds:.0f} s")

    def noted(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        print("  " + "".join(c if c.isprintable() else " " for c in text), file=sys.stderr, flush=True)


class Left:
    """How long something still takes, from how fast it went so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._first, self._done = clock, clock(), 0.0, 0.0

    def seconds(self, done: float) -> float | None:
        """Seconds left when the share ``done`` (0..1) is done; None while that is a guess (less than three seconds in, or
        less than two percent done). A share that falls begins anew."""
        now = self._clock()
        if done < self._done:
            self._began, self._first = now, done
        self._done = done
        gone, went = now - self._began, done - self._first
        return gone * (1 - done) / went if gone >= 3 and went >= 0.02 else None


def in_words(seconds: float) -> str:
    """A time to wait, no more exact than a guess is: 40 s, 5 min, 1 h 20 min."""
    if seconds < 90:
        return f"{max(5 * round(seconds / 5), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Moving(Lines):
    """The same lines, and below them what is being done now, how far it is and how long it still takes."""

    def __init__(self, status: Status) -> None:
        self._status, self._now, self._whole, self._left = status, "", "", {}

    def started(self, step: str, detail: str) -> None:
        self._now = WORDS.get(step, step) + _of(detail)
        self._show(self._now)

    def advanced(self, step: str, done: float, note: str = "") -> None:
        done = min(max(done, 0.0), 1.0)
        left = self._left.setdefault(step, Left()).seconds(done)
        filled = round(20 * done)
        told = f"{step} {'━' * filled}{'╌' * (20 - filled)} {done:.0%}"
        told += f", about {in_words(left)} left" if left is not None and done < 1 else ""
        if step in PARTS:  # of the whole run: stays while its steps come and go
            self._whole = told if done < 1 else ""
            self._show(self._now)
        else:
            self._show(f"{self._now}: {told}" if self._now else told)

    def _show(self, text: str) -> None:
        from rich.text import Text

        shown = "  ".join(part for part in (self._whole, text) if part)
        self._status.update(Text(shown, no_wrap=True, overflow="ellipsis"))

    def _line(self, text: str) -> None:
        from rich.markup import escape

        printable = "".join(c if c.isprintable() else " " for c in text)
        self._status.console.print("  " + escape(printable), style="dim")


@contextmanager
def counting(label: str, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Context: a line on a terminal that says how many rows are done; nothing where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from app.printing import err

    with err().status(label) as status:
        yield lambda rows: status.update(f"{label}: {rows:,} rows")


class watching:
    """Context: progress on stderr while a flow runs inside (``quiet``: nothing but remarks)."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def __enter__(self) -> None:
        from tasks.listening import heard_by

        self._status = None
        listener: Listener = Remarks() if self._quiet else Lines()
        if not self._quiet and sys.stderr.isatty():
            from app.printing import err

            self._status = err().status("starting")
            self._status.start()
            listener = Moving(self._status)
        self._heard = heard_by(listener)
        self._heard.__enter__()

    def __exit__(self, *error: object) -> None:
        self._heard.__exit__(*error)
        if self._status is not None:
            self._status.stop()


class Remarks(Lines):
    """Only what a person must know even when a program reads the answer."""

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        pass


def _of(detail: str) -> str:
    return f" {detail}" if detail else ""
