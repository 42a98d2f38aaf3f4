"""Known vulnerabilities of the locked packages: asks pip-audit, but for the dated exceptions of ``audit.toml``.

pip install pip-audit; python -m deployments.audit          (needs the network; what follows goes to pip-audit)
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from forecasting.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("audit.toml")
LONGEST = 180  # days for which something may be excepted without being looked at again


@dataclass(frozen=True)
class Excepted:
    """A vulnerability that is known and lived with: ``why`` in a sentence, until the end of the day ``until``."""

    id: str
    package: str
    since: date
    until: date
    why: str


def excepted(text: str, locked: frozenset[str]) -> tuple[Excepted, ...]:
    """The list in ``text`` (TOML); InputError for an entry of another form, too long, or of a package not locked."""
    found = []
    for entry in tomllib.loads(text).get("exception", []):
        try:
            one = Excepted(**entry)
        except TypeError as error:
            raise InputError(f"audit.toml: {entry} has not id, package, since, until and why: {error}") from error
        if not re.fullmatch(r"(CVE|GHSA|PYSEC)-[0-9A-Za-z-]+", one.id):
            raise InputError(f"audit.toml: {one.id!r} is no id such as CVE-2026-1234, GHSA-... or PYSEC-...")
        if one.package not in locked:
            raise InputError(f"audit.toml: {one.id} excepts {one.package}, which is not locked (any more); take it out")
        if not 0 <= (one.until - one.since).days <= LONGEST:
            raise InputError(f"audit.toml: {one.id} is excepted from {one.since} to {one.until}; {LONGEST} days at most")
        if len(one.why.split()) < 4:
            raise InputError(f"audit.toml: {one.id} needs a sentence of why it can be lived with")
        found.append(one)
    return tuple(found)


def locked_names(lock: str) -> frozenset[str]:
    """The packages of a lock."""
    return frozenset(re.findall(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?==", lock, flags=re.MULTILINE))


def order(exceptions: Sequence[Excepted], today: date, more: Sequence[str] = ()) -> list[str]:
    """What is typed: an exception that has run out is none; a package of which nothing could be found out is a failure."""
    still = [one for one in exceptions if today <= one.until]
    ignored = [word for one in still for word in ("--ignore-vuln", one.id)]
    lock = str(ROOT / "requirements.lock")
    return [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        lock,
        "--require-hashes",
        "--disable-pip",
        "--strict",
        *ignored,
        *more,
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    from tasks.clock import now_utc

    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    exceptions, today = excepted(LIST.read_text(encoding="utf-8"), locked_names(lock)), now_utc().date()
    for one in exceptions:
        print(f"{one.id} of {one.package}: {one.why}" + ("" if today <= one.until else f"; ran out on {one.until}"))
    return subprocess.run(order(exceptions, today, arguments or sys.argv[1:]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
