"""What the pictures of an evaluation show, as plain numbers; drawn by ``tasks/plots_png.py`` and ``tasks/plots_html.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from forecasting.judging.judgement import Judgement
    from forecasting.judging.traces import Trace

OURS = "lstm"


@dataclass(frozen=True)
class Calibration:
    """Of one horizon: the share of outcomes at or below each quantile, which ought to be the quantile's level."""

    horizon: int
    levels: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Skill:
    """Of one horizon: skill against EWMA by year, and one standard error of it (its t tells)."""

    horizon: int
    years: tuple[str, ...]
    skill: tuple[float, ...]
    error: tuple[float, ...]


@dataclass(frozen=True)
class Loss:
    """Of one network of the ensemble: losses at each look during training; ``kept`` is the look whose weights stayed."""

    member: int
    updates: tuple[int, ...]
    train: tuple[float, ...]
    valid: tuple[float, ...]
    kept: int


@dataclass(frozen=True)
class Pictures:
    """All that is drawn of one evaluation."""

    title: str
    traces: tuple[Trace, ...]
    calibration: tuple[Calibration, ...]
    skill: tuple[Skill, ...]
    losses: tuple[Loss, ...]


def pictures_of(title: str, judgement: Judgement, card: Mapping[str, Any]) -> Pictures:
    """Of a judgement and the card of the (latest) model that was judged."""
    e = judgement.evaluation
    metrics = sorted(m for m in e.table["metric"].unique() if m.startswith("below_"))
    levels = tuple(int(m.removeprefix("below_")) / 100 for m in metrics)
    calibration = tuple(Calibration(h, levels, tuple(e.value(OURS, h, m) for m in metrics)) for h in e.horizons)
    return Pictures(title, judgement.traces, calibration, _skills(judgement), _losses(card.get("history", ())))


def middle(horizons: Sequence[int]) -> int:
    """The position of the horizon whose forecasts are drawn beside what came true: five sessions, or the nearest to it."""
    return int(np.argmin([abs(h - 5) for h in horizons]))


def _skills(judgement: Judgement) -> tuple[Skill, ...]:
    e = judgement.evaluation
    table = e.slices[(e.slices["forecaster"] == OURS) & (e.slices["kind"] == "year")]
    found = []
    for h in e.horizons:
        value = table[table["horizon"] == h].pivot(index="slice", columns="metric", values="value")
        if "skill" not in value:
            continue
        t = value["t"].abs()
        error = (value["skill"].abs() / t.where(t > 1e-3)).fillna(0.0)
        found.append(Skill(h, tuple(value.index), tuple(value["skill"]), tuple(error)))
    return tuple(found)


def _losses(history: Sequence[Mapping[str, Any]]) -> tuple[Loss, ...]:
    def known(values: Sequence[float | None]) -> tuple[float, ...]:
        return tuple(float("nan") if v is None else float(v) for v in values)

    return tuple(
        Loss(i, tuple(h["updates"]), known(h["train_loss"]), known(h["valid_loss"]), int(h["kept"]))
        for i, h in enumerate(history)
        if h.get("updates")
    )
