"""The pictures as PNG files. The only place that imports Matplotlib, and without pyplot: nothing global, no window."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.pictures import Calibration, Loss, Pictures, Skill, middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from forecasting.judging.traces import Trace

DOTS_AN_INCH = 90
_INK, _ACTUAL, _NAIVE = "#1f5fa8", "#222222", "#c46210"
_SERIES = ("#1f5fa8", "#c46210", "#3b7d3b", "#8a3b7d", "#555555")


def png_files(pictures: Pictures) -> dict[str, bytes]:
    """File name -> PNG bytes: forecasts.png (one row a symbol), calibration.png, skill.png, loss.png; those that have data."""
    from matplotlib.figure import Figure

    files = {}
    if pictures.traces:
        figure = Figure(figsize=(11, 3.2 * len(pictures.traces)), layout="constrained")
        grid = figure.subplots(len(pictures.traces), 2, squeeze=False, width_ratios=(3, 2))
        for line, trace in zip(grid, pictures.traces, strict=True):
            _against_actual(line[0], trace)
            _fan(line[1], trace)
        files["forecasts.png"] = _bytes(figure, pictures.title)
    for name, draw, parts in (
        ("calibration.png", _calibration, pictures.calibration), ("skill.png", _skill, pictures.skill),
        ("loss.png", _loss, pictures.losses),
    ):  # fmt: skip
        if parts:
            figure = Figure(figsize=(6.5, 4), layout="constrained")
            draw(figure.subplots(), parts)
            files[name] = _bytes(figure, pictures.title)
    return files


def _bytes(figure: Figure, title: str) -> bytes:
    figure.suptitle(title, fontsize=9, color="#555555")
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DOTS_AN_INCH, metadata={"Software": None})  # the same picture, the same bytes
    return target.getvalue()


def _against_actual(axes: Axes, trace: Trace) -> None:
    """What was said of each target session, and the close that came; the close at the origin is what no model would say."""
    k, q = middle(trace.horizons), trace.quantiles.shape[-1] // 2
    shown = ~np.isnat(trace.target[:, k])
    days, said = trace.target[shown, k], trace.quantiles[shown, k]
    axes.fill_between(days, said[:, 1], said[:, -2], color=_INK, alpha=0.2, linewidth=0, label="80 % interval")
    axes.plot(days, trace.close[shown], color=_NAIVE, linewidth=1.6, alpha=0.7, label="last close (persistence)")
    axes.plot(days, said[:, q], color=_INK, linewidth=0.9, label="forecast median")
    axes.plot(days, trace.actual[shown, k], color=_ACTUAL, linewidth=0.9, label="what came true")
    axes.set_title(f"{trace.symbol}, {trace.horizons[k]} sessions ahead", fontsize=10)
    _finish(axes, "close")
    _few_days(axes)


def _fan(axes: Axes, trace: Trace) -> None:
    """The last forecast of the span with the closes before it."""
    days, close = (part[-60:] for part in trace.before)
    ahead = np.append(0, trace.horizons)
    fan = np.vstack([np.full(trace.quantiles.shape[-1], trace.close[-1]), trace.quantiles[-1]])
    axes.plot(np.arange(-len(close) + 1, 1), close, color=_ACTUAL, linewidth=1, label="close")
    for i in range(fan.shape[1] // 2):
        axes.fill_between(ahead, fan[:, i], fan[:, -1 - i], color=_INK, alpha=0.16, linewidth=0)
    axes.plot(ahead, fan[:, fan.shape[1] // 2], color=_INK, linewidth=1, marker="o", markersize=3, label="forecast")
    axes.set_title(f"{trace.symbol} from {trace.origin[-1]}: 50, 80 and 90 %", fontsize=10)
    axes.set_xlabel("sessions from the origin", fontsize=8)
    _finish(axes, "")


def _calibration(axes: Axes, parts: tuple[Calibration, ...]) -> None:
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--", label="as promised")
    for color, part in zip(_SERIES, parts, strict=False):
        axes.plot(part.levels, part.shares, color=color, marker="o", markersize=4, linewidth=1, label=_ahead(part.horizon))
    axes.set_xlabel("level of the quantile", fontsize=8)
    axes.set_title("Calibration: share of outcomes at or below each quantile", fontsize=10)
    _finish(axes, "share of outcomes")


def _skill(axes: Axes, parts: tuple[Skill, ...]) -> None:
    years = sorted({year for part in parts for year in part.years})
    width = 0.8 / len(parts)
    for i, (color, part) in enumerate(zip(_SERIES, parts, strict=False)):
        place = np.array([years.index(year) for year in part.years]) + (i - (len(parts) - 1) / 2) * width
        axes.bar(place, 100 * np.array(part.skill), width, yerr=100 * np.array(part.error), color=color, capsize=2,
                 error_kw={"linewidth": 0.8}, label=_ahead(part.horizon))  # fmt: skip
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xticks(range(len(years)), years)
    axes.set_title("Skill against EWMA by year of the origin, with one standard error", fontsize=10)
    _finish(axes, "%")


def _loss(axes: Axes, parts: tuple[Loss, ...]) -> None:
    for color, part in zip(_SERIES * 4, parts, strict=False):
        axes.plot(part.updates, part.train, color=color, linewidth=0.9, linestyle=":", label=f"network {part.member}, training")
        axes.plot(part.updates, part.valid, color=color, linewidth=1.2, label=f"network {part.member}, validation")
        if 0 <= part.kept < len(part.updates):
            axes.plot(part.updates[part.kept], part.valid[part.kept], color=color, marker="o", markersize=5)
    axes.set_xlabel("gradient steps", fontsize=8)
    axes.set_title("Loss during training; the dot is what was kept", fontsize=10)
    _finish(axes, "loss")


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=7, frameon=False)


def _few_days(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _ahead(horizon: int) -> str:
    return f"{horizon} session{'s' if horizon > 1 else ''} ahead"
