"""A specification that was found goes where the daily run reads it: the section [lstm] of the settings file.

Every other line of the file stays as it is, comments and order included. The file is read again before it is put in place:
what it then says must be what it said before, with the new specification.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import SettingError
from forecasting.lstm import LstmSpec
from tasks.settings import settings_of

if TYPE_CHECKING:
    from storage.home import Home

SECTION = "lstm"


def adopt_spec(file: Path, spec: LstmSpec) -> dict[str, Any]:
    """Make ``spec`` that of the settings ``file`` (which need not exist); returns the fields that changed and their values.

    Raises SettingError, and leaves the file alone, where [lstm] is written in a way that cannot be edited line by line.
    """
    from storage.home import write_durably

    text = file.read_text(encoding="utf-8") if file.exists() else ""
    before = tomllib.loads(text)
    now = settings_of(before).lstm.model_dump(mode="json")
    wanted = spec.model_dump(mode="json")
    changes = {name: value for name, value in wanted.items() if now.get(name) != value}
    if not changes:
        return {}
    written = with_values(text, SECTION, changes)
    try:
        after = tomllib.loads(written)
        kept = {k: v for k, v in after.items() if k != SECTION} == {k: v for k, v in before.items() if k != SECTION}
        good = kept and settings_of(after).lstm == spec
    except (tomllib.TOMLDecodeError, SettingError):
        good = False
    if not good:
        lines = "; ".join(_line(name, value) for name, value in changes.items())
        raise SettingError(f"{file}: {SECTION}", "not a section of plain lines", f"[{SECTION}] with, by hand: {lines}")
    write_durably(file, written.encode("utf-8"))
    return changes


def adopt_best(home: Home, best: dict[str, Any] | None) -> dict[str, Any]:
    """Put the best trial of a study into the settings of ``home``; the fields that changed, none where nothing beat the
    specification in use."""
    if best is None or best["number"] == 0:
        return {}
    return adopt_spec(home.settings, LstmSpec.model_validate_json(json.dumps(best["spec"])))


def with_values(text: str, section: str, values: dict[str, Any]) -> str:
    """TOML ``text`` with ``values`` in [section]: a line that is there is replaced, others follow the section's last."""
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if re.fullmatch(rf"\s*\[\s*{section}\s*\]\s*(#.*)?", line)), None)
    if head is None:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, f"[{section}]", *(_line(n, v) for n, v in values.items())]) + "\n"
    left, place, last, made = dict(values), head + 1, head, lines[: head + 1]
    while place < len(lines) and not lines[place].lstrip().startswith("["):
        name, end = _entry(lines, place)
        if name in left:
            made.append(_line(name, left.pop(name)) + _comment(lines[place:end]))
        else:
            made += lines[place:end]
        if name is not None:
            last = len(made) - 1
        place = end
    made[last + 1 : last + 1] = [_line(name, value) for name, value in left.items()]
    return "\n".join([*made, *lines[place:]]) + "\n"


def _entry(lines: list[str], begin: int) -> tuple[str | None, int]:
    """The key of the entry that begins at a line, and the line after it; None for a comment or an empty line."""
    if not lines[begin].strip() or lines[begin].lstrip().startswith("#"):
        return None, begin + 1
    for end in range(begin + 1, len(lines) + 1):  # an array may go over several lines
        try:
            found = tomllib.loads("\n".join(lines[begin:end]))
        except tomllib.TOMLDecodeError:
            continue
        return next(iter(found), None), end
    return None, begin + 1


def _comment(lines: list[str]) -> str:
    """The remark at the end of an entry of one line, where the value is plainly no text with a # in it."""
    found = re.search(r"\s+#[^\"'\]]*$", lines[0]) if len(lines) == 1 else None
    return found[0] if found else ""


def _line(name: str, value: Any) -> str:
    return f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
