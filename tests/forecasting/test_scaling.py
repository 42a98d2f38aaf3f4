import numpy as np
import pytest

from forecasting.scaling import Scaler

VALUES = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, np.nan], [4.0, 40.0], [1000.0, -7.0]], dtype=np.float32)
TRAIN = np.array([True, True, True, True, False])


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust"])
def test_fit__looks_at_training_rows_only(scaling):
    changed = VALUES.copy()
    changed[~TRAIN] *= 1000
    a, b = Scaler.fit(VALUES, TRAIN, scaling), Scaler.fit(changed, TRAIN, scaling)
    assert (a.center == b.center).all() and (a.width == b.width).all()


def test_fit__knows_three_ways():
    standard, minmax, robust = (Scaler.fit(VALUES, TRAIN, s) for s in ("standard", "minmax", "robust"))
    assert standard.center[0, 0] == pytest.approx(2.5) and standard.width[0, 0] == pytest.approx(np.std([1, 2, 3, 4]))
    assert minmax.center[0, 1] == 10 and minmax.width[0, 1] == 30  # the missing value does not count
    assert robust.center[0, 0] == pytest.approx(2.5) and robust.width[0, 0] == pytest.approx((3.25 - 1.75) / 1.349)


def test_scaler__clips_what_is_far_out_and_answers_zero_for_what_is_unknown():
    scaled = Scaler.fit(VALUES, TRAIN)(VALUES)
    assert scaled[4, 0] == 6.0 and scaled[4, 1] > -6.0
    assert scaled[2, 1] == 0.0
    assert scaled.dtype == np.float32


def test_scaler__keeps_each_group_to_itself():
    values = np.array([[5.0], [6.0], [500.0], [600.0]], dtype=np.float32)
    group = np.array([0, 0, 1, 1])
    scaled = Scaler.fit(values, np.ones(4, bool), "minmax", group)(values, group)
    assert scaled[:, 0].tolist() == [0, 1, 0, 1]


def test_scaler__leaves_a_constant_or_empty_feature_neutral():
    values = np.array([[3.0, np.nan], [3.0, np.nan]], dtype=np.float32)
    scaler = Scaler.fit(values, np.ones(2, bool))
    assert scaler.width.tolist() == [[1.0, 1.0]]
    assert scaler(values).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_fit__refuses_to_fit_on_nothing():
    with pytest.raises(ValueError, match="no training row"):
        Scaler.fit(VALUES, np.zeros(5, bool))
