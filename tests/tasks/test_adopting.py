"""A found specification goes into [lstm] of the settings file, and every other line stays as it is."""

from __future__ import annotations

import pytest

from forecasting.errors import SettingError
from forecasting.lstm import LstmSpec
from storage.home import Home
from tasks.adopting import adopt_best, adopt_spec
from tasks.settings import read_settings

FILE = """# mine
[universe]
symbols = ["TSLA"]   # one is enough

[lstm]
# found by hand
dropout = 0.2 # a fifth
units = [
    16,
    32,  # two layers
]
seed = 11

# the day
[retraining]
after_sessions = 30
"""
FOUND = """# mine
[universe]
symbols = ["TSLA"]   # one is enough

[lstm]
# found by hand
dropout = 0.4 # a fifth
units = [64]
seed = 11
learning_rate = 0.0025

# the day
[retraining]
after_sessions = 30
"""


def test_adopt__replaces_adds_and_keeps_the_rest(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(FILE, encoding="utf-8")
    wanted = LstmSpec(dropout=0.4, units=(64,), seed=11, learning_rate=0.0025)
    assert adopt_spec(file, wanted) == {"dropout": 0.4, "units": [64], "learning_rate": 0.0025}
    assert file.read_text(encoding="utf-8") == FOUND
    assert adopt_spec(file, wanted) == {}
    assert read_settings(file, {}).lstm == wanted and read_settings(file, {}).retraining.after_sessions == 30


@pytest.mark.parametrize("before", [None, "", "[universe]\nsymbols = ['TSLA']\n", "[universe]\nsymbols = ['TSLA']"])
def test_adopt__makes_the_section_and_the_file(tmp_path, before):
    file = tmp_path / "settings.toml"
    if before is not None:
        file.write_text(before, encoding="utf-8")
    adopt_spec(file, LstmSpec(optimizer="adam", skip=False))
    text = file.read_text(encoding="utf-8")
    assert text.startswith((before or "").strip()) and text.endswith('[lstm]\nskip = false\noptimizer = "adam"\n')
    assert read_settings(file, {}).lstm == LstmSpec(optimizer="adam", skip=False)


@pytest.mark.parametrize(
    "text",
    [
        "lstm = { dropout = 0.2 }\n",
        "lstm.dropout = 0.2\n",
        "[lstm]\n'dropout' = 0.2\n[lstm.more]\nx = 1\n",
        "[lstm]\nbad = 1\n",
    ],
)
def test_adopt__leaves_alone_what_it_cannot_edit(tmp_path, text):
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=r"dropout = 0\.4|unknown"):
        adopt_spec(file, LstmSpec(dropout=0.4))
    assert file.read_text(encoding="utf-8") == text


def test_adopt__does_nothing_where_the_specification_in_use_is_the_best(tmp_path):
    assert adopt_best(Home(tmp_path), {"number": 0, "spec": {}}) == adopt_best(Home(tmp_path), None) == {}
    assert not (tmp_path / "settings.toml").exists()
