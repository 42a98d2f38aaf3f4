"""The whole judgement, on a file, without a database."""

from __future__ import annotations

from typing import Any

from flows.entry import settings_for
from flows.parameters import Backtest
from tasks.backtesting import Bench, judge_spec, load_prices, read_spec
from tasks.engine import flow


@flow
def backtest(request: Backtest) -> dict[str, Any]:
    """Train to one date, choose to a second, be judged to a third, against every rival; the gate says what it would do.

    Nothing is stored: this answers whether a specification is worth a place in the daily run.
    """
    settings = settings_for(request)
    bench = Bench(
        prices=request.prices, macro_path=request.macro, symbols=tuple(request.symbols) if request.symbols else None,
        spec=read_spec(request.spec, settings.lstm), thresholds=settings.gate,
    )  # fmt: skip
    load_prices(bench, request.test_end)
    judge_spec(bench, request.train_end, request.valid_end, request.test_end)
    return bench.report | {"notes": bench.notes}
