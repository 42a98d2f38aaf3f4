"""The thresholds of data quality: described, bounded, and told apart by their digest."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from forecasting.errors import SettingError
from forecasting.quality.thresholds import QualityThresholds
from tasks.settings import settings_of


def test_thresholds__each_has_a_description_and_a_default_within_its_bounds() -> None:
    for name, one in QualityThresholds.model_fields.items():
        assert one.description, name
    assert QualityThresholds.model_validate(QualityThresholds().model_dump()) == QualityThresholds()


@pytest.mark.parametrize(("name", "value"), [("unit_tolerance", 0.5), ("large_move", -1.0), ("evidence", float("nan"))])
def test_thresholds__that_make_no_sense_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"setting quality.{name} is"):
        settings_of({"quality": {name: value}})


def test_thresholds__one_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean 'agree_within'"):
        settings_of({"quality": {"agre_within": 0.01}})


def test_thresholds__cannot_be_changed_and_differ_in_their_digest() -> None:
    usual = QualityThresholds()
    with pytest.raises(ValidationError):
        usual.evidence = 3.0  # type: ignore[misc]
    assert usual.digest == QualityThresholds().digest != usual.model_copy(update={"evidence": 3.0}).digest
