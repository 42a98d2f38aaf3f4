"""The network as people configure it: in settings.toml, through the real command, to a forecast."""

from __future__ import annotations

import contextlib
import io
import json
import re

import pytest

from app.cli import execute
from storage.home import Home
from storage.model_folders import load_model
from tests.tiny import SETTINGS

TUTORIAL = """
features = ["close", "close_lag_1", "close_lag_2", "close_lag_30"]
target = "close"
output = "point"
loss = "mae"
scaling = "minmax"
units = [4, 3]
activation = "relu"
bidirectional = true
normalisation = "batch"
dropout = 0.2
optimizer = "adam"
learning_rate = 0.01
labels_per_sequence = 1
lookback = 10
skip = false
stem_units = 0
head_units = 4
members = 1
epochs = 1
min_updates = 4
batch_size = 16
horizons = [1, 2, 3, 10]
excess_weight = 0.0
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Home, dict]:
    """The tutorials' network with everything that they let one turn, and the day that it was trained on."""
    home = tmp_path_factory.mktemp("configured") / "home"
    home.mkdir()
    before, rest = SETTINGS.split("[lstm]")
    text = before + "[lstm]" + TUTORIAL + rest[rest.index("\n[evaluation]") :]
    (home / "settings.toml").write_text(text.replace("plots = false", "plots = true"), encoding="utf-8")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert execute(["run", "--origin", "2021-03-31", "--json", "--home", str(home)]) == 0
    return Home(home), json.loads(said.getvalue())


def test_run__trains_what_the_settings_say_and_forecasts_every_horizon(ran):
    home, report = ran
    arrays, card = load_model(home, report["decision"]["model_id"])
    spec = card["spec"]
    for line in TUTORIAL.strip().splitlines():
        name, value = line.split(" = ", 1)
        assert spec[name] == json.loads(value), name
    # two layers both ways of 4 and 3 units, each with its batch normalisation: 6 + 4 arrays a layer, and two dense layers
    shapes = [arrays[name].shape for name in sorted(arrays) if name.startswith("lstm/0/")]
    assert len(shapes) == 2 * (6 + 4) + 2 * 2 and shapes[0] == (4, 16) and shapes[-1] == (4,)
    assert [f["horizon"] for f in report["forecasts"]] == [1, 2, 3, 10] * 3


def test_run__leaves_the_loss_curve_and_the_pictures(ran, capsys):
    home, report = ran
    names = {path.rsplit("/", 1)[1] for path in report["plots"]}
    assert {"forecasts.png", "calibration.png", "skill.png", "loss.png", "evaluation.html"} == names
    assert execute(["sql", "SELECT count(*) AS n FROM training_curves", "--json", "--home", str(home.path)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["n"] >= 2


def test_evaluations__hold_every_metric_that_people_ask_for(ran, capsys):
    home, report = ran
    sql = "SELECT DISTINCT metric FROM evaluations WHERE forecaster = 'lstm'"
    assert execute(["sql", sql, "--json", "--home", str(home.path)]) == 0
    found = {row["metric"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert found >= {"mse", "rmse", "mae", "mape", "mase", "direction", "pinball", "coverage_50", "coverage_80", "coverage_90"}
    assert execute(["models", report["decision"]["model_id"][:8], "--home", str(home.path)]) == 0
    said = capsys.readouterr().out  # side by side where the terminal is wide enough, else below one another
    assert all(re.search(rf"\b{name}\b", said) for name in ("ahead", "forecaster", "pinball", "mae", "rmse", "coverage_80"))
