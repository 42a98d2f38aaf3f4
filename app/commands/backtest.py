"""``nextclose backtest``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def backtest(
    *,
    prices: Annotated[Path, Parameter(help="CSV or Parquet file, or a folder of them.")],
    train_end: Annotated[date, Parameter(help="Last session to learn from.")],
    valid_end: Annotated[date, Parameter(help="Last session on which training may choose when to stop.")],
    test_end: Annotated[date, Parameter(help="Last session of the span that judges.")],
    macro: Annotated[Path | None, Parameter(help="CSV or Parquet of macro series, such as the VIX.")] = None,
    spec: Annotated[
        Path | None, Parameter(help="TOML or JSON with the network's settings. Default: those of the home.")
    ] = None,
    symbols: Annotated[
        list[str] | None, Parameter(consume_multiple=True, help="Only these. Default: all that the file holds.")
    ] = None,
    retrain_every: Annotated[
        int | None, Parameter(help="Walk forward: train anew after so many judged sessions. Default: one model.")
    ] = None,
    train_sessions: Annotated[
        int | None, Parameter(help="Learn from the last so many sessions only. Default: from the first on.")
    ] = None,
    embargo: Annotated[
        int | None, Parameter(help="Sessions kept free between two spans. Default: 5 when walking forward, else 0.")
    ] = None,
    sectors: Annotated[Path | None, Parameter(help="CSV of symbol and sector, to judge by sector.")] = None,
    trials: Annotated[int, Parameter(help="Specifications tried on the way to this one; p values are corrected for it.")] = 1,
    ranks: Annotated[bool, Parameter(negative="", help="Also score the probabilities of each symbol's fifth.")] = False,
    plots: Annotated[Path | None, Parameter(help="Folder to draw pictures into: PNG and one page.")] = None,
    common: Tabular = TABULAR,
) -> int:
    """Train on a price file, judge on a span never seen, let the gate speak; stores nothing.

    For example:
      nextclose backtest --prices sp500.parquet --train-end 2018-12-31 --valid-end 2020-12-31 --test-end 2023-08-31
    """
    from app.asking import asked, execute
    from app.common import answer, split_symbols
    from app.judged import backtest_rows, show_backtest
    from flows.backtest import backtest as flow
    from flows.parameters import Backtest

    request = asked(
        Backtest,
        home=str(common.path),
        prices=str(prices.expanduser().absolute()),
        train_end=train_end,
        valid_end=valid_end,
        test_end=test_end,
        macro=None if macro is None else str(macro),
        spec=None if spec is None else str(spec),
        symbols=split_symbols(symbols),
        retrain_every=retrain_every,
        train_sessions=train_sessions,
        embargo=embargo,
        sectors=None if sectors is None else str(sectors),
        trials=trials,
        ranks=ranks,
        plots=None if plots is None else str(plots),
    )
    report = execute(flow, request, quiet=common.quiet)
    answer(common, report, lambda: show_backtest(report), backtest_rows(report))
    return 0
