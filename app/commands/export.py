"""``nextclose export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from app.common import COMMON, Common


def export(
    *tables: Annotated[str, Parameter(help="Views to write; `all`: every one.")],
    query: Annotated[str | None, Parameter(help="Write the answer to this SQL instead of views.")] = None,
    to: Annotated[
        Path | None, Parameter(help="File (.csv, .parquet, .xlsx), or folder for a file a view. Default: VIEW.csv here.")
    ] = None,
    format: Annotated[
        Literal["csv", "parquet", "xlsx"] | None, Parameter(help="Default: as the file's name ends, else csv.")
    ] = None,
    replace: Annotated[bool, Parameter(help="Write over files that are there.")] = False,
    timeout: Annotated[float, Parameter(help="Most seconds that a view or query may take.")] = 600.0,
    common: Common = COMMON,
) -> int:
    """Published tables as files: CSV, Parquet or Excel.

    Rows pass through one batch after the other, so that a table of millions takes no more memory than a small one. A file
    appears whole or not at all. In CSV, text that a spreadsheet would run as a formula has an apostrophe before it; in a
    workbook, which has a sheet a view, it is text. docs/data-model.md explains every view and column.

    For example:
      nextclose export latest_forecasts
      nextclose export forecasts scoreboard --to book.xlsx
      nextclose export all --to tables --format parquet
      nextclose export --query "FROM prices WHERE symbol = 'AAPL'" --to aapl.parquet
    """
    from app.commands.sql import check_limits
    from app.common import print_json
    from app.exporting import planned, write
    from app.printing import say

    check_limits(1, timeout)
    home, done = common.opened(), []
    for order in planned(tables, query, to, format, replace):
        written = write(home, order, timeout, quiet=common.quiet)
        done += written
        if not common.quiet:
            for one in written:
                say(f"{one['table']}: {one['rows']:,} rows in {one['file']} ({one['bytes'] / 1024:,.0f} KB)")
    if common.json:
        print_json({"files": done})
    return 0
