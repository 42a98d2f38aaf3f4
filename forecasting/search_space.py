"""What tuning may change: a search space over the fields of LstmSpec, as a person writes it.

    learning_rate = { low = 0.0003, high = 0.01, log = true }     a range; step = 0.1 for steps, points for the grid
    units = [[16], [32], [32, 32]]                                a list of choices
    [variants.windows]                                            a named architecture: fields that change together
    labels_per_sequence = 1
    bidirectional = true

Each trial takes one value of every entry, and one of the variants where there are any.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from forecasting.errors import SettingError
from forecasting.lstm.network import LstmSpec

Sampler = Literal["grid", "tpe"]  # how a space is searched: every combination, or learning from the trials before
VARIANT = "variant"  # the name under which the chosen variant stands among the changes
POINTS = 4  # of a range without steps, on a grid
#: Fields that no search may change, and why.
FIXED = {
    "horizons": "losses over other horizons cannot be compared",
    "quantiles": "the ledger stores these levels",
    "members": "more are always better and cost more; set it in [lstm]",
    "calibration": "it is fitted on the sessions that trials are judged on",
    "seed": "a lucky seed is no better network",
}
DEFAULT_SPACE: dict[str, Any] = {
    "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
    "batch_size": [32, 64, 128],
    "epochs": [1, 2, 4],
    "units": [[16], [32], [64], [32, 32]],
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "weight_decay": [0.0, 0.01, 0.1],
}


class Inconsistent(ValueError):
    """Changes that no network can be built from; says why in the specification's own words."""


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    points: int = POINTS
    whole: bool = False

    def grid(self) -> list[float]:
        """The values that a grid search tries, ascending."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            values = [self.low + i * self.step for i in range(count)]
        elif self.log:
            values = [self.low * (self.high / self.low) ** (i / (self.points - 1)) for i in range(self.points)]
        else:
            values = [self.low + (self.high - self.low) * i / (self.points - 1) for i in range(self.points)]
        return list(dict.fromkeys(self.readable(value) for value in values))

    def readable(self, value: float) -> float:
        """``value`` with three digits: nobody wants to read, or type, more of a learning rate."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)


