"""The keys of web sources. They live in the environment alone: never in settings, parameters, records or messages."""

from __future__ import annotations

import os


def from_environment(*names: str) -> str | None:
    """The first of these variables that is set, without blanks around it; None where none is."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)
