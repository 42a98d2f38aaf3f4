"""A model folder that is not the one that was registered is never served: the cases of truncated, changed, exchanged and mixed
folders on a model that a real run has trained, counted as blocked / tried.

The gate's part (weights that are no numbers, constant, echoing, wild models) is in tests/forecasting/judging/test_gate.py,
tests/flows/test_promotion.py and tests/flows/test_controls_flow.py; equal bits alone and in company in tests/forecasting."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from flows.daily import daily
from flows.parameters import Daily
from forecasting.errors import UntrustedModel
from forecasting.models import rebuild
from storage.home import Home
from storage.model_folders import load_model, save_model
from storage.verify import verify

Arrays, Card = dict[str, np.ndarray], dict[str, Any]


@pytest.fixture
def home(copied) -> Home:
    return Home(copied)


@pytest.fixture
def model_id(home) -> str:
    [found] = [path.name for path in home.models.iterdir()]
    return found


def blocked(home: Home, model_id: str) -> bool:
    try:
        rebuild(*load_model(home, model_id))
    except UntrustedModel as error:
        assert "\n" not in str(error) and "nextclose retrain" in str(error)
        return True
    return False


def test_files__truncated_or_flipped_anywhere_are_refused_before_they_are_read(home, model_id, figure):
    rng, refused, tried = np.random.default_rng(4), 0, 0
    for name in ("weights.npz", "card.json"):
        path = home.models / model_id / name
        whole = path.read_bytes()
        for cut in rng.integers(0, len(whole), 50):
            path.write_bytes(whole[:cut])
            refused, tried = refused + blocked(home, model_id), tried + 1
        for bit in rng.integers(0, 8 * len(whole), 200):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(data)
            refused, tried = refused + blocked(home, model_id), tried + 1
        path.write_bytes(whole)
    figure(f"model files truncated and flipped: {refused} blocked / {tried} tried")
    assert refused == tried == 500 and not blocked(home, model_id)


def test_folder__of_another_model_or_of_parts_of_two_is_refused(home, model_id, figure):
    """Another run's folder, its weights, its card, and a folder with something beside the two files."""
    arrays, card = load_model(home, model_id)
    key = min(name for name in arrays if name.startswith("lstm/"))
    other = save_model(home, arrays | {key: arrays[key] + 1}, card | {"seed": 99})
    folder, theirs = home.models / model_id, home.models / other
    refused = 0
    for names in (("weights.npz", "card.json"), ("weights.npz",), ("card.json",)):
        kept = shutil.copytree(folder, home.path / "kept")
        for name in names:
            shutil.copyfile(theirs / name, folder / name)
        refused += blocked(home, model_id)
        shutil.rmtree(folder)
        shutil.move(kept, folder)
    (folder / "model.py").write_text("print('never run')")
    refused += blocked(home, model_id)
    (folder / "model.py").unlink()
    (folder / "weights.npz").rename(home.path / "elsewhere.npz")
    (folder / "weights.npz").symlink_to(home.path / "elsewhere.npz")
    refused += blocked(home, model_id)
    figure(f"model folders exchanged or mixed: {refused} blocked / 5 tried")
    assert refused == 5


def renamed(card: Card, names: tuple[str, ...]) -> Card:
    return card | {"spec": card["spec"] | {"features": list(names)}}


MIXTURES: dict[str, Callable[[Arrays, Card], tuple[Mapping[str, Any], Card]]] = {
    "features in another order": lambda a, c: (a, renamed(c, ("range", "ret"))),
    "a feature of another name": lambda a, c: (a, renamed(c, ("ret", "volume_20"))),
    "a feature more": lambda a, c: (a, renamed(c, ("ret", "range", "rsi_14"))),
    "a feature less": lambda a, c: (a, renamed(c, ("ret",))),
    "weights in float64": lambda a, c: ({n: x.astype(np.float64) for n, x in a.items()}, c),
    "the scaler of another run": lambda a, c: (a | {"scaler/center": a["scaler/center"] + 0.1}, c),
    "a scaler of zero width": lambda a, c: (a | {"scaler/width": a["scaler/width"] * 0}, c),
    "a scaler that is no number": lambda a, c: (a | {"scaler/width": a["scaler/width"] * np.nan}, c),
    "another format": lambda a, c: (a, c | {"format": 99}),
}


def test_parts__that_do_not_belong_together_are_refused_in_a_folder_with_a_right_name(home, model_id, figure):
    """As if somebody had made the folder anew around them: its hash is right, so only its content can tell."""
    arrays, card = load_model(home, model_id)
    assert tuple(card["spec"]["features"]) == ("ret", "range")
    passed = [what for what, mix in MIXTURES.items() if not blocked(home, save_model(home, *mix(dict(arrays), dict(card))))]
    figure(f"model folders of parts that do not belong together: {len(MIXTURES) - len(passed)} blocked / {len(MIXTURES)} tried")
    assert passed == []


def test_day__with_a_damaged_model_issues_no_forecast_from_it_and_says_what_to_do(home, model_id):
    """The ledger's earlier forecasts stay, verify names the folder, and a folder that is put right serves again."""
    path = home.models / model_id / "weights.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert [finding.kind for finding in verify(home)] == ["model"]
    with pytest.raises(UntrustedModel, match="nextclose retrain"):
        daily(Daily(home=str(home.path), origin="2021-04-01"))
    path.write_bytes(whole)
    report = daily(Daily(home=str(home.path), origin="2021-04-01"))
    assert report["status"] == "completed" and len(report["forecasts"]) > 0