@dataclass(frozen=True)
class Space:
    """``dimensions``: for each field a Range or a tuple of choices; the choices of VARIANT are names of ``variants``."""

    dimensions: dict[str, Range | tuple]
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        return all(not isinstance(d, Range) or d.whole or d.step is not None for d in self.dimensions.values())

    def as_json(self) -> str:
        """The same text for the same space, whatever the order in which it was written."""
        plain = {name: vars(d) if isinstance(d, Range) else list(d) for name, d in self.dimensions.items()}
        return json.dumps({"dimensions": plain, "variants": self.variants}, sort_keys=True)

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of a grid search."""
        values = [d.grid() if isinstance(d, Range) else list(d) for d in self.dimensions.values()]
        return [dict(zip(self.dimensions, point, strict=True)) for point in itertools.product(*values)]

    def place_of(self, spec: LstmSpec) -> dict[str, Any] | None:
        """The changes that would give ``spec``; None where it lies outside the space."""
        if self.variants:
            return None
        place = {name: plain(getattr(spec, name)) for name in self.dimensions}
        return place if all(_holds(d, place[name]) for name, d in self.dimensions.items()) else None

    def spec_of(self, base: LstmSpec, changes: Mapping[str, Any]) -> LstmSpec:
        """``base`` with the changes; Inconsistent where they do not go together."""
        chosen = dict(changes)
        together = self.variants[chosen.pop(VARIANT)] if VARIANT in chosen else {}
        return changed(base, {**together, **chosen})


def changed(base: LstmSpec, values: Mapping[str, Any]) -> LstmSpec:
    """``base`` with other ``values``; Inconsistent with the first thing wrong with them."""
    try:
        return LstmSpec.model_validate({**base.model_dump(), **values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise Inconsistent(f"{place}: {message}" if place else message) from error


def space_of(values: Mapping[str, Any]) -> Space:
    """The space that a person wrote (see the module's text); SettingError names what is wrong and what to write."""
    values = dict(values)
    variants = values.pop("variants", {})
    if not isinstance(variants, Mapping) or not all(isinstance(v, Mapping) for v in variants.values()):
        raise SettingError("tuning.space.variants", _short(variants), "named tables, such as [variants.windows]")
    dimensions = {name: _dimension(name, value) for name, value in values.items()}
    for name, together in variants.items():
        for inside, value in together.items():
            _known(f"variants.{name}.{inside}", inside)
            if inside in dimensions:
                raise SettingError(
                    f"tuning.space.variants.{name}.{inside}", value, f"{inside} either here or as a choice of its own"
                )
    if variants:
        dimensions[VARIANT] = tuple(variants)
    if not dimensions:
        raise SettingError("tuning.space", "empty", "at least one field, such as learning_rate = [0.001, 0.003]")
    return Space(dimensions, {name: plain(dict(v)) for name, v in variants.items()})


def plain(value: Any) -> Any:
    """``value`` as JSON and TOML hold it."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _dimension(name: str, value: Any) -> Range | tuple:
    _known(name, name)
    where = f"tuning.space.{name}"
    if isinstance(value, Mapping):
        return _range(where, name, value)
    if not isinstance(value, (list, tuple)) or not value:
        raise SettingError(where, _short(value), "a list of choices, or a range such as { low = 0.001, high = 0.01 }")
    choices = tuple(plain(entry) for entry in value)
    if len({json.dumps(choice) for choice in choices}) < len(choices):
        raise SettingError(where, _short(value), "choices that differ")
    for choice in choices:
        _fits(where, name, choice)
    return choices


def _range(where: str, name: str, value: Mapping[str, Any]) -> Range:
    unknown = sorted(set(value) - {"low", "high", "log", "step", "points"})
    numbers = [value.get(part) for part in ("low", "high") if not isinstance(value.get(part), bool)]
    if unknown or len(numbers) < 2 or not all(isinstance(number, (int, float)) for number in numbers):
        raise SettingError(where, dict(value), "low and high, and if wanted log = true, step or points")
    low, high = numbers
    whole = LstmSpec.model_fields[name].annotation is int
    made = Range(low, high, bool(value.get("log", False)), value.get("step"), int(value.get("points", POINTS)), whole)
    if not low < high or (made.log and low <= 0) or made.points < 2:
        raise SettingError(where, dict(value), "low below high (above 0 with log = true), and at least 2 points")
    if made.step is not None and (made.log or made.step <= 0):
        raise SettingError(where, dict(value), "a step above 0, and none with log = true")
    for end in (low, high):
        _fits(where, name, end)
    return made


def _known(where: str, name: str) -> None:
    if name in FIXED:
        raise SettingError(f"tuning.space.{where}", name, f"another field: {FIXED[name]}")
    if name not in LstmSpec.model_fields:
        import difflib

        free = [known for known in LstmSpec.model_fields if known not in FIXED]
        close = difflib.get_close_matches(name, free, n=1)
        raise SettingError(f"tuning.space.{where}", name, f"did you mean {close[0]!r}?" if close else ", ".join(free))


def _fits(where: str, name: str, value: Any) -> None:
    """Whether a field may have a value at all; whether values go together is seen when a trial puts them together."""
    try:
        LstmSpec.model_validate({name: value})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"]:  # without a place it is about several fields
            raise SettingError(where, _short(value), first["msg"].removeprefix("Value error, ").lower()) from error


def _holds(dimension: Range | tuple, value: Any) -> bool:
    if not isinstance(dimension, Range):
        return value in dimension
    if not isinstance(value, (int, float)) or not dimension.low <= value <= dimension.high:
        return False
    return dimension.step is None or value in dimension.grid()


def _short(value: object) -> object:
    return value if len(str(value)) < 60 else f"{str(value)[:57]}..."
