"""Recorded answers of real services, and what tests of all web sources say of what came."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.sources.stand_in import Answer


def recorded(path: Path, kind: str = "application/json") -> Answer:
    """The recorded answer, out of its envelope where it has one."""
    text = path.read_text()
    if path.suffix == ".json":
        said = json.loads(text)
        if "response" in said:
            response = said["response"]
            return Answer(response.get("bodyJson", response.get("body")), response["status"], kind)
    return Answer(text, kind=kind)


def days(frame: pd.DataFrame) -> list[str]:
    return [str(d.date()) for d in frame["session"]]


def listed(actions: pd.DataFrame) -> list[tuple[str, str, float]]:
    return list(zip(days(actions), actions["kind"], actions["value"], strict=True))
