"""The steps of the night: is everything as it was left, a copy of it, and room for the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from forecasting.errors import DatabaseCorrupt
from tasks.engine import step
from tasks.listening import tell
from tasks.opening import code_version
from tasks.policies import DATABASE, KEEPING
from tasks.run import Receipt

if TYPE_CHECKING:
    from storage.home import Home
    from tasks.measure import Measured

LOCK_WAIT = 60.0  # a run under way closes the file again and again


@dataclass
class Keeper:
    """What the steps of one night share, and what they tell."""

    home: Home
    now: datetime
    keep: int
    landing_days: int = 0
    report: dict[str, Any] = field(default_factory=dict)

    def spent(self, step: str, cost: Measured) -> None:
        """The log of costs belongs to runs that write; this one does not."""


def has_content(home: Home) -> bool:
    """Whether anything was stored in ``home``, or is damaged beyond being there."""
    from storage.exchange import begun

    return any(path.exists() for path in (home.database, home.manifest, home.snapshot)) or begun(home)


@step(KEEPING)
def check(keeper: Keeper) -> Receipt:
    """Recompute every digest; DatabaseCorrupt where something is not as it was left. What is not published yet is a remark."""
    from storage.verify import in_short, verify

    findings = verify(keeper.home, lock_wait=LOCK_WAIT)
    keeper.report |= {"home": str(keeper.home.path), "findings": [vars(finding) for finding in findings]}
    for finding in findings:
        tell().noted(str(finding))
    grave = [finding for finding in findings if finding.kind != "unpublished"]
    if grave:
        raise DatabaseCorrupt(f"{in_short(grave)}; run `nextclose recover`")
    return Receipt(text="everything is as it was left" if not findings else f"{len(findings)} not published yet")


@step(KEEPING)
def back_up(keeper: Keeper) -> Receipt:
    """Copy everything that cannot be made again into ``backups/`` of the home."""
    from storage.backup import back_up as copy

    made = copy(keeper.home, keeper.home.backups, keeper.now, code_version(), by_hand=False)
    keeper.report |= {"backup": str(made.path), "digest": made.digest, "bytes": made.size, "origin": made.card["last_origin"]}
    return Receipt(text=f"{made.path.name}, {made.size / 1e6:.1f} MB")


@step(DATABASE)
def prune(keeper: Keeper) -> Receipt:
    """Remove the oldest backups of nights beyond the number that is kept, but for those made by hand, and what the sources sent
    longer ago than is kept."""
    from storage.backup import prune as remove
    from storage.landing import prune_landing

    gone, days = remove(keeper.home.backups, keeper.keep), keeper.landing_days
    old = prune_landing(keeper.home, keeper.now - timedelta(days=days)) if days else []
    keeper.report |= {"removed": [path.name for path in gone], "landing_removed": len(old)}
    return Receipt(text=f"{len(gone)} old backups removed" + (f", {len(old):,} files of landing/" if old else ""))
