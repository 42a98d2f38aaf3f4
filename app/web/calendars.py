"""How far the stored sessions are behind what the exchanges' calendars expect by now."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from app.web.queries import fresh
from storage.editions import Edition

log = logging.getLogger("nextclose.web")

FINAL_AFTER = timedelta(minutes=30)
_AHEAD = timedelta(days=45)
_LATE_CLOSE = time(22)  # UTC; for a weekday whose true close is not known yet


@dataclass(frozen=True)
class Lag:
    """Of one calendar: the newest stored session, the one whose bar is final by now, and how many lie between.

    ``exact`` is False where weekdays were counted: the calendar is not known, or not yet looked up.
    """

    calendar: str
    newest: date
    expected: date
    sessions: int
    exact: bool


class Calendars:
    """Looks the calendars up in a child process, once an edition, and counts from then on."""

    def __init__(self, now: Callable[[], datetime], child: bool = True) -> None:
        self.now, self.child = now, child
        self._lock = threading.Lock()
        self._of = ""  # the edition that the rest is about
        self._newest: dict[str, date] = {}
        self._coming: dict[str, list[tuple[str, int]]] = {}
        self._ready = threading.Event()

    def epoch(self, edition: Edition) -> str:
        """Changes when another answer to ``lags`` is due. Cheap: what is not known yet is looked up beside."""
        if edition.id != self._of:
            with self._lock:
                if edition.id != self._of:
                    self._of, self._newest, self._coming = edition.id, {}, {}
                    self._ready.clear()
                    threading.Thread(target=self._look_up, args=(edition,), daemon=True).start()
        return ",".join(f"{lag.calendar}{lag.expected}{lag.exact}" for lag in self._lags(self._newest))

    def lags(self, edition: Edition) -> list[Lag]:
        """One entry a calendar, the one with the newest session first."""
        return self._lags(newest_of(edition))

    def wait(self, seconds: float) -> bool:
        """Until the calendars are looked up; False where that took longer."""
        return self._ready.wait(seconds)

    def _lags(self, newest: dict[str, date]) -> list[Lag]:
        now = self.now()
        return sorted(
            (self._lag(name, day, now) for name, day in newest.items()), key=lambda lag: (-lag.newest.toordinal(), lag.calendar)
        )

    def _lag(self, name: str, newest: date, now: datetime) -> Lag:
        coming = self._coming.get(name)
        if coming is not None:
            limit = (now - FINAL_AFTER).timestamp()
            final = [day for day, close in coming if close <= limit]
            return Lag(name, newest, date.fromisoformat(final[-1]) if final else newest, len(final), True)
        days, day = [], newest + timedelta(days=1)
        while datetime.combine(day, _LATE_CLOSE, UTC) <= now - FINAL_AFTER:
            if day.weekday() < 5:
                days.append(day)
            day += timedelta(days=1)
        return Lag(name, newest, days[-1] if days else newest, len(days), False)

    def _look_up(self, edition: Edition) -> None:
        try:
            with edition.nobody_waits():
                newest = newest_of(edition)
            coming = self._ask(newest) if self.child and newest else {}
            with self._lock:
                if edition.id == self._of:
                    self._newest, self._coming = newest, coming
        except Exception as error:  # weekdays are counted instead
            log.warning("the exchanges' calendars could not be looked up: %s", error)
        finally:
            self._ready.set()

    def _ask(self, newest: dict[str, date]) -> dict[str, list[tuple[str, int]]]:
        asked = {"calendars": {name: str(day) for name, day in newest.items()}, "until": str((self.now() + _AHEAD).date())}
        done = subprocess.run(
            [sys.executable, "-m", "app.web.sessions_child"], input=json.dumps(asked), capture_output=True, text=True,
            timeout=120, check=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return {name: [(day, close) for day, close in found] for name, found in json.loads(done.stdout).items()}


def newest_of(edition: Edition) -> dict[str, date]:
    """The newest stored session of each calendar."""

    newest: dict[str, date] = {}
    for row in fresh(edition).values():
        if row["calendar"] and row["last_session"]:
            newest[row["calendar"]] = max(newest.get(row["calendar"], row["last_session"]), row["last_session"])
    return newest
