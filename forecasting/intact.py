"""Is a model's folder one thing? What the card notes at training, compared with what is there when the model is loaded.

The registry's hash says that a folder is the one that was registered. This says that its parts belong together, and names
the part that does not: features that the code computes otherwise by now, arrays of another run or another kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecasting.errors import UntrustedModel

_ADVICE = "type `nextclose retrain`"


def marks_of(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """A mark of each array: kind of number, shape and the first digits of its SHA-256."""
    return {name: _mark(array) for name, array in sorted(arrays.items())}


def versions_of(names: Sequence[str]) -> list[list[Any]]:
    """Each feature with the version of its definition, in the order in which the model reads them."""
    from forecasting.features import feature

    return [[name, feature(name).version] for name in names]


def check_intact(arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """Raise UntrustedModel, naming the first part that does not belong; a card of before it took notes passes."""
    if "inputs" in card:
        _check_features([(name, version) for name, version in card["inputs"]], tuple(card["spec"]["features"]))
    if "arrays" in card:
        _check_arrays(arrays, card["arrays"])
    if "scaler/width" in arrays:
        _check_scaler(arrays, len(card["spec"]["features"]))


def _check_features(trained: list[tuple[str, int]], spec: tuple[str, ...]) -> None:
    names = tuple(name for name, _ in trained)
    gone, new = [n for n in names if n not in spec], [n for n in spec if n not in names]
    if gone or new:
        said = [f"{', '.join(gone)} missing"] if gone else []
        said += [f"{', '.join(new)} added"] if new else []
        raise UntrustedModel(f"the features are not those that the model was trained on: {' and '.join(said)}; {_ADVICE}")
    if names != spec:
        at = next(i for i, (one, two) in enumerate(zip(names, spec, strict=False)) if one != two)
        raise UntrustedModel(
            f"the features are in another order than the model was trained on: number {at + 1} is {spec[at]}, "
            f"it was {names[at]}; {_ADVICE}"
        )
    now = dict(versions_of(spec))
    for name, version in trained:
        if now[name] != version:
            raise UntrustedModel(
                f"feature {name} is computed otherwise by now (version {now[name]}, trained on {version}); {_ADVICE}"
            )


def _check_arrays(arrays: Mapping[str, np.ndarray], marks: Mapping[str, str]) -> None:
    for name in sorted({*arrays, *marks}):
        if name not in marks:
            raise UntrustedModel(f"array {name} is none of this model's; {_ADVICE}")
        if name not in arrays:
            raise UntrustedModel(f"array {name} is missing; {_ADVICE}")
        found = _mark(arrays[name])
        if found != marks[name]:
            kind, noted = found.rsplit(" ", 1)[0], marks[name].rsplit(" ", 1)[0]
            how = f"is {kind}, not {noted}" if kind != noted else "holds other numbers than this model was trained to"
            raise UntrustedModel(f"array {name} {how}; {_ADVICE}")


def _check_scaler(arrays: Mapping[str, np.ndarray], features: int) -> None:
    center, width = arrays.get("scaler/center"), arrays["scaler/width"]
    if center is None or center.shape != width.shape or width.ndim != 2 or width.shape[1] != features:
        raise UntrustedModel(f"the scaler has not one line of {features} numbers, one a feature; {_ADVICE}")
    if not (np.isfinite(center).all() and np.isfinite(width).all() and (width > 0).all()):
        raise UntrustedModel(f"the scaler holds a width that is not above zero, or a number that is none; {_ADVICE}")


def _mark(array: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype} {list(array.shape)} {digest}"
