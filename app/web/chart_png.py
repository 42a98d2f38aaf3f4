"""Charts as PNG, for reports and for browsers without scripts. Matplotlib is only loaded here, and without pyplot."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

from app.web.charts import Chart, Layer

DOTS_AN_INCH = 100
#: Role -> colour on white; the light theme's of static/app.css.
COLOURS = {
    "ours": "#1f5fa8", "actual": "#1b1f24", "naive": "#b4560b", "wide": "#1f5fa8", "middle": "#1f5fa8", "narrow": "#1f5fa8",
    "promise": "#8a8f98", "good": "#1a7f4b", "bad": "#b3261e", "first": "#1f5fa8", "second": "#b4560b", "third": "#1a7f4b",
    "fourth": "#7b3f9e", "fifth": "#5c6370",
}  # fmt: skip
_ALPHA = {"wide": 0.14, "middle": 0.2, "narrow": 0.3}


def png(chart: Chart, width: float = 9.0, height: float = 4.0) -> bytes:
    """The chart, ``width`` by ``height`` inches; the same chart gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(height * 1.1, height) if chart.square else (width, height), layout="constrained")
    axes = figure.subplots()
    shown = [layer for layer in chart.layers if any(v is not None for v in layer.y)]
    bars = [layer for layer in shown if layer.kind == "bars"]
    for layer in shown:
        _draw(axes, chart, layer, bars)
    if chart.zero:
        axes.axhline(0, color="#8a8f98", linewidth=0.8)
    if chart.range_y:
        axes.set_ylim(*chart.range_y)
    axes.set_title(chart.title, fontsize=10, loc="left")
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if chart.x_kind == "date":
        _few_days(axes)
    if chart.y_form == "percent":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    if not shown:
        axes.text(0.5, 0.5, "nothing to show yet", ha="center", va="center", transform=axes.transAxes, color="#5c6370")
    elif sum(layer.kind != "marks" for layer in shown) > 1:
        axes.legend(fontsize=7, frameon=False)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DOTS_AN_INCH, metadata={"Software": None})
    return target.getvalue()


def _draw(axes: Any, chart: Chart, layer: Layer, bars: list[Layer]) -> None:
    colour = COLOURS[layer.role]
    x = [_day(v) for v in layer.x] if chart.x_kind == "date" else list(layer.x)
    y = [float("nan") if v is None else v for v in layer.y]
    if chart.x_kind == "category" and layer.kind != "bars" and bars:
        x = [list(bars[0].x).index(v) for v in layer.x]
    if layer.kind == "band":
        high = [float("nan") if v is None else v for v in layer.high]
        axes.fill_between(x, y, high, color=colour, alpha=_ALPHA.get(layer.role, 0.2), linewidth=0, label=layer.name)
    elif layer.kind == "bars":
        place, share = (0, 0.6) if chart.stacked else (bars.index(layer), 0.8 / len(bars))
        below = [sum(o.y[i] or 0.0 for o in bars[: bars.index(layer)]) for i in range(len(y))] if chart.stacked else None
        if chart.x_kind == "category":
            names = list(dict.fromkeys(name for one in bars for name in one.x))
            axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 8 else 0)
            x = [names.index(name) + (0 if chart.stacked else (place - (len(bars) - 1) / 2) * share) for name in layer.x]
        wide = share if chart.x_kind == "category" else 20 if chart.x_kind == "date" else share
        error = [float("nan") if v is None else v for v in layer.error] or None
        axes.bar(x, y, wide, bottom=below, color=colour, label=layer.name, yerr=error, error_kw={"linewidth": 0.8}, capsize=2)
    elif layer.kind == "dots":
        axes.plot(x, y, color=colour, marker="o", markersize=4, linestyle="none", label=layer.name)
    elif layer.kind == "marks":
        axes.plot(x, y, color=colour, marker="^", markersize=6, linestyle="none", label=layer.name)
        for at, value, text in zip(x, y, layer.text, strict=False):
            axes.annotate(text, (at, value), fontsize=6, xytext=(0, 6), textcoords="offset points", ha="center")
    else:
        style, mark = "--" if layer.dash else "-", "o" if len(x) < 12 else None
        axes.plot(x, y, color=colour, linewidth=1.3, linestyle=style, marker=mark, markersize=3, label=layer.name)


def _day(value: Any) -> Any:
    return date.fromisoformat(value[:10]) if isinstance(value, str) else value


def _few_days(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
