"""Small pictures made on the server: they need no script. Every number is formatted here, so nothing in them is markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import Any

from app.web.words import Markup


def spark(past: Sequence[float], fan: Sequence[tuple[float, Sequence[float]]], about: str) -> Markup:
    """The last closes and the fan of the forecast: ``fan`` holds (sessions ahead, the seven quantiles)."""
    values = [v for v in past if isfinite(v)]
    if not values or not fan:
        return Markup("")
    low = min([*values, *(q[0] for _, q in fan)])
    high = max([*values, *(q[-1] for _, q in fan)])
    span = (high - low) or 1.0
    width, height, split = 132.0, 34.0, 74.0
    last, reach = values[-1], max(h for h, _ in fan)

    def y(value: float) -> float:
        return 2 + (height - 4) * (high - value) / span

    def at(h: float) -> float:  # the square root: the fan grows with it, and one session stays visible beside twenty
        return split + (width - split - 2) * (h / reach) ** 0.5

    step = split / max(1, len(values) - 1)
    closes = " ".join(f"{i * step:.1f},{y(v):.1f}" for i, v in enumerate(values))
    bands = []
    for depth, name in ((0, "w"), (1, "m"), (2, "n")):
        up = [f"{split:.1f},{y(last):.1f}", *(f"{at(h):.1f},{y(q[-1 - depth]):.1f}" for h, q in fan)]
        down = [f"{at(h):.1f},{y(q[depth]):.1f}" for h, q in reversed(fan)]
        bands.append(f'<polygon class="{name}" points="{" ".join([*up, *down])}"/>')
    median = " ".join([f"{split:.1f},{y(last):.1f}", *(f"{at(h):.1f},{y(q[3]):.1f}" for h, q in fan)])
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(about)}">{"".join(bands)}'
        f'<polyline class="c" points="{closes}"/><polyline class="q" points="{median}"/></svg>'
    )


def fifths(shares: Sequence[float], about: str) -> Markup:
    """Five bars, the lowest fifth first; the line is what knowing nothing gives, one in five."""
    heights = [24 * min(1.0, p / 0.5) for p in shares]
    bars = "".join(
        f'<rect class="b{i + 1}" x="{i * 12}" width="10" y="{24 - high:.1f}" height="{high:.1f}"/>'
        for i, high in enumerate(heights)
    )
    line = f'<line x1="0" x2="58" y1="{24 - 24 * 0.4:.1f}" y2="{24 - 24 * 0.4:.1f}"/>'
    return Markup(f'<svg class="fifths" viewBox="0 0 58 24" role="img" aria-label="{escape(about)}">{bars}{line}</svg>')


def meter(share: float | None, about: str) -> Markup:
    """A share of one as a bar with its middle marked."""
    if share is None:
        return Markup("")
    x = 60 * min(1.0, max(0.0, share))
    left, wide = min(30.0, x), abs(x - 30)
    return Markup(
        f'<svg class="meter" viewBox="0 0 60 8" role="img" aria-label="{escape(about)}">'
        '<rect class="t" width="60" height="8" rx="2"/>'
        f'<rect class="{"u" if x >= 30 else "d"}" x="{left:.1f}" width="{wide:.1f}" height="8"/>'
        '<line x1="30" x2="30" y1="0" y2="8"/></svg>'
    )


def stages(parts: Sequence[tuple[str, float]]) -> Markup:
    """Seconds by stage as one bar each, the longest the whole width."""
    most = max([seconds for _, seconds in parts] or [0]) or 1.0
    rows = "".join(
        f'<text x="0" y="{18 * i + 12}">{escape(name)}</text><rect x="150" y="{18 * i + 3}" height="11" rx="2" '
        f'width="{max(1.0, 360 * seconds / most):.1f}"/><text x="{158 + max(1.0, 360 * seconds / most):.1f}" y="{18 * i + 12}">'
        f"{seconds:,.1f} s</text>"
        for i, (name, seconds) in enumerate(parts)
    )
    return Markup(
        f'<svg class="stages" viewBox="0 0 600 {18 * len(parts) + 4}" role="img" aria-label="seconds by stage">{rows}</svg>'
    )


def parallel(axes: Sequence[str], rows: Sequence[tuple[dict[str, Any], bool, str]]) -> Markup:
    """Parallel coordinates: a line a row through its place on every axis; ``rows`` holds (values, whether it is best, title).

    Numbers stand in order of size, words in the order of the alphabet; the last axis is the loss.
    """
    if len(axes) < 2 or not rows:
        return Markup("")
    width, height, top = 110 * (len(axes) - 1) + 120, 260, 34
    scales, ticks = {}, []
    for i, axis in enumerate(axes):
        found = [row[0].get(axis) for row in rows if row[0].get(axis) is not None]
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in found)
        x = 60 + 110 * i
        if numbers and found:
            low, high = min(found), max(found)
            span = (high - low) or 1.0
            scales[axis] = lambda v, low=low, span=span: top + (height - top - 20) * (1 - (v - low) / span)
            ends = [(high, top), (low, height - 20)] if high > low else [(low, height - 20)]
        else:
            names = sorted({str(v) for v in found})
            places = {name: top + (height - top - 20) * (j / max(1, len(names) - 1)) for j, name in enumerate(names)}
            scales[axis] = lambda v, places=places: places[str(v)]
            ends = [(name, y) for name, y in places.items()]
        ticks.append(
            f'<line class="axis" x1="{x}" x2="{x}" y1="{top}" y2="{height - 20}"/>'
            f'<text class="name" x="{x}" y="16">{escape(axis)}</text>'
        )
        for value, y in ends:
            told = f"{value:.4g}" if isinstance(value, float) else str(value)
            ticks.append(f'<text class="tick" x="{x + 4}" y="{y + 3:.0f}">{escape(told[:18])}</text>')
    lines = []
    for values, best, title in sorted(rows, key=lambda row: row[1]):
        points = " ".join(
            f"{60 + 110 * i},{scales[axis](values[axis]):.1f}" for i, axis in enumerate(axes) if values.get(axis) is not None
        )
        lines.append(
            f'<polyline class="{"best" if best else "trial"}" points="{points}"><title>{escape(title)}</title></polyline>'
        )
    return Markup(
        f'<svg class="parallel" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="tuning trials, a line each, the best one bold">'
        f"{''.join(lines)}{''.join(ticks)}</svg>"
    )
