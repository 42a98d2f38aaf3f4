"""docs/features.md: its tables are the registry's, and its example of a feature of one's own runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np

from forecasting.features import compute_features, expand, feature
from forecasting.features.page import MARK, page
from forecasting.features.sets import SETS
from forecasting.features.user import check_user_features, forget_user_features, load_user_features
from tests.references.market import small_panel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_page__is_current() -> None:
    """After a change type `python -m forecasting.features.page docs/features.md`."""
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2] == f"\n\n{page()}"


def test_sets__hold_features_that_exist_and_more_than_sixty_of_them() -> None:
    for name in expand(["set:all"]):
        assert feature(name).definition.endswith("."), name
    assert len(expand(["set:all"])) >= 60 and all(SETS.values())
    for name, members in SETS.items():
        assert f"### set:{name}\n" in page() and len(set(members)) == len(members)


def test_page__its_feature_of_ones_own_is_taken() -> None:
    text = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL).group(1)
    try:
        load_user_features(text)
        check_user_features(("gap_over_range",), small_panel())
        assert np.isfinite(compute_features(small_panel(), ("gap_over_range",)).values[25:100]).mean() > 0.9
    finally:
        forget_user_features()


def test_page__its_settings_are_settings() -> None:
    from tasks.settings import settings_of

    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert settings_of(tomllib.loads(examples[1])).features.file == "my_features.py"
    for example in examples:
        asked = expand(settings_of(tomllib.loads(example)).lstm.features)
        assert asked[: len(SETS["default"])] == SETS["default"] and not any(name.startswith("set:") for name in asked)
