"""docs/accountability.md: its settings are the defaults, its codes are the code's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from forecasting.drift import BLOCK, DriftThresholds
from forecasting.lstm.machine import FORECAST_TOLERANCE, TRAINING_TOLERANCE
from tasks.reproducing import OTHER_BITS, TOLERANCE
from tasks.settings import settings_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "accountability.md").read_text(encoding="utf-8")


def test_settings__of_the_page_are_all_there_are_and_the_defaults():
    said = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[1])
    assert settings_of(said).drift == DriftThresholds()
    assert set(said["drift"]) == set(DriftThresholds.model_fields)
    assert f"last {BLOCK} sessions" in PAGE


def test_reasons__are_those_that_the_code_gives():
    code = (ROOT / "tasks" / "reproducing.py").read_text(encoding="utf-8")
    given = set(re.findall(r'Reason\(\s*"(\w+)"', code))
    assert given == set(
        re.findall(r"^\| `(\w+)` \| (?:what is stored|from what|it was issued|the model was|the run|none|all else)", PAGE, re.M)
    )
    assert f"| {OTHER_BITS} | other bits" in PAGE and f"off by more than {written(TOLERANCE)}" in PAGE


def test_tolerances__of_other_machines_are_the_codes_and_above_what_was_seen():
    said = re.findall(r"^- \*\*(1e-\d)\*\* for forecasts (from the same|of a model)", PAGE, re.M)
    assert said == [(written(FORECAST_TOLERANCE), "from the same"), (written(TRAINING_TOLERANCE), "of a model")]
    seen = re.findall(r"^\| (?:everything|AVX2|SSE).*? \| ([\de.-]+) \| ([\de.-]*) ?\|$", PAGE, re.M)
    assert len(seen) == 7 and max(float(same) for same, _ in seen) < FORECAST_TOLERANCE / 10
    assert max(float(anew) for _, anew in seen if anew) < TRAINING_TOLERANCE / 10


def written(number: float) -> str:
    return f"{number:.0e}".replace("e-0", "e-")
