"""What asking the sources costs, remembered over all runs: a provider's daily budget holds however often a day is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forecasting.errors import SourceError
from storage.requests import Asked, record_asked, spent
from tasks.clock import now_utc

if TYPE_CHECKING:
    from sources.base import Source
    from tasks.run import Run


def put_meters(run: Run) -> None:
    """Give each source that counts its requests a meter that knows those of the last 24 hours."""
    if run.ranked is None:
        return
    from sources.meter import Meter

    for name, source in run.ranked.sources.items():
        if not hasattr(source, "meter"):
            continue
        before = 0
        if source.cost.per_day is not None:
            with run.db.reading() as con:
                before = spent(con, name, now_utc())
        source.meter = Meter(source.cost, before, _recorder(run, name) if source.cost.per_day is not None else None)


@contextmanager
def counted(run: Run, source: Source, answered: set[str], failures: Mapping[str, SourceError]) -> Iterator[None]:
    """Around asking ``source``: one line in the log of requests; ``answered`` and ``failures`` are filled inside."""
    meter = getattr(source, "meter", None)
    before = (meter.requests, meter.seconds) if meter else (0, 0.0)
    begun = now_utc()
    try:
        yield
    finally:
        # a source with a budget writes each request down at once, so that a kill forgets none
        counting = meter is not None and meter.cost.per_day is None
        requests = meter.requests - before[0] if counting else 0
        seconds = meter.seconds - before[1] if meter else (now_utc() - begun).total_seconds()
        worst = next((e for e in failures.values() if e.retry), next(iter(failures.values()), None))
        told = (worst.kind, str(worst)[:300]) if worst else (None, None)
        _write(run, Asked(source.name, now_utc(), requests, round(seconds, 3), len(answered), len(failures), *told))


def _recorder(run: Run, name: str):
    def record(requests: int, seconds: float) -> None:
        _write(run, Asked(name, now_utc(), requests, 0.0))

    return record


def _write(run: Run, asked: Asked) -> None:
    with run.db.writing(run.lease, run.run_id, None) as tx:
        record_asked(tx, asked)
