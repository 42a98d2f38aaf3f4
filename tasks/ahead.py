"""Cleaning the next chunks of symbols elsewhere while one is stored here; only this process writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.ingest import arrivals
from tasks.run import Run
from tasks.settings_running import CLUSTERS

Chunk = tuple[str, ...]
WORTH_PROCESSES = 2_000_000  # rows; up to there they are cleaned in the time that processes take to start
_AHEAD = 2  # chunks begun for each worker: none is idle, and what waits in memory is bounded


@contextmanager
def cleaned_ahead(run: Run) -> Iterator[Callable[[Chunk], None]]:
    """A function to be told the chunk whose turn it is: it has that and the next ones cleaned, as ``[run] task_runner`` says.

    What is stored is the same bits: what becomes of a row depends on its own symbol, and a symbol is in one chunk.
    """
    from tasks.delivery import clean_delivery
    from tasks.spreading import crew, workers_worth

    chunks, how = list(run.chunks()), run.settings.run
    size = workers_worth(how, len(chunks))
    few = sum(arrivals(run, symbols).rows for symbols in chunks) < WORTH_PROCESSES
    if size < 2 or (few and how.task_runner not in (*CLUSTERS, "threads")):
        yield lambda symbols: None
        return
    begun: set[Chunk] = set()
    with crew(how, clean_delivery, size, network=False) as hands:

        def reached(symbols: Chunk) -> None:
            turn = chunks.index(symbols)
            for ahead in chunks[turn : turn + 1 + _AHEAD * size]:
                if ahead not in begun:
                    begun.add(ahead)
                    _begin(run, ahead, hands.submit)

        yield reached


def _begin(run: Run, symbols: Chunk, submit: Callable) -> None:
    from tasks.delivery import opened
    from tasks.fitting import known_of, settled

    arrived = arrivals(run, symbols)
    refused = {refusal.symbol for refusal in settled(arrived, known_of(run))}
    left_out = frozenset({*run.refusals, *arrived.failures, *refused})
    for landed in arrived.landed:
        run.memo["delivery", landed] = submit(opened(run, landed, left_out))
