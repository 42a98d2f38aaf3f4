"""Parts that do not belong together are noticed when a model is loaded, and named."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from forecasting.errors import UntrustedModel
from forecasting.features import feature
from forecasting.intact import check_intact, marks_of, versions_of

NAMES = ("ret", "range", "rsi_14")
ARRAYS = {
    "lstm/0/00": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "scaler/center": np.array([[0.1, 0.2, 0.3]], np.float32),
    "scaler/width": np.array([[1.0, 2.0, 3.0]], np.float32),
}
CARD = {"spec": {"features": list(NAMES)}, "inputs": versions_of(NAMES), "arrays": marks_of(ARRAYS)}


def refusal(found=ARRAYS, **changed) -> str:
    with pytest.raises(UntrustedModel, match="nextclose retrain") as refused:
        check_intact(found, CARD | changed)
    return str(refused.value)


def test_check_intact__passes_what_was_trained_and_a_card_that_took_no_notes():
    check_intact({name: array.copy() for name, array in ARRAYS.items()}, copy.deepcopy(CARD))
    check_intact(ARRAYS, {"spec": CARD["spec"]})


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (("range", "ret", "rsi_14"), "another order than the model was trained on: number 1 is range, it was ret"),
        (("ret", "range", "rsi_15"), "rsi_14 missing and rsi_15 added"),
        (("ret", "range", "rsi_14", "sma_5"), ": sma_5 added;"),
        (("ret", "range"), ": rsi_14 missing;"),
    ],
)
def test_check_intact__names_the_feature_that_differs(features, said):
    assert said in refusal(spec={"features": list(features)})


def test_check_intact__notices_a_feature_that_is_computed_otherwise_by_now():
    older = [[name, version - (name == "range")] for name, version in CARD["inputs"]]
    now = feature("range").version
    assert f"feature range is computed otherwise by now (version {now}, trained on {now - 1})" in refusal(inputs=older)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("lstm/0/00", ARRAYS["lstm/0/00"].astype(np.float64), "array lstm/0/00 is float64 [3, 4], not float32 [3, 4]"),
        ("lstm/0/00", ARRAYS["lstm/0/00"].T, "is float32 [4, 3], not float32 [3, 4]"),
        (
            "scaler/center",
            ARRAYS["scaler/center"] + 1,
            "array scaler/center holds other numbers than this model was trained to",
        ),
        ("lstm/1/00", ARRAYS["lstm/0/00"], "array lstm/1/00 is none of this model's"),
        ("lstm/0/00", None, "array lstm/0/00 is missing"),
    ],
)
def test_check_intact__names_the_array_of_another_run(name, array, said):
    changed = {key: value for key, value in (ARRAYS | {name: array}).items() if value is not None}
    assert said in refusal(changed)


@pytest.mark.parametrize("width", [[1.0, 0.0, 3.0], [1.0, np.nan, 3.0], [1.0, -2.0, 3.0], [1.0, np.inf, 3.0]])
def test_check_intact__refuses_a_scaler_that_cannot_scale(width):
    arrays = ARRAYS | {"scaler/width": np.array([width], np.float32)}
    assert "a width that is not above zero, or a number that is none" in refusal(arrays, arrays=marks_of(arrays))


def test_check_intact__refuses_a_scaler_of_fewer_features():
    arrays = ARRAYS | {"scaler/center": np.zeros((1, 2), np.float32), "scaler/width": np.ones((1, 2), np.float32)}
    assert "not one line of 3 numbers" in refusal(arrays, arrays=marks_of(arrays))
