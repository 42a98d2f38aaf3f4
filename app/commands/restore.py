"""``nextclose restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def restore(
    backup: Annotated[Path | None, Parameter(help="Folder of the backup. Default: the newest in backups/ of the home.")] = None,
    *,
    replace: Annotated[
        bool, Parameter(help="Move a database that is there aside, into backups/replaced-... of the home.")
    ] = False,
    common: Common = COMMON,
) -> int:
    """Bring a backup back, after checking every digest; then publish it for readers and verify what is there.

    Nothing is touched where one file of the backup is not as it was written.

    For example:
      nextclose restore backups/nextclose-20261120T050000Z-3f2a91c07d1e --home /data/nextclose
      nextclose restore --replace
    """
    from app.common import print_json
    from app.printing import say
    from forecasting.errors import DatabaseCorrupt, InputError
    from storage.backup import backups, read_backup
    from storage.backup import restore as bring_back
    from storage.repair import publish_again
    from storage.verify import verify
    from tasks.clock import now_utc

    home = common.opened()
    if backup is None:
        kept = backups(home.backups)
        if not kept:
            raise InputError(f"there is no backup in {home.backups}; name the folder of one")
        chosen = kept[-1]
    else:
        chosen = read_backup(backup.expanduser().absolute())
    aside = bring_back(home, chosen, replace)
    digest = publish_again(home, now_utc())
    if digest != chosen.digest:
        raise DatabaseCorrupt(
            f"{home.path} has content digest {digest[:16]} instead of {chosen.digest[:16]}; take another backup"
        )
    findings = verify(home)
    answer = {
        "home": str(home.path), "backup": str(chosen.path), "digest": digest, "last_origin": chosen.card["last_origin"],
        "moved_aside": None if aside is None else str(aside), "findings": [vars(finding) for finding in findings],
    }  # fmt: skip
    if common.json:
        print_json(answer)
    else:
        if aside is not None:
            say(f"what lay in {home.path} before is in {aside}")
        for finding in findings:
            say(str(finding))
        say(f"{home.path} is as it was backed up at {chosen.created_at:%Y-%m-%d %H:%M} UTC; content digest {digest[:16]}")
        say("`nextclose run` does the sessions since then, oldest first")
    return 11 if findings else 0
