"""Defects that the simulator must find; each is put into a run's own process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.points import passes


def not_atomic() -> None:
    """The snapshot is copied into its place instead of renamed."""
    import storage.snapshot as snapshot

    class Os:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def replace(fresh: Path, target: Path) -> None:
            if target.exists():
                target.chmod(0o644)
            with fresh.open("rb") as source, target.open("r+b") as file:
                shutil.copyfileobj(source, file, 100_000)
                passes("half of the snapshot")

    snapshot.os = Os()
    real = shutil.copyfileobj

    def by_parts(source: Any, file: Any, length: int = 0) -> None:
        while part := source.read(100_000):
            file.write(part)
            file.flush()
            passes("a part of the snapshot")

    shutil.copyfileobj = by_parts if real is not by_parts else real


def no_unique_key() -> None:
    """Rows are inserted whether their key is there or not."""
    import storage.append as append

    def all_new(con: Any, *rest: Any) -> None:
        con.execute("CREATE TEMP TABLE fated AS SELECT *, 0 AS revision, 'stored' AS fate FROM temp.incoming")

    append._find_changed = all_new


def ledger_apart() -> None:
    """The rows of a step are committed before the ledger knows of the step."""
    import storage.database as database

    real = database.Tx.summary

    def summary(tx: Any) -> tuple[int, str]:
        tx.con.execute("COMMIT")
        tx.con.execute("BEGIN")
        return real(tx)

    database.Tx.summary = summary


def past_rewritten() -> None:
    """What came later is told as if it had been known before."""
    import storage.append as append

    real = append._find_changed

    def backdated(con: Any, *rest: Any) -> None:
        real(con, *rest)
        con.execute("UPDATE temp.fated SET known_at = known_at - INTERVAL 5 DAY")

    append._find_changed = backdated


def forgets_a_symbol() -> None:
    """Forecasts that are there already are thrown away when a day is done again."""
    import storage.ledger as ledger

    real = ledger.append_forecasts

    def anew(tx: Any, frame: Any) -> Any:
        origin = str(frame["origin"].min())[:10]
        tx.execute(f"DELETE FROM store.forecasts WHERE origin < DATE '{origin}' AND symbol = 'AAA'")
        return real(tx, frame)

    ledger.append_forecasts = anew


#: Seeds to begin with: lives in which a defect was found when this was written. Where one is no longer, the others follow.
LIKELY = {"not atomic": 1, "ledger apart": 16}

PLANTED: dict[str, Callable[[], None]] = {
    "not atomic": not_atomic,
    "no unique key": no_unique_key,
    "ledger apart": ledger_apart,
    "past rewritten": past_rewritten,
    "ledger not append-only": forgets_a_symbol,
}
