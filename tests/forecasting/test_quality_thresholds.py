"""The thresholds of data quality: described, bounded, and told apart by their digest."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from forecasting.quality_thresholds import QualityThresholds


def test_thresholds__each_has_a_description_and_a_default_within_its_bounds() -> None:
    for one in fields(QualityThresholds):
        assert one.metadata["description"] and one.metadata["low"] <= one.default <= one.metadata["high"]


@pytest.mark.parametrize(("name", "value"), [("unit_tolerance", 0.5), ("large_move", -1.0), ("evidence", float("nan"))])
def test_thresholds__that_make_no_sense_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"quality.{name} is"):
        QualityThresholds(**{name: value})


def test_thresholds__cannot_be_changed_and_differ_in_their_digest() -> None:
    usual = QualityThresholds()
    with pytest.raises(FrozenInstanceError):
        usual.evidence = 3.0  # type: ignore[misc]
    assert usual.digest == QualityThresholds().digest != replace(usual, evidence=3.0).digest
