"""A run or a backtest as one HTML file: style and pictures are in it, no script is, and it opens in ten years."""

from __future__ import annotations

import base64
from typing import Any

from app.web import models, queries, runs, scores, today
from app.web.chart_png import png
from app.web.charts import SERIES, Chart, Layer, line
from app.web.health import health
from app.web.pages import environment
from app.web.questions import HISTORY
from app.web.static_files import FOLDER
from app.web.words import ahead
from forecasting.errors import InputError
from storage.editions import Edition

_MOST_FORECASTS = 3000


def run_report(edition: Edition, run: str | None) -> str:
    """The report of a run (its first digits; None: the newest): what it forecast, how it went, scores and gate as of now.

    Raises InputError where no run, or more than one, begins so.
    """
    found = _found(edition, run)
    told = runs.run_page(edition, found)
    origin = told["run"]["origin"] if told else None
    forecasts = HISTORY.rows(edition, run=found, since=origin, until=origin, limit=_MOST_FORECASTS) if origin else []
    if not forecasts and told is not None:  # a run that only learnt or looked: what was served at its end
        forecasts = [row for rows in queries.latest(edition).values() for row in rows][:_MOST_FORECASTS]
    board = scores.scores(edition, None, "1y", None)
    charts = ([] if board is None else board.charts) + ([told["charts"][0]] if told and told.get("charts") else [])
    decided = [d for d in models.decisions(edition) if d["run_id"] == found] or models.decisions(edition, limit=1)
    return _rendered(
        "report_run.html", title=f"nextclose, run {found}", **(told or {}), forecasts=forecasts, board=board, decisions=decided,
        pictures=[(chart, _inline(chart)) for chart in charts if not chart.empty], champions=queries.champions(edition)[:1],
        sparks={row.symbol: row.spark for row in today.everything(edition)}, data=health(edition, [], edition.published_at),
        edition=edition,
    )  # fmt: skip


def backtest_report(report: dict[str, Any], name: str) -> str:
    """The report of what ``nextclose backtest --json`` answered; InputError for anything else."""
    try:
        horizons = report["horizons"]
        charts = [_skill(horizons), _calibration(horizons), _years(horizons)]
        text = _rendered(
            "report_backtest.html", title=f"nextclose, backtest {name}", report=report, horizons=horizons, gate=report["gate"],
            portfolio=report["portfolio"], pictures=[(chart, _inline(chart)) for chart in charts if not chart.empty],
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{name} is not what `nextclose backtest --json` answers ({type(error).__name__}: {error})") from error
    return text


def _found(edition: Edition, run: str | None) -> str:
    known = [row[0] for row in edition.ask("SELECT run_id FROM runs ORDER BY finished_at DESC").rows]
    fitting = known[:1] if run is None else [name for name in known if name.startswith(run.lower())]
    if len(fitting) != 1:
        raise InputError(
            f"{len(fitting)} runs begin with {run!r:.40}; `nextclose status` lists the newest"
            if run
            else "there is no run yet; type `nextclose run`"
        )
    return fitting[0]


def _rendered(template: str, **values: Any) -> str:
    style = (FOLDER / "app.css").read_text(encoding="utf-8")
    from app.web.words import Markup

    return environment().get_template(template).render(style=Markup(style), **values)


def _inline(chart: Chart) -> str:
    return "data:image/png;base64," + base64.b64encode(png(chart, 6.4, 3.6)).decode()


def _skill(horizons: list[dict[str, Any]]) -> Chart:
    rivals = list(horizons[0]["skill"])
    layers = tuple(
        Layer("bars", f"{ahead(h['horizon'])} ahead", SERIES[i % len(SERIES)], rivals, [h["skill"][r] for r in rivals])
        for i, h in enumerate(horizons)
    )
    about = "skill of the network against each rival on the judged span"
    return Chart(
        "skill", "Skill against each rival", about, layers, "", "share of the loss saved", "category", "percent", zero=True
    )


def _calibration(horizons: list[dict[str, Any]]) -> Chart:
    layers = [line("as promised", "promise", [0.0, 1.0], [0.0, 1.0], dash=True)]
    for i, h in enumerate(horizons):
        pairs = sorted((int(level) / 100, share) for level, share in h["below"].items())
        layers.append(
            line(f"{ahead(h['horizon'])} ahead", SERIES[i % len(SERIES)], [a for a, _ in pairs], [b for _, b in pairs])
        )
    about = "share of outcomes at or below each quantile"
    return Chart(
        "calibration",
        "Calibration",
        about,
        tuple(layers),
        "level of the quantile",
        "share of outcomes",
        "number",
        "percent",
        square=True,
    )


def _years(horizons: list[dict[str, Any]]) -> Chart:
    layers = []
    for i, h in enumerate(horizons):
        years = sorted(h["by_year"])
        layers.append(
            Layer(
                "bars",
                f"{ahead(h['horizon'])} ahead",
                SERIES[i % len(SERIES)],
                years,
                [h["by_year"][y].get("skill") for y in years],
            )
        )
    about = "skill against EWMA by year of the origin"
    return Chart(
        "years",
        "Skill against EWMA by year",
        about,
        tuple(layers),
        "",
        "share of the loss saved",
        "category",
        "percent",
        zero=True,
    )
