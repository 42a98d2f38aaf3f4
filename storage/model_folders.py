"""Model folders, named by the hash of their content.

A folder holds ``weights.npz`` (plain arrays, never pickled) and ``card.json``. Its name is the SHA-256 over the SHA-256 of
its two files, so a truncated, changed, exchanged or extra file is noticed before a byte of it is interpreted.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import UntrustedModel
from storage.home import Home, fsync

if TYPE_CHECKING:
    import numpy as np

_FILES = ("card.json", "weights.npz")


def save_model(home: Home, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> str:
    """Write the model folder and return its id (64 hex digits). The same content gives the same id and one folder."""
    files = {"card.json": card_text(card).encode(), "weights.npz": _pack(arrays)}
    model_id = _identity(files)
    folder = home.models / model_id
    home.models.mkdir(parents=True, exist_ok=True)
    for leftover in home.models.glob(".new-*"):  # of a run that was killed; only the lease's holder writes here
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists() and model_problem(home, model_id) is None:
        return model_id
    fresh = Path(tempfile.mkdtemp(dir=home.models, prefix=".new-"))
    try:
        for name, data in files.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        fsync(fresh)
        if folder.exists():  # damaged; what was just trained is what it should hold
            os.rename(folder, Path(tempfile.mkdtemp(dir=home.models, prefix=".damaged-")) / model_id)
        os.rename(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    fsync(home.models)
    return model_id


def load_model(home: Home, model_id: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the card of ``model_id``; UntrustedModel where the folder is not what its name says."""
    import numpy as np

    files = _read(home, model_id)
    with np.load(io.BytesIO(files["weights.npz"]), allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    return arrays, json.loads(files["card.json"])


def model_problem(home: Home, model_id: str) -> str | None:
    """One line on what is wrong with a model folder, None where it is what the registry recorded."""
    try:
        _read(home, model_id)
    except UntrustedModel as error:
        return str(error)
    return None


def _read(home: Home, model_id: str) -> dict[str, bytes]:
    """The two files' bytes, checked against the name before anything is parsed."""
    folder = home.models / model_id
    advice = "run `nextclose recover`, which takes it from a backup, or `nextclose retrain`"
    if len(model_id) != 64 or not set(model_id) <= set("0123456789abcdef"):
        raise UntrustedModel(f"{model_id!r:.80} is not a model id (64 hex digits)")
    try:
        found = sorted(entry.name for entry in folder.iterdir())
        if found != sorted(_FILES) or any((folder / name).is_symlink() for name in _FILES):
            raise UntrustedModel(f"model {model_id[:16]} holds {found}, not {list(_FILES)}; {advice}")
        files = {name: (folder / name).read_bytes() for name in _FILES}
    except OSError as error:
        raise UntrustedModel(f"model {model_id[:16]} cannot be read ({error.strerror}: {folder}); {advice}") from error
    if _identity(files) != model_id:
        raise UntrustedModel(f"model {model_id[:16]} was changed or exchanged since it was trained; {advice}")
    return files


def _identity(files: Mapping[str, bytes]) -> str:
    parts = [f"{name} {hashlib.sha256(files[name]).hexdigest()}" for name in _FILES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as .npz bytes that depend on nothing but the arrays (np.savez is not promised to)."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)
    return buffer.getvalue()


def card_text(card: Mapping[str, Any]) -> str:
    """The card as JSON with sorted keys; numbers that are not finite become null, dates ISO text."""
    return json.dumps(_plain(card), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value
