"""The password of the Prefect server: given from outside, or made once and kept where only its owner can read it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import SettingError

VARIABLE = "NEXTCLOSE_PASSWORD"
FILE = "server-password"
USER = "nextclose"
SHORTEST = 12  # characters of a password that somebody chose


@dataclass(frozen=True)
class Password:
    """``login`` is what the UI asks for and what clients send; ``how`` says how to read it; it is not shown in a repr."""

    _text: str
    how: str
    made_now: bool = False

    @property
    def login(self) -> str:
        return f"{USER}:{self._text}"

    def __repr__(self) -> str:
        return "Password(not shown)"


def password_for(home: Path, environment: Mapping[str, str]) -> Password:
    """The one of the environment, else that of the home's file, which is made with mode 0600 where it is missing.

    SettingError for one that is too short, has a colon or a space in it, or lies in a file that others can read.
    """
    given = environment.get(VARIABLE)
    if given is not None:
        return Password(_fit(given, VARIABLE), f"it is the one of {VARIABLE}")
    file = home / FILE
    made = _make(file)
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise SettingError(str(file), f"readable by others (mode {mode:04o})", f"mode 0600; type `chmod 600 {file}`")
    login = file.read_text(encoding="utf-8").strip()
    return Password(_fit(login.removeprefix(f"{USER}:"), str(file)), f"read it with `cat {file}`", made)


def _make(file: Path) -> bool:
    """Write a new password where there is none; whether there was none. Two that start at once agree on one."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(f"{USER}:{secrets.token_urlsafe(24)}\n")
        opened.flush()
        os.fsync(opened.fileno())
    return True


def _fit(text: str, place: str) -> str:
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or ":" in text or " " in text:
        raise SettingError(
            place, "no usable password (not shown)", f"{SHORTEST} or more printable ASCII characters without colon or space"
        )
    return text
