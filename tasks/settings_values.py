"""The settings as they are written: the TOML file of the home with the environment above it, not yet checked."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forecasting.errors import SettingError

PREFIX = "NEXTCLOSE_"
#: Names that start like a setting and are none; each is read in the one place that needs it.
NOT_SETTINGS = frozenset({"HOME", "DEBUG", "FAULT", "PYTHON", "THREADS", "SHARED_DATA", "PASSWORD", "RUNNER"})
SECTIONS = (
    "universe", "source", "sources", "macro", "lstm", "features", "evaluation", "quality", "gate", "rivals", "retraining",
    "drift", "promotion", "tuning", "catching", "storage", "run", "serve", "notify", "web",
)  # fmt: skip


def read_values(file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Nested plain values of ``file`` (which need not exist) and ``environment``; SettingError where they cannot be read."""
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(str(file), "not readable", f'TOML such as [universe] symbols = ["TSLA"]; {error}') from error
        except OSError as error:
            raise SettingError(str(file), "not readable", f"a file that may be read; {error.strerror}") from error
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in NOT_SETTINGS:
            _put(values, name, text)
    return values


def listed(value: object) -> object:
    """'TSLA,AAPL' from the environment is a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def nearest(name: str, known: list[str], only: bool = False) -> str:
    """'; did you mean ...' where a known name is near, else all of them in brackets (``only``: else nothing)."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else (f" ({', '.join(known)})" if known and not only else "")


def _put(values: dict[str, Any], name: str, text: str) -> None:
    *sections, key = name.removeprefix(PREFIX).lower().split("__")
    if len(sections) == 0:
        raise SettingError(name, text, f"a name such as {PREFIX}UNIVERSE__SYMBOLS" + nearest(key, list(SECTIONS)))
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise SettingError(name, text, f"a value of [{sections[0]}], which is not a section in the settings file")
    place[key] = _parsed(text)


def _parsed(text: str) -> object:
    """A list or table in JSON; anything else stays the text that it is, for the check to read as what the setting wants."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
