"""``nextclose scoreboard``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from app.common import TABULAR, Tabular

if TYPE_CHECKING:
    from storage.reading import Rows


def scoreboard(
    *,
    mode: Annotated[Literal["live", "backfill"] | None, Parameter(help="Only these; the two are never mixed.")] = None,
    common: Tabular = TABULAR,
) -> int:
    """How good the forecasts were: every forecaster against persistence and EWMA.

    For example:
      nextclose scoreboard
      nextclose scoreboard --mode live --json
    """
    from app.common import answer, records
    from storage.reading import scoreboard as read
    from storage.snapshot import open_snapshot

    with open_snapshot(common.opened()) as con:
        rows = read(con, mode)
    found = records(rows)
    answer(common, {"scoreboard": found}, lambda: show_scoreboard(rows), found, rows.columns)
    return 0


def show_scoreboard(rows: Rows, title: str = "") -> None:
    """One row a mode, horizon and forecaster; skill above zero is better."""
    from app.common import records
    from app.printing import percent, say, signed, table

    found = records(rows)
    if not found:
        say("Nothing has settled yet: the first forecast is scored once its target session is over.")
        return
    table(
        ("ahead", "forecaster", "n", "vs last close", "vs EWMA", "80 % held", "90 % held", "direction"),
        [
            (r["horizon"], r["forecaster"], r["n"], signed(r["skill_vs_persistence"]), signed(r["skill_vs_ewma"]),
             percent(r["coverage_80"]), percent(r["coverage_90"]), percent(r["direction_hit_rate"]))
            for r in found
        ],
        title or "Settled forecasts: skill in pinball loss, coverage of the intervals, right calls",
        left=("forecaster",),
    )  # fmt: skip
    modes = sorted({r["mode"] for r in found})
    sessions = max(r["n_sessions"] for r in found)
    say(f"{' and '.join(modes)}, up to {sessions} sessions; skill is 1 - loss / loss of the rival, above 0 is better")
