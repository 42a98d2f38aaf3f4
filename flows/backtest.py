"""The whole judgement, on a file, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.entry import home_path, settings_for
from flows.parameters import Backtest
from tasks.backtesting import Bench, draw_backtest, judge_spec, load_prices, rank_blocks, read_spec
from tasks.engine import flow
from tasks.opening import home_at
from tasks.own_features import use_own_features

if TYPE_CHECKING:
    from forecasting.judging.backtest import How
    from tasks.settings import Settings

WEEK = 5


@flow
def backtest(request: Backtest) -> dict[str, Any]:
    """Train to one date, choose to a second, be judged to a third, against every rival; the gate says what it would do.

    Nothing is stored: this answers whether a specification is worth a place in the daily run. With ``retrain_every`` a new
    model takes over every so many judged sessions, trained on what was known by then, and all are judged together.
    """
    settings = settings_for(request)
    use_own_features(settings, home_at(home_path(request)))
    symbols = tuple(request.symbols) if request.symbols else None
    bench = Bench(
        prices=request.prices, macro_path=request.macro, symbols=symbols, spec=read_spec(request.spec, settings.lstm),
        thresholds=settings.gate, how=how_of(request, settings), run=settings.run,
    )  # fmt: skip
    load_prices(bench, request.test_end)
    judge_spec(bench, request.train_end, request.valid_end, request.test_end, embargo_of(request, settings))
    if request.ranks:
        rank_blocks(bench)
    if request.plots:
        draw_backtest(bench, request.plots)
    return bench.report | {"notes": bench.notes}


def how_of(request: Backtest, settings: Settings) -> How:
    """How the judgement is done, from what was asked for and what the settings say."""
    from forecasting.judging.backtest import How
    from tasks.sectors import read_sectors

    sectors = request.sectors or settings.universe.sectors
    return How(
        retrain_every=request.retrain_every, train_sessions=request.train_sessions, trials=request.trials,
        sectors=None if sectors is None else read_sectors(sectors), cost_bps=settings.evaluation.cost_bps,
        traced=tuple(request.symbols or ()), rivals=settings.rivals.names,
    )  # fmt: skip


def embargo_of(request: Backtest, settings: Settings) -> int:
    """What was asked for; else the settings' for one model, and a week at least where models follow one another."""
    if request.embargo is not None:
        return request.embargo
    return settings.evaluation.embargo if request.retrain_every is None else max(settings.evaluation.embargo, WEEK)
