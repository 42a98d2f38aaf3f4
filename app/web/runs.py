"""What the pages of runs show: our own ledger, with the time that each stage took."""

from __future__ import annotations

from typing import Any

from app.web import queries
from app.web.charts import SERIES, Chart, Layer
from app.web.questions import RUNS
from app.web.svg import stages as drawn
from storage.editions import Edition

PAGE = 100
_SHOWN_IN_CHART = 30


def runs(edition: Edition, flow: str | None, status: str | None, page: int) -> dict[str, Any]:
    """A page of runs, the newest first, and the chart of where their time went."""
    found = RUNS.rows(edition, flow=flow, status=status, limit=PAGE + 1, offset=(page - 1) * PAGE)
    times = queries.stages_of_runs(edition)
    return {
        "runs": found[:PAGE], "more": len(found) > PAGE, "page": page,
        "flows": [row[0] for row in edition.kept("flows",
        lambda: edition.ask("SELECT DISTINCT flow FROM runs ORDER BY flow").rows)],
        "charts": [stages_chart(found[:_SHOWN_IN_CHART], times)],
    }  # fmt: skip


def run_page(edition: Edition, run: str) -> dict[str, Any] | None:
    """One run with its stages and steps; None where it is not known."""
    found = [row for row in RUNS.rows(edition, run=run, limit=1)]
    if not found:
        return None
    parts = queries.stages(edition, run)
    return {
        "run": found[0], "stages": parts, "steps": queries.steps(edition, run),
        "picture": drawn([(row["stage"].replace("_", " "), row["seconds"] or 0.0) for row in parts]),
    }  # fmt: skip


def stages_chart(found: list[dict[str, Any]], times: dict[str, dict[str, float]]) -> Chart:
    """Seconds of the newest runs, the four longest stages by name and the rest together."""
    shown = [row for row in reversed(found) if row["run_id"] in times]
    total: dict[str, float] = {}
    for row in shown:
        for stage, seconds in times[row["run_id"]].items():
            total[stage] = total.get(stage, 0.0) + seconds
    longest = sorted(total, key=lambda stage: -total[stage])[:4]
    names = [f"{row['flow']} {row['origin'] or ''} {row['run_id'][:4]}".strip() for row in shown]
    layers = [
        Layer("bars", stage.replace("_", " "), SERIES[i], names, [times[row["run_id"]].get(stage, 0.0) for row in shown])
        for i, stage in enumerate(longest)
    ]
    rest = [sum(v for stage, v in times[row["run_id"]].items() if stage not in longest) for row in shown]
    if any(rest):
        layers.append(Layer("bars", "all else", SERIES[4], names, rest))
    return Chart(
        "stages", "Where the time went", "seconds by stage of the newest runs", tuple(layers), "", "seconds", "category"
    )
