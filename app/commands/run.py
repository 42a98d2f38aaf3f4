"""``nextclose run``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def run(
    *,
    symbols: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, help="TSLA,AAPL ... Default: those of the settings, or all of a file."),
    ] = None,
    source: Annotated[str | None, Parameter(help="See `nextclose sources`. Default: the settings', else yahoo.")] = None,
    prices: Annotated[Path | None, Parameter(help="CSV or Parquet file, or a folder of them; means --source files.")] = None,
    option: Annotated[
        list[str] | None, Parameter(consume_multiple=True, help="An option of the source, name=value; may be repeated.")
    ] = None,
    origin: Annotated[
        date | None, Parameter(help="Session whose close is the last one known. Default: the last final one.")
    ] = None,
    replay: Annotated[int, Parameter(help="Sessions before the origin to forecast first, as backfill.")] = 0,
    retrain: Annotated[bool, Parameter(help="Train a challenger even if the model is young.")] = False,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """Do the day: prices in, checked and kept, a model retrained if due, forecasts, scores.

    Run it again after a kill and it goes on where it stood; run it again when it is done and nothing changes.

    For example:
      nextclose run --symbols TSLA,AAPL
      nextclose run --source files --prices prices.csv --origin 2023-08-31 --json
    """
    from app.asking import asked, execute, exit_code
    from app.common import answer, split_symbols
    from app.outcome import show_run
    from app.sourcing import source_of
    from flows.daily import daily
    from flows.parameters import Daily

    name, options = source_of(source, prices, option)
    request = asked(
        Daily, home=str(common.path), symbols=split_symbols(symbols), source=name, source_options=options, origin=origin,
        replay=replay, retrain=retrain,
    )  # fmt: skip
    report = execute(daily, request, prefect, quiet=common.quiet)
    answer(common, report, lambda: show_run(report), report["forecasts"])
    return exit_code(report)
