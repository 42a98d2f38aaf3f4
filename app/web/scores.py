"""What the scoreboard shows: skill against every rival, calibration, PIT, coverage over time, the paper portfolio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from app.web import queries
from app.web.charts import SERIES, Chart, Layer, line
from app.web.words import ahead
from storage.editions import Edition

SPANS = {"3m": 92, "1y": 366, "3y": 1100, "all": 100_000}
COST_BPS = 10.0
_SESSIONS_A_YEAR = 252
_PIT_EDGES = (0.0, *queries.LEVELS, 1.0)


@dataclass(frozen=True)
class Scores:
    mode: str
    modes: list[str]
    span: str
    horizons: list[int]
    summary: list[dict[str, Any]]
    rivals: list[str]
    skill: dict[tuple[str, int], dict[str, Any]]
    symbols: list[dict[str, Any]]  # symbol, n, and skill against each rival at the chosen horizon
    months: list[dict[str, Any]]
    horizon: int
    portfolio: list[dict[str, Any]]
    charts: list[Chart]


def scores(edition: Edition, mode: str | None, span: str, horizon: int | None) -> Scores | None:
    """The page; None where nothing has settled. ``span`` counts back from the newest origin of the ledger."""
    since = first_day(edition, span)
    if since is None:
        return None
    summary = queries.below(edition, since)
    if not summary:
        return None
    modes = sorted({row["mode"] for row in summary}, reverse=True)
    shown = mode if mode in modes else modes[0]
    summary = [row for row in summary if row["mode"] == shown]
    horizons = [row["horizon"] for row in summary]
    chosen = horizon if horizon in horizons else horizons[min(1, len(horizons) - 1)]
    cuts = [row for row in queries.skill(edition, since) if row["mode"] == shown]
    whole = [row for row in cuts if not row["by_month"] and not row["by_symbol"]]
    rivals = sorted({row["forecaster"] for row in whole}, key=_order)
    skill = {(row["forecaster"], row["horizon"]): row for row in whole}
    by_month = [row for row in cuts if row["by_month"] and row["horizon"] == chosen]
    by_symbol = [row for row in cuts if row["by_symbol"] and row["horizon"] == chosen]
    months = [row for row in queries.months(edition, since) if row["mode"] == shown]
    earned = [row for row in queries.paper(edition, since) if row["mode"] == shown]
    return Scores(
        shown, modes, span, horizons, summary, rivals, skill, _pivot(by_symbol, "symbol"), _pivot(by_month, "month"), chosen,
        [figure for h in horizons if (figure := _portfolio(h, earned))],
        [
            skill_chart(rivals, horizons, skill), months_chart(by_month, chosen), calibration_chart(summary),
            pit_chart(summary, chosen),
            coverage_chart(months, horizons), paper_chart(earned, horizons),
        ],
    )  # fmt: skip


def _order(name: str) -> tuple[int, str]:
    first = ("persistence", "ewma", "har", "linear_quantile")
    return (first.index(name) if name in first else len(first), name)


def _pivot(cuts: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """One row a value of ``by``: n and the skill against each rival."""
    rows: dict[Any, dict[str, Any]] = {}
    for cut in cuts:
        row = rows.setdefault(cut[by], {by: cut[by], "n": 0, "skill": {}})
        row["n"] = max(row["n"], cut["n"])
        row["skill"][cut["forecaster"]] = cut["skill"]
    return sorted(rows.values(), key=lambda row: str(row[by]))


def skill_chart(rivals: list[str], horizons: list[int], skill: dict[tuple[str, int], dict[str, Any]]) -> Chart:
    layers = tuple(
        Layer(
            "bars", f"{ahead(h)} ahead", SERIES[i % len(SERIES)], rivals, [skill.get((r, h), {}).get("skill") for r in rivals]
        )
        for i, h in enumerate(horizons)
    )
    about = "skill of what was served against each rival: the share of its pinball loss that was saved; above zero is better"
    return Chart(
        "skill",
        "Skill against each rival",
        about,
        layers,
        "",
        "share of the rival's loss saved",
        "category",
        "percent",
        zero=True,
    )


def months_chart(cuts: list[dict[str, Any]], horizon: int) -> Chart:
    first = ("persistence", "ewma", "har", "linear_quantile")
    names = [name for name in first if any(c["forecaster"] == name and c["skill"] is not None for c in cuts)][:3]
    layers = []
    for i, name in enumerate(names):
        own = [c for c in cuts if c["forecaster"] == name]
        layers.append(line(f"against {name}", SERIES[i], [c["month"] for c in own], [c["skill"] for c in own]))
    about = f"skill by month of the origin, {ahead(horizon)} ahead, against {', '.join(names)}"
    return Chart(
        "skill-months",
        f"Skill by month, {ahead(horizon)} ahead",
        about,
        tuple(layers),
        "",
        "share of the loss saved",
        y_form="percent",
        zero=True,
    )


def calibration_chart(summary: list[dict[str, Any]]) -> Chart:
    layers = [line("as promised", "promise", [0.0, 1.0], [0.0, 1.0], dash=True)]
    for i, row in enumerate(summary):
        shares = [row[f"below_{q[1:]}"] for q in queries.QUANTILES]
        layers.append(line(f"{ahead(row['horizon'])} ahead", SERIES[i % len(SERIES)], list(queries.LEVELS), shares))
    about = "for each quantile, the share of outcomes at or below it; on the dashed line it is its level"
    return Chart(
        "calibration", "Calibration: promised against observed", about, tuple(layers), "level of the quantile",
        "share of outcomes at or below", "number", "percent", square=True, range_y=(0.0, 1.0),
    )  # fmt: skip


def pit_chart(summary: list[dict[str, Any]], horizon: int) -> Chart:
    """How the outcomes spread over the eight ranges between the quantiles, over how they ought to: 1 is calibrated."""
    row = next(row for row in summary if row["horizon"] == horizon)
    shares = [0.0, *(row[f"below_{q[1:]}"] for q in queries.QUANTILES), 1.0]
    names = [f"{100 * a:.0f}–{100 * b:.0f}" for a, b in zip(_PIT_EDGES, _PIT_EDGES[1:], strict=False)]
    density = [(high - low) / (b - a) for low, high, a, b in zip(shares, shares[1:], _PIT_EDGES, _PIT_EDGES[1:], strict=False)]
    layers = (
        Layer("bars", "outcomes", "ours", names, density),
        line("as promised", "promise", [names[0], names[-1]], [1.0, 1.0], dash=True),
    )
    about = (
        f"probability integral transform, {ahead(horizon)} ahead: outcomes in each range of quantiles over the promised number"
    )
    return Chart(
        "pit",
        f"PIT histogram, {ahead(horizon)} ahead",
        about,
        layers,
        "range of quantiles",
        "observed over promised",
        "category",
    )


def coverage_chart(months: list[dict[str, Any]], horizons: list[int]) -> Chart:
    layers = []
    for i, h in enumerate(horizons):
        own = [row for row in months if row["horizon"] == h]
        layers.append(
            line(f"{ahead(h)} ahead", SERIES[i % len(SERIES)], [r["month"] for r in own], [r["coverage_80"] for r in own])
        )
    days = sorted({row["month"] for row in months})
    layers.append(line("promised", "promise", days, [0.8 for _ in days], dash=True))
    about = "share of outcomes inside the 80 % interval, by month of the origin"
    return Chart(
        "coverage",
        "Coverage of the 80 % interval by month",
        about,
        tuple(layers),
        "",
        "share of outcomes",
        y_form="percent",
        range_y=(0.0, 1.05),
    )


def paper_chart(earned: list[dict[str, Any]], horizons: list[int]) -> Chart:
    layers = []
    for i, h in enumerate(horizons):
        own = [row for row in earned if row["horizon"] == h]
        total, sums = 0.0, []
        for row in own:
            total += row["earned"] - _cost(h)
            sums.append(total)
        if own:
            layers.append(line(f"{ahead(h)} held", SERIES[i % len(SERIES)], [r["origin"] for r in own], sums))
    about = "summed daily returns of the paper portfolio after costs: the highest fifth of the ranking bought, the lowest sold"
    return Chart(
        "paper",
        "Paper portfolio, after costs",
        about,
        tuple(layers),
        "",
        "sum of returns on capital",
        y_form="percent",
        zero=True,
    )


def _cost(horizon: int) -> float:
    """Of one session, as a share of capital: two legs in and out once a horizon; more than a real ranking would trade."""
    return 4 * COST_BPS / 1e4 / horizon


def _portfolio(horizon: int, earned: list[dict[str, Any]]) -> dict[str, Any] | None:
    daily = [row["earned"] for row in earned if row["horizon"] == horizon]
    if len(daily) < 2:
        return None
    net = [value - _cost(horizon) for value in daily]
    mean = sum(net) / len(net)
    deviation = (sum((v - mean) ** 2 for v in net) / (len(net) - 1)) ** 0.5
    high = total = fall = 0.0
    for value in net:
        total += value
        high = max(high, total)
        fall = max(fall, high - total)
    return {
        "horizon": horizon, "sessions": len(net), "before": sum(daily) / len(daily) * _SESSIONS_A_YEAR,
        "after": mean * _SESSIONS_A_YEAR,
        "volatility": deviation * _SESSIONS_A_YEAR**0.5, "drawdown": fall,
        "symbols": max(row["symbols"] for row in earned if row["horizon"] == horizon),
    }  # fmt: skip


def first_day(edition: Edition, span: str) -> date | None:
    """The first day of a reach, which counts back from the newest origin; a month's first where it is longer than months."""
    newest = edition.kept("newest origin", lambda: edition.ask("SELECT max(origin) FROM forecasts").rows[0][0])
    if newest is None:
        return None
    return queries.LONG_AGO if span == "all" else (newest - timedelta(days=SPANS[span])).replace(day=1)


def count(edition: Edition, span: str) -> bool:
    """Do the counting that the page of a reach rests on; kept with the edition."""
    since = first_day(edition, span)
    if since is not None:
        for counted in (queries.below, queries.skill, queries.paper):
            counted(edition, since)
    return True
