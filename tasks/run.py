"""One run of a flow: what it was asked for, what it works on, and what every step of it may use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from forecasting.errors import DatabaseLocked, SourceError
from tasks.listening import tell
from tasks.measure import Measured
from tasks.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from storage.home import Home
    from storage.lease import Lease
    from storage.store import Store
    from tasks.ranking import Ranked


#: Reasons that can be gone when a live source is asked again later; a symbol is stale until its bar of the day comes in.
PASSING_KINDS = frozenset(
    {"stale_symbol", "budget_spent", "blocked", *(kind.kind for kind in SourceError.__subclasses__() if kind.retry)}
)


#: The reason why a symbol that no longer trades is left out: nothing went wrong, the run is as good as it can be.
INACTIVE = "inactive"
#: The same of one whose exchange has no session at the origin.
CLOSED = "exchange_closed"
NOT_TRAINED = "not_trained"  # in a run's memo: why a training that was due failed, while somebody served
AS_IT_SHOULD_BE = frozenset({INACTIVE, CLOSED})

_SMALL = 32_000_000  # bytes of a database on which steps work for a few seconds at most


@dataclass(frozen=True)
class Receipt:
    """What a step hands back: how many rows it stored, and a few facts that fit in a line. Never the data itself."""

    rows: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.text or (f"{self.rows:,} rows" if self.rows else "nothing new")


@dataclass(frozen=True)
class Refusal:
    """Why a symbol has no forecast in this run; ``reason`` is a stable code, ``message`` one line for a person."""

    symbol: str
    reason: str
    message: str
    passing: bool = False  # whether asking again later can help


@dataclass
class Run:
    """The context of one run. ``now`` is the wall clock, asked once at the entry of the flow; ``final`` the last session
    that is over and settled at that instant; ``origin`` the session whose close is the last one known to the run.
    ``memo`` holds what a later step would otherwise compute again; every entry can be lost without harm.
    """

    flow: str
    run_id: str
    home: Home
    settings: Settings
    db: Store
    lease: Lease
    now: datetime
    final: date
    origin: date
    symbols: tuple[str, ...]
    ranked: Ranked | None = None  # where prices come from; None for a flow that works on what is stored
    finals: dict[str, date] = field(default_factory=dict)  # by calendar
    chunk_size: int = 50
    replay: int = 0
    force_retrain: bool = False
    already: dict[str, Any] | None = None  # the stored row of this run, where it was completed before
    last: dict[str, Any] | None = None  # the stored row of the run like this one before it
    memo: dict[Hashable, Any] = field(default_factory=dict)
    costs: list[tuple[str, float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether a source can know more when it is asked again."""
        return self.ranked is not None and any(source.symbols() is None for source in self.ranked.sources.values())

    @property
    def source_name(self) -> str:
        """The sources in the order in which they are asked; empty for a flow that asks none."""
        return "" if self.ranked is None else ",".join(self.ranked.order)

    def spent(self, step: str, cost: Measured) -> None:
        """Remember what a step cost; stored as an operations log when the run ends."""
        self.costs.append((step, round(cost.seconds, 3), round(cost.peak_mb, 1)))

    def chunks(self) -> Iterator[tuple[str, ...]]:
        """The symbols in groups of ``chunk_size``: one step each."""
        for begin in range(0, len(self.symbols), self.chunk_size):
            yield self.symbols[begin : begin + self.chunk_size]

    @contextmanager
    def burst(self, asking: bool = False, working: bool = False) -> Iterator[None]:
        """Around steps that follow one another: the database stays open, and each read and write costs a third.

        Not while they are ``asking`` a live source, nor while they are ``working`` on more than a small database: who else
        wants the file waits for it. Nor where somebody else has it: each step waits for it by itself.
        """
        with ExitStack() as held:
            if not (asking and self.live) and not (working and self.db.size() > _SMALL):
                with suppress(DatabaseLocked):
                    held.enter_context(self.db.kept_open())
            yield

    def done(self, step: str) -> bool:
        """Whether this run committed ``step`` before, perhaps in an attempt that was killed since."""
        return self.db.step_done(self.run_id, step) is not None

    def note(self, text: str) -> None:
        """Something for the person who asked: told now, and part of the report. Each sentence once."""
        if text not in self.notes:
            self.notes.append(text)
            tell().noted(text)

    def refuse(self, refusal: Refusal) -> None:
        """Leave a symbol out of this run, with its reason; the first reason stays."""
        if refusal.symbol not in self.refusals:
            self.refusals[refusal.symbol] = refusal
            tell().noted(refusal.message)


def short_digest(*parts: object) -> str:
    """First 16 hex digits of the SHA-256 over ``parts`` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refusal_of(symbol: str, error: BaseException) -> Refusal:
    """An error about one symbol as its refusal."""
    reason = error.kind if isinstance(error, SourceError) else _snake(type(error).__name__)
    return Refusal(symbol, reason, str(error), passing=reason in PASSING_KINDS)


def refusal_rows(refusals: list[Refusal], session: date) -> pd.DataFrame:
    """Refusals as rows for the quarantine."""
    import pandas as pd

    rows = [(r.symbol, pd.Timestamp(session), r.reason, "refused", r.message, None) for r in refusals]
    return pd.DataFrame(rows, columns=["symbol", "session", "reason", "severity", "message", "row_json"])


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
