"""The pictures as one interactive page that needs no network. The only place that imports Plotly, and that for its script."""

from __future__ import annotations

import html
import json
from typing import Any

import numpy as np

from tasks.pictures import Pictures, middle

_INK, _ACTUAL, _NAIVE = "rgb(31,95,168)", "#222222", "#c46210"
_BAND = "rgba(31,95,168,0.18)"
_STYLE = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}h1{font-size:1.2em}"


def html_page(pictures: Pictures) -> bytes:
    """The page, UTF-8; Plotly's script is in it (some 5 MB), so that it opens anywhere and in ten years."""
    from plotly.offline import get_plotlyjs

    figures = _figures(pictures)
    # In a script element "</" would end it; written so, JSON says the same.
    data = json.dumps(_plain(figures), ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    title = html.escape(pictures.title)
    places = "".join(f'<div id="p{i}"></div>' for i in range(len(figures)))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head><body><h1>{title}</h1>{places}<script>const figures = {data};"
        'figures.forEach((f, i) => Plotly.newPlot("p" + i, f.data, f.layout, {responsive: true, displaylogo: false}));'
        "</script></body></html>"
    ).encode()


def _figures(pictures: Pictures) -> list[dict[str, Any]]:
    """Plotly figures as plain values."""
    figures = []
    for trace in pictures.traces:
        k, q = middle(trace.horizons), trace.quantiles.shape[-1] // 2
        shown = ~np.isnat(trace.target[:, k])
        days, said = trace.target[shown, k].astype(str), trace.quantiles[shown, k]
        lines = [
            *_band(days, said[:, 1], said[:, -2], "80 % interval"),
            _line(days, said[:, q], "forecast median", _INK),
            _line(days, trace.close[shown], "last close (persistence)", _NAIVE),
            _line(days, trace.actual[shown, k], "what came true", _ACTUAL),
        ]
        figures.append(_figure(f"{trace.symbol}, {trace.horizons[k]} sessions ahead", lines, "", "close"))
        ahead = [0, *trace.horizons]
        fan = np.vstack([np.full(trace.quantiles.shape[-1], trace.close[-1]), trace.quantiles[-1]])
        close = trace.before[1][-60:]
        lines = [_line(list(range(1 - len(close), 1)), close, "close", _ACTUAL)]
        for i, name in enumerate(("90 %", "80 %", "50 %")):
            lines += _band(ahead, fan[:, i], fan[:, -1 - i], name)
        lines.append(_line(ahead, fan[:, q], "forecast median", _INK, "lines+markers"))
        figures.append(_figure(f"{trace.symbol} from {trace.origin[-1]}", lines, "sessions from the origin", "close"))
    if pictures.calibration:
        lines = [_line([0, 1], [0, 1], "as promised", "#999999")]
        lines += [_line(c.levels, c.shares, f"{c.horizon} ahead", None, "lines+markers") for c in pictures.calibration]
        figures.append(_figure("Calibration", lines, "level of the quantile", "share of outcomes at or below it"))
    if pictures.skill:
        bars = [
            {"type": "bar", "x": list(s.years), "y": [100 * v for v in s.skill], "name": f"{s.horizon} ahead",
             "error_y": {"array": [100 * v for v in s.error]}}
            for s in pictures.skill
        ]  # fmt: skip
        figures.append(_figure("Skill against EWMA by year, with one standard error", bars, "", "%", category=True))
    if pictures.losses:
        lines = []
        for loss in pictures.losses:
            lines.append(_line(loss.updates, loss.train, f"network {loss.member}, training", None, dash="dot"))
            lines.append(_line(loss.updates, loss.valid, f"network {loss.member}, validation", None))
        figures.append(_figure("Loss during training", lines, "gradient steps", "loss"))
    return figures


def _line(x: Any, y: Any, name: str, color: str | None, mode: str = "lines", dash: str | None = None) -> dict[str, Any]:
    return {"type": "scatter", "mode": mode, "x": x, "y": y, "name": name, "line": {"color": color, "width": 1.4, "dash": dash}}


def _band(x: Any, low: Any, high: Any, name: str) -> list[dict[str, Any]]:
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        edge | {"y": low, "showlegend": False},
        edge | {"y": high, "name": name, "fill": "tonexty", "fillcolor": _BAND},
    ]


def _figure(title: str, data: list[dict[str, Any]], x: str, y: str, category: bool = False) -> dict[str, Any]:
    layout = {"title": {"text": html.escape(title)}, "xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}},
              "hovermode": "x unified", "height": 420}  # fmt: skip
    if category:
        layout["xaxis"]["type"] = "category"
    return {"data": data, "layout": layout}


def _plain(value: Any) -> Any:
    """As JSON can hold it, with six digits: a picture needs no more."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
