"""Named places at which a test can kill the process, as a power cut would. Off unless ``NEXTCLOSE_FAULT`` names one.

``NEXTCLOSE_FAULT=after:forecast`` ends the process with SIGKILL right after the step ``forecast`` has committed and
before anybody was told so; ``before:forecast#2`` just before that step begins for the second time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def fault_point(place: str) -> None:
    """Die here if the environment asks for it; otherwise do nothing."""
    wanted = os.environ.get("NEXTCLOSE_FAULT")
    if not wanted:
        return
    name, _, turn = wanted.partition("#")
    _passed[place] += 1
    if place == name and _passed[place] == int(turn or 1):
        os.kill(os.getpid(), signal.SIGKILL)
