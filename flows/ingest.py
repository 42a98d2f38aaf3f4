"""Only prices."""

from __future__ import annotations

from typing import Any

from flows.entry import running
from flows.parameters import Ingest
from flows.prices import bring_in_prices
from tasks.engine import flow
from tasks.publishing import complete, publish
from tasks.reporting import report_of


@flow
def ingest(request: Ingest) -> dict[str, Any]:
    """Fetch what is missing and the trailing sessions again, check it, keep it, publish it. No model, no forecast."""
    with running(
        request, symbols=request.symbols, source=request.source, source_options=request.source_options, origin=request.end,
        extra=("start", str(request.start)), every_time=True,
    ) as run:  # fmt: skip
        bring_in_prices(run, request.start)
        complete(run)
        publish(run)
        return report_of(run)
