"""Model folders are what the registry recorded, or they are not loaded."""

from __future__ import annotations

import shutil
from datetime import date

import numpy as np
import pytest

from forecasting.errors import UntrustedModel
from storage.model_folders import load_model, save_model

ARRAYS = {"lstm/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "scaler.mean": np.array([0.5, -0.25])}
CARD = {
    "spec": {"units": 64},
    "features": ["return_1"],
    "train_end": date(2018, 12, 31),
    "loss": np.float32(0.25),
    "bad": np.nan,
}


def test_save_model__and_load_it_again(home):
    home.ensure_writable()
    model_id = save_model(home, ARRAYS, CARD)
    arrays, card = load_model(home, model_id)
    assert {name: array.dtype for name, array in arrays.items()} == {name: array.dtype for name, array in ARRAYS.items()}
    assert all((arrays[name] == ARRAYS[name]).all() for name in ARRAYS)
    assert card == {"spec": {"units": 64}, "features": ["return_1"], "train_end": "2018-12-31", "loss": 0.25, "bad": None}


def test_save_model__the_id_is_the_content(home):
    home.ensure_writable()
    first = save_model(home, ARRAYS, CARD)
    assert save_model(home, dict(reversed(ARRAYS.items())), dict(reversed(CARD.items()))) == first
    assert save_model(home, {**ARRAYS, "scaler.mean": np.array([0.5, -0.5])}, CARD) != first
    assert save_model(home, ARRAYS, {**CARD, "seed": 1}) != first
    assert len(list(home.models.iterdir())) == 3  # no temporary folder is left


def test_save_model__clears_what_a_killed_run_left_and_mends_a_damaged_folder(home):
    home.ensure_writable()
    model_id = save_model(home, ARRAYS, CARD)
    (home.models / ".new-killed").mkdir()
    (home.models / model_id / "card.json").write_text("{}")
    assert save_model(home, ARRAYS, CARD) == model_id
    load_model(home, model_id)
    assert not (home.models / ".new-killed").exists()


def test_load_model__refuses_truncated_and_flipped_files(home):
    home.ensure_writable()
    model_id = save_model(home, ARRAYS, CARD)
    rng = np.random.default_rng(1)
    refused = 0
    for name in ("weights.npz", "card.json"):
        path = home.models / model_id / name
        whole = path.read_bytes()
        for cut in rng.integers(0, len(whole), 50):
            path.write_bytes(whole[:cut])
            with pytest.raises(UntrustedModel, match="retrain"):
                load_model(home, model_id)
            refused += 1
        for bit in rng.integers(0, 8 * len(whole), 100):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(flipped)
            with pytest.raises(UntrustedModel):
                load_model(home, model_id)
            refused += 1
        path.write_bytes(whole)
    assert refused == 300
    load_model(home, model_id)


def test_load_model__refuses_another_folder_under_its_name_and_extra_or_missing_files(home):
    home.ensure_writable()
    ours, other = save_model(home, ARRAYS, CARD), save_model(home, ARRAYS, {**CARD, "seed": 1})
    folder = home.models / ours
    (folder / "extra.py").write_text("print('never run')")
    with pytest.raises(UntrustedModel, match="extra.py"):
        load_model(home, ours)
    (folder / "extra.py").unlink()
    shutil.rmtree(folder)
    shutil.copytree(home.models / other, folder)
    with pytest.raises(UntrustedModel, match="changed or exchanged"):
        load_model(home, ours)
    (folder / "weights.npz").unlink()
    with pytest.raises(UntrustedModel):
        load_model(home, ours)
    for name in ("../../etc", "", "0" * 64):
        with pytest.raises(UntrustedModel):
            load_model(home, name)


def test_save_model__refuses_arrays_that_would_need_pickle(home):
    home.ensure_writable()
    with pytest.raises(ValueError, match="pickle"):
        save_model(home, {"objects": np.array([{}], dtype=object)}, CARD)
