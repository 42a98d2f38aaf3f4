"""``nextclose ingest``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def ingest(
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
    start: Annotated[date | None, Parameter(help="First session to ask for. Default: what is missing.")] = None,
    end: Annotated[date | None, Parameter(help="Last session to ask for. Default: the last final one.")] = None,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Common = COMMON,
) -> int:
    """Only fetch, check and keep prices.

    For example:
      nextclose ingest --symbols TSLA,AAPL
      nextclose ingest --prices prices/ --json
    """
    from app.asking import asked, execute, exit_code
    from app.common import print_json, split_symbols
    from app.outcome import show_account, show_refused
    from app.printing import say
    from app.sourcing import source_of
    from flows.ingest import ingest as flow
    from flows.parameters import Ingest

    name, options = source_of(source, prices, option)
    request = asked(
        Ingest, home=str(common.path), symbols=split_symbols(symbols), source=name, source_options=options, start=start, end=end
    )  # fmt: skip
    report = execute(flow, request, prefect, quiet=common.quiet)
    if common.json:
        print_json(report)
    else:
        show_account(report)
        show_refused(report)
        stored = "nothing new came" if report["already_done"] else "stored"
        say(f"{len(report['symbols']) - len(report['refused'])} symbols up to {report['origin']}: {stored} in {report['home']}")
    return exit_code(report)
