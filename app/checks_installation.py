"""Checks of what is installed and of the machine: packages, settings, permissions, disk, clock, calendars."""

from __future__ import annotations

import operator
import os
import re
import shutil
import sys
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

from app.doctor import Check, Patient, ok, problem, warning

SMALLEST_FREE = 1_000_000_000  # bytes
COPIES = 3  # of the database: itself grown, a snapshot, a backup
AHEAD = timedelta(days=45)  # that a calendar should know of the future
SKEW = timedelta(minutes=5)


def check_installation(patient: Patient) -> Check:
    """Are the packages within the bounds that the project declares? (Beyond them Prefect's server does not start.)"""
    from importlib.metadata import PackageNotFoundError, requires, version

    name = "installation"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return problem(name, f"Python {sys.version.split()[0]}", "use Python 3.11, 3.12 or 3.13: `sh start setup`")
    try:
        wanted = [text for text in requires("nextclose") or [] if "extra ==" not in text]
    except PackageNotFoundError:
        return warning(name, "nextclose itself is not installed, only its files are here", "type `sh start setup`")
    outside = []
    for text in wanted:
        package, bounds = re.fullmatch(r"([\w.-]+)(?:\[[\w,.-]+\])?\s*([^;]*).*", text).groups()
        try:
            found = version(package)
        except PackageNotFoundError:
            outside.append(f"{package} is missing")
            continue
        if not within(found, bounds):
            outside.append(f"{package} {found} is not {bounds.strip()}")
    if outside:
        return problem(name, "; ".join(outside), "type `sh start setup` to install from the lock")
    return ok(name, f"Python {sys.version.split()[0]}, {len(wanted)} requirements within their bounds")


def within(version: str, bounds: str) -> bool:
    """Whether a version such as '3.8.8' keeps bounds such as '<3.10,>=3.8.8': those forms that pyproject.toml uses."""
    compare = {"<": operator.lt, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "==": operator.eq, "!=": operator.ne}
    found = _numbers(version)
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        sign, limit = re.fullmatch(r"([<>=!]+)\s*([\w.]+)", bound).groups()
        if not compare[sign](found, _numbers(limit)):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """'3.10.0rc1' as (3, 10, 0, 0, 0): its release, filled up so that 3.10 and 3.10.0 are equal."""
    release = [int(part) for part in re.match(r"\d+(?:\.\d+)*", version).group().split(".")]
    return tuple(release + [0] * (5 - len(release)))


def check_settings(patient: Patient) -> Check:
    """Can the settings be read?"""
    symbols = len(patient.settings.universe.symbols)
    where = patient.home.settings if patient.home.settings.exists() else "defaults, no settings.toml"
    return ok("settings", f"{where}: {symbols} symbols from {patient.settings.source.name}")


def check_permissions(patient: Patient) -> Check:
    """Can the home be written, and can nobody else write it or read its password?"""
    name, home = "permissions", patient.home
    if not home.path.exists():
        return problem(name, f"{home.path} is not there", "type `nextclose run` or `nextclose demo`, or name it with --home")
    home.ensure_writable()
    brought_away = [path for path in home.backups.glob("*/settings.toml") if path.parent.stat().st_mode & 0o077]
    for path, bits, words in (
        (home.path, 0o002, "can be written by everybody"),
        (home.path / "server-password", 0o077, "can be read by others"),
        (home.settings, 0o002, "can be written by everybody"),
        (home.settings, 0o077 if _secrets_in(home.settings) else 0, "holds a password and can be read by others"),
        *((path, 0o077 if _secrets_in(path) else 0, "holds a password and can be read by others") for path in brought_away),
    ):
        if path.exists() and path.stat().st_mode & bits:
            letters = "go-rwx" if bits == 0o077 else "o-w"
            return problem(name, f"{path} {words} (mode {path.stat().st_mode & 0o777:04o})", f"chmod {letters} {path}")
    if home.snapshot.exists() and home.snapshot.stat().st_mode & 0o222:
        return warning(name, f"{home.snapshot} can be changed", f"chmod a-w {home.snapshot}")
    return ok(name, f"{home.path} is writable for this user and for nobody else")


def _secrets_in(settings: Path) -> bool:
    """Whether the file sets something that is not to be shown; one that cannot be read is another check's."""
    from tasks.settings_serving import SECRETS

    try:
        sections = tomllib.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return any(not SECRETS.isdisjoint(section) for section in sections.values() if isinstance(section, dict))


def check_disk(patient: Patient) -> Check:
    """Is there room for the database to grow, a new snapshot and a backup?"""
    place = patient.home.path if patient.home.path.exists() else patient.home.path.parent
    free = shutil.disk_usage(place).free
    size = patient.home.database.stat().st_size if patient.home.database.exists() else 0
    wanted = max(SMALLEST_FREE, COPIES * size)
    found = f"{free / 1e9:.1f} GB free, {wanted / 1e9:.1f} GB wanted"
    if free < wanted:
        return problem("disk", found, f"free some space, or remove old backups in {patient.home.backups}")
    return ok("disk", found)


def check_clock(patient: Patient) -> Check:
    """Has the clock gone back behind what it said at the last publish, or is it far off the files' times?"""
    from storage.manifest import read_manifest

    if not patient.home.manifest.exists():
        return ok("clock", f"{patient.now:%Y-%m-%d %H:%M} UTC")
    published = datetime.fromisoformat(read_manifest(patient.home)["published_at"])
    if published > patient.now + SKEW:
        return problem(
            "clock",
            f"the clock says {patient.now:%Y-%m-%d %H:%M} UTC, but something was published at {published:%Y-%m-%d %H:%M}",
            "set the clock (`timedatectl status` says whether it is synchronised)",
        )  # fmt: skip
    return ok("clock", f"{patient.now:%Y-%m-%d %H:%M} UTC, the last publish was at {published:%Y-%m-%d %H:%M}")


def check_calendars(patient: Patient) -> Check:
    """Do the exchanges' calendars know the coming weeks, and not only guess weekdays?"""
    from forecasting.sessions import calendar_of, coverage

    calendars = sorted({calendar_of(symbol) for symbol in patient.settings.universe.symbols})
    short = {name: coverage(name)[1] for name in calendars}
    worst = min(short, key=short.__getitem__)
    if short[worst] < (patient.now + AHEAD).date():
        step = "type `pip install --upgrade exchange-calendars`, or set up a newer nextclose"
        return warning("calendars", f"{worst} is known to {short[worst]} only; later sessions are guessed from weekdays", step)
    return ok("calendars", f"{', '.join(calendars)} known to {short[worst]} and beyond")


def check_environment(patient: Patient) -> Check:
    """Variables that look like settings of nextclose and are none, and a fault hook left on."""
    if patient.environment.get("NEXTCLOSE_FAULT"):
        return problem("environment", "NEXTCLOSE_FAULT is set: runs kill themselves", "unset NEXTCLOSE_FAULT")
    odd = sorted(
        name for name in patient.environment if re.match(r"(?i)next_?close", name) and not name.startswith("NEXTCLOSE_")
    )
    if odd:
        return warning("environment", f"{odd[0]} is not read", f"write it as NEXTCLOSE_..., or unset {odd[0]}")
    root = " (as root: a user of its own is safer)" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    return ok("environment", f"nothing odd{root}")
