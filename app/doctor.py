"""What ``nextclose doctor`` looks at: one small function a check, each answers one line and what to type next.

A check gets the Patient and returns a Check; what it raises is its own answer, so that one broken thing hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from forecasting.errors import NextcloseError

if TYPE_CHECKING:
    from storage.home import Home
    from tasks.settings import Settings

Verdict = Literal["ok", "warning", "problem", "not looked at"]


@dataclass(frozen=True)
class Check:
    """One answer: ``sentence`` says what was found, ``next_step`` what to type (empty where there is nothing to do)."""

    name: str
    verdict: Verdict
    sentence: str
    next_step: str = ""


@dataclass
class Patient:
    """The installation that is looked over, at ``now`` (UTC). ``memo``: what one check found out and another may use."""

    home: Home
    environment: Mapping[str, str]
    now: datetime
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings; SettingError where they cannot be read."""
        if "settings" not in self.memo:
            from tasks.settings import read_settings

            self.memo["settings"] = read_settings(self.home.settings, self.environment)
        return self.memo["settings"]


Examination = Callable[[Patient], Check]


def ok(name: str, sentence: str) -> Check:
    return Check(name, "ok", sentence)


def warning(name: str, sentence: str, next_step: str) -> Check:
    return Check(name, "warning", sentence, next_step)


def problem(name: str, sentence: str, next_step: str) -> Check:
    return Check(name, "problem", sentence, next_step)


def not_looked_at(name: str, sentence: str) -> Check:
    return Check(name, "not looked at", sentence)


def examinations() -> dict[str, Examination]:
    """Every check by its name, in the order in which they are made."""
    from app import checks_home, checks_installation, checks_server

    found = {}
    for module in (checks_installation, checks_home, checks_server):
        found.update({name.removeprefix("check_"): fn for name, fn in vars(module).items() if name.startswith("check_")})
    return found


def look_over(patient: Patient, names: tuple[str, ...] | None = None) -> list[Check]:
    """The answers of all checks, or of those named."""
    return [_asked(name, fn, patient) for name, fn in examinations().items() if names is None or name in names]


def _asked(name: str, examination: Examination, patient: Patient) -> Check:
    try:
        return examination(patient)
    except NextcloseError as error:
        sentence, _, step = str(error).rpartition("; ")
        return problem(name, sentence or step, step if sentence else "look at docs/operations.md")
    except Exception as error:
        return problem(name, f"the check itself failed: {type(error).__name__}: {error}", "set NEXTCLOSE_DEBUG=1 and tell us")
