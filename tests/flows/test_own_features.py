"""A file of one's own features on its way through the days: into the model's card, checked each day, refused when it leaks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from flows.daily import daily
from flows.parameters import Daily, Retrain
from flows.retrain import retrain
from forecasting.errors import FeatureFileError, LeakFound, UntrustedModel
from forecasting.features.user import forget_user_features
from tests.tiny import tiny_home

HONEST = '''
def body(bars):
    """Close over open, less 1."""
    return bars.close / bars.open - 1
body.warm_up = 0
'''
LEAKY = '''
import numpy as np

def body(bars):
    """Tomorrow's return, called today's."""
    return np.append(bars.returns[1:], np.nan)
body.warm_up = 1
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The miniature installation with one feature of its own, and one day done."""
    folder = tiny_home(tmp_path_factory.mktemp("own") / "home")
    settings = folder / "settings.toml"
    text = settings.read_text(encoding="utf-8").replace('["ret", "range"]', '["ret", "range", "body"]')
    settings.write_text(text + '\n[features]\nfile = "my_features.py"\n', encoding="utf-8")
    (folder / "my_features.py").write_text(HONEST, encoding="utf-8")
    daily(Daily(home=str(folder), origin="2021-03-31"))
    yield folder
    forget_user_features()


def cards(home: Path) -> list[dict]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(home.rglob("card.json"))]


def test_card__keeps_the_digest_of_the_file_that_the_model_was_trained_with(home: Path) -> None:
    digest = hashlib.sha256(HONEST.encode()).hexdigest()
    assert [card["user_features"] for card in cards(home)] == [{"body": digest}]
    assert cards(home)[0]["spec"]["features"] == ["ret", "range", "body"]


def test_days__after_the_file_changed_are_refused_until_a_model_is_trained_with_it(home: Path) -> None:
    file = home / "my_features.py"
    file.write_text(HONEST.replace("- 1\n", "- 1.0\n"), encoding="utf-8")
    with pytest.raises(UntrustedModel, match=r"my_features\.py is not the file .* trained with .*`nextclose retrain`"):
        daily(Daily(home=str(home), origin="2021-04-01"))
    file.write_text(HONEST, encoding="utf-8")
    assert daily(Daily(home=str(home), origin="2021-04-01"))["status"] == "completed"
    file.write_text(HONEST.replace("- 1\n", "- 1.0\n"), encoding="utf-8")
    retrain(Retrain(home=str(home)))
    assert len({card["user_features"]["body"] for card in cards(home)}) == 2
    assert daily(Daily(home=str(home), origin="2021-04-05"))["status"] == "completed"


def test_leak__in_a_feature_of_ones_own_ends_the_run_before_the_gate_and_names_it(home: Path) -> None:
    (home / "my_features.py").write_text(LEAKY, encoding="utf-8")
    with pytest.raises(LeakFound, match="body has seen the future"):
        retrain(Retrain(home=str(home)))


def test_file__that_is_not_there_is_named(home: Path) -> None:
    (home / "my_features.py").unlink()
    with pytest.raises(FeatureFileError, match=r"my_features\.py: cannot be read: No such file.*\[features\] file"):
        daily(Daily(home=str(home), origin="2021-04-06"))
