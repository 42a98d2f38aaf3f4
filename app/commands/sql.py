"""``nextclose sql``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def sql(
    query: Annotated[str, Parameter(help="One statement of DuckDB's SQL, for example: FROM latest_forecasts")],
    /,
    *,
    limit: Annotated[int, Parameter(help="Most rows to answer with.")] = 1000,
    timeout: Annotated[float, Parameter(help="Most seconds it may take.")] = 10.0,
    common: Common = COMMON,
) -> int:
    """Ask the published tables anything, read-only.

    Views: latest_forecasts, forecasts, scoreboard, forecast_accuracy, prices, prices_adjusted, features_latest, models,
    gate_decisions, evaluations, quarantine, freshness, runs; docs/data-model.md explains every column. A statement that takes
    too long or too much memory is stopped.

    For example:
      nextclose sql "FROM latest_forecasts"
      nextclose sql "SELECT symbol, close FROM prices WHERE session = '2013-03-01'" --json
    """
    from app.common import print_json
    from app.printing import fitting, say, table
    from forecasting.errors import SettingError
    from storage.reading import run_sql

    if limit < 1:
        raise SettingError("--limit", limit, "at least 1")
    if not 0 < timeout <= 3600:
        raise SettingError("--timeout", timeout, "seconds, above 0 and at most 3600")
    answer = run_sql(common.opened(), query, limit=limit, timeout=timeout)
    if common.json:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        print_json({"columns": answer.columns, "rows": rows, "truncated": answer.truncated})
        return 0
    shown = fitting(answer.columns, answer.rows)
    text = tuple(c for i, c in enumerate(answer.columns) if any(isinstance(row[i], str) for row in answer.rows))
    table([answer.columns[i] for i in shown], [[row[i] for i in shown] for row in answer.rows], left=text)
    if hidden := [c for i, c in enumerate(answer.columns) if i not in shown]:
        say(f"not shown for lack of room: {', '.join(hidden)}; name the columns that you want, or add --json")
    if answer.truncated:
        say(f"only the first {limit} rows; ask for more with --limit")
    return 0
