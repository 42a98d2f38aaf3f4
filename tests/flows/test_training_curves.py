"""The loss curve of every training can be read by SQL, and is what is drawn."""

from __future__ import annotations

import json

from app.cli import execute
from storage.home import Home
from storage.model_folders import load_model
from tasks.pictures import _losses


def test_training_curves__are_the_looks_of_the_training_as_the_card_has_them(finished, capsys):
    home, report = finished
    _, card = load_model(Home(home), report["decision"]["model_id"])
    [history] = card["history"]  # one member
    assert execute(["sql", "FROM training_curves", "--json", "--home", str(home)]) == 0
    looks = json.loads(capsys.readouterr().out)["rows"]
    assert [look["updates"] for look in looks] == history["updates"] and looks[0]["updates"] == 0
    assert [look["train_loss"] for look in looks] == history["train_loss"] and looks[0]["train_loss"] is None
    assert [look["valid_loss"] for look in looks] == history["valid_loss"]
    assert {(look["network"], look["symbol"], look["model_id"]) for look in looks} == {
        (1, None, report["decision"]["model_id"])
    }
    [kept] = [look for look in looks if look["kept"]]
    assert kept["valid_loss"] == min(look["valid_loss"] for look in looks)
    [drawn] = _losses(card["history"])  # the picture loss.png of the run
    assert drawn.valid == tuple(look["valid_loss"] for look in looks) and drawn.kept == kept["look"]
