"""``nextclose backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def backup(
    *,
    to: Annotated[
        Path | None, Parameter(help="Folder in which the backup's own folder is made. Default: backups/ of the home.")
    ] = None,
    unchecked: Annotated[bool, Parameter(help="Copy also where `verify` finds damage.")] = False,
    common: Common = COMMON,
) -> int:
    """Copy everything to a folder, with digests: database, models, settings, what the sources answered.

    Runs beside a run under way. Every digest of the home is recomputed first, and the copy is read again. The nightly flow
    does the same, and removes but the newest seven of its own; yours stay.

    For example:
      nextclose backup
      nextclose backup --to /mnt/elsewhere --json
    """
    from app.common import print_json
    from app.printing import say
    from forecasting.errors import DatabaseCorrupt
    from storage.backup import back_up
    from storage.verify import in_short, verify
    from tasks.clock import now_utc

    home = common.opened()
    grave = [] if unchecked else [f for f in verify(home) if f.kind in ("database", "model")]
    if grave:
        raise DatabaseCorrupt(
            f"{in_short(grave)}; nothing was copied: run `nextclose recover`, or add --unchecked to copy it as it is"
        )
    made = back_up(home, to.expanduser().absolute() if to else home.backups, now_utc(), _version())
    if common.json:
        print_json({"backup": str(made.path), "bytes": made.size, **{k: v for k, v in made.card.items() if k != "files"}})
        return 0
    say(f"{made.path}: {len(made.card['files'])} files, {made.size / 1e6:.1f} MB, forecasts up to {made.card['last_origin']}")
    say(f"content digest {made.digest[:16]}; bring it back with `nextclose restore {made.path} --home DIR`")
    return 0


def _version() -> str:
    from app.cli import version

    return version()
