"""How a run goes, on stderr: a moving line for a terminal, one plain line a step for everything else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tasks.listening import Listener

if TYPE_CHECKING:
    from rich.status import Status

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
    """One line for each step that ended, and for everything worth a remark."""

    def __init__(self) -> None:
        self._told = 0.0

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        self._line(f"{WORDS.get(step, step)}{_of(detail)}: {summary} ({seconds:.1f} s)")

    def retrying(self, step: str, error: BaseException, seconds: float) -> None:
        self._line(f"{WORDS.get(step, step)}: {error}; trying again in {seconds:.0f} s")

    def noted(self, text: str) -> None:
        self._line(text)

    def advanced(self, step: str, done: float, note: str = "") -> None:
        if time.monotonic() - self._told > 15:  # a log wants a sign of life, not a film
            self._line(f"{step}: {done:.0%}")

    def _line(self, text: str) -> None:
        self._told = time.monotonic()
        print("  " + "".join(c if c.isprintable() else " " for c in text), file=sys.stderr, flush=True)


class Moving(Lines):
    """The same lines, and below them what is being done now and how far it is."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self._status, self._now = status, ""

    def started(self, step: str, detail: str) -> None:
        self._now = WORDS.get(step, step) + _of(detail)
        self._show(self._now)

    def advanced(self, step: str, done: float, note: str = "") -> None:
        filled = round(20 * min(max(done, 0.0), 1.0))
        self._show(f"{self._now}: {step} {'━' * filled}{'╌' * (20 - filled)} {done:.0%}")

    def _show(self, text: str) -> None:
        from rich.markup import escape

        self._status.update(escape(text))

    def _line(self, text: str) -> None:
        from rich.markup import escape

        printable = "".join(c if c.isprintable() else " " for c in text)
        self._status.console.print("  " + escape(printable), style="dim")


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

    def advanced(self, step: str, done: float, note: str = "") -> None:
        pass


def _of(detail: str) -> str:
    return f" {detail}" if detail else ""
