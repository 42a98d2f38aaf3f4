"""``nextclose sql``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular

if TYPE_CHECKING:
    from storage.sql import SqlAnswer

_FEW = 3  # rows that are told in full where they are too wide for the terminal


def sql(
    query: Annotated[str, Parameter(help="One statement of DuckDB's SQL, for example: FROM latest_forecasts")],
    /,
    *,
    limit: Annotated[int, Parameter(help="Most rows to answer with.")] = 1000,
    timeout: Annotated[float, Parameter(help="Most seconds it may take.")] = 10.0,
    common: Tabular = TABULAR,
) -> int:
    """Ask the published tables anything, read-only.

    Views: latest_forecasts, forecasts, scoreboard, forecast_accuracy, prices, prices_adjusted, features_latest, models,
    gate_decisions, evaluations, quarantine, freshness, runs; docs/data-model.md explains every column. A statement that takes
    too long or too much memory is stopped. `nextclose shell` asks one after the other, `nextclose export` writes files.

    For example:
      nextclose sql "FROM latest_forecasts"
      nextclose sql "SELECT symbol, close FROM prices WHERE session = '2013-03-01'" --json
      nextclose sql "FROM scoreboard" --csv > scoreboard.csv
    """
    from storage.sql import run_sql

    check_limits(limit, timeout)
    show_rows(common, run_sql(common.opened(), query, limit=limit, timeout=timeout))
    return 0


def check_limits(limit: int, timeout: float) -> None:
    """SettingError for a bound that is none."""
    from forecasting.errors import SettingError

    if limit < 1:
        raise SettingError("--limit", limit, "at least 1")
    if not 0 < timeout <= 3600:
        raise SettingError("--timeout", timeout, "seconds, above 0 and at most 3600")


def show_rows(common: Tabular, found: SqlAnswer) -> None:
    """The answer as it was asked for."""
    from app.common import answer

    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    told = {"columns": found.columns, "rows": rows, "truncated": found.truncated}
    answer(common, told, lambda: _show(found), rows, found.columns)


def _show(found: SqlAnswer) -> None:
    from app.printing import fitting, say, table

    columns = found.columns
    shown = list(range(len(columns))) if len(found.rows) <= _FEW else fitting(columns, found.rows)
    text = tuple(c for i, c in enumerate(columns) if any(isinstance(row[i], str) for row in found.rows))
    if columns:
        table([columns[i] for i in shown], [[row[i] for i in shown] for row in found.rows], left=text)
    if hidden := [c for i, c in enumerate(columns) if i not in shown]:
        say(f"not shown for lack of room: {', '.join(hidden)}; name the columns that you want, or add --json or --csv")
    if found.truncated:
        say(f"only the first {len(found.rows)} rows; ask for more with --limit, or for all with `nextclose export`")
