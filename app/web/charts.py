"""A chart as plain values. static/charts.js draws it with Plotly, chart_png.py with Matplotlib; colours are theirs, by role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

#: What a layer is, which decides its colour and stroke everywhere: lines and bands of ours, what came true, the naive one.
ROLES = (
    "ours",
    "actual",
    "naive",
    "wide",
    "middle",
    "narrow",
    "promise",
    "good",
    "bad",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
)
SERIES = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class Layer:
    """``kind``: line, band (y to high), bars, dots, or marks (labelled points on the axis). ``x``, ``y`` of one length."""

    kind: str
    name: str
    role: str
    x: Sequence[Any]
    y: Sequence[float | None]
    high: Sequence[float | None] = ()
    text: Sequence[str] = ()
    dash: bool = False
    error: Sequence[float | None] = ()


@dataclass(frozen=True)
class Chart:
    """``key`` names it on its page and in the address of its PNG. ``about``: what it shows, for who cannot see it.

    ``x_kind``: date, number or category; ``y_form``: price, percent or number.
    """

    key: str
    title: str
    about: str
    layers: tuple[Layer, ...]
    x_label: str = ""
    y_label: str = ""
    x_kind: str = "date"
    y_form: str = "number"
    zero: bool = False  # draw the line y = 0
    square: bool = False
    stacked: bool = False
    range_y: tuple[float, float] | None = None

    @property
    def empty(self) -> bool:
        return not any(any(v is not None for v in layer.y) for layer in self.layers)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; figures with six digits, since a picture needs no more."""
        layers = [
            {
                "kind": layer.kind, "name": layer.name, "role": layer.role, "dash": layer.dash,
                "x": [_x(v) for v in layer.x], "y": [_y(v) for v in layer.y], "high": [_y(v) for v in layer.high],
                "text": list(layer.text), "error": [_y(v) for v in layer.error],
            }
            for layer in self.layers
        ]  # fmt: skip
        names = ("key", "title", "about", "x_label", "y_label", "x_kind", "y_form", "zero", "square", "stacked", "range_y")
        return {name: getattr(self, name) for name in names} | {"layers": layers}


def line(name: str, role: str, x: Sequence[Any], y: Sequence[float | None], **more: Any) -> Layer:
    return Layer("line", name, role, x, y, **more)


def band(name: str, role: str, x: Sequence[Any], low: Sequence[float | None], high: Sequence[float | None]) -> Layer:
    return Layer("band", name, role, x, low, high)


def _x(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _y(value: float | None) -> float | None:
    return None if value is None or value != value or abs(value) == float("inf") else float(f"{value:.6g}")
