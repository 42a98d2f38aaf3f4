"""Another processor: the same model folder, and a training of its own, under the instructions of one from before AVX."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forecasting.lstm import LstmSpec
from forecasting.lstm.machine import FORECAST_TOLERANCE, TRAINING_TOLERANCE, known_instructions, vector_class
from forecasting.models import fit_model, rebuild
from forecasting.splits import Spans
from tests.forecasting.markets import walks

ROOT = Path(__file__).resolve().parents[3]
PANEL = walks(11, 3, 400)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[250], DAYS[320], DAYS[399])
SPEC = LstmSpec(
    features=("ret", "range", "vol_level"), lookback=15, labels_per_sequence=30, min_updates=40, members=2, horizons=(1, 5)
)
#: Each library's own word for the instructions it may use: XLA, oneDNN's kernels in TensorFlow, numba, OpenBLAS, the C library.
OLD = {
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem",
    "NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-AVX512F,-AVX512VL",
}  # fmt: skip


def fitted():
    return fit_model(SPEC, PANEL, None, SPANS, rivals=("ewma", "har", "ridge", "linear_quantile"))


def forecasts(model) -> dict[str, np.ndarray]:
    inputs = model.inputs(PANEL)
    return model.quantiles(inputs, np.flatnonzero(PANEL.at > 330))


def elsewhere(folder: Path) -> None:
    """In a process that takes itself for an older processor: the model of ``folder`` asked again, and trained again."""
    with np.load(folder / "arrays.npz") as stored:
        same = forecasts(rebuild(dict(stored), json.loads((folder / "card.json").read_text())))
    again = forecasts(fitted())
    parts = {f"{kind} {name}": a for kind, answer in (("same", same), ("again", again)) for name, a in answer.items()}
    np.savez(folder / "answers.npz", vector=vector_class(known_instructions()), **parts)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86-64")
def test_forecasts__of_an_older_processor_are_within_the_stated_tolerance(tmp_path):
    """What is stored differs by rounding alone; what is trained there differs by what rounding grows to."""
    model = fitted()
    here = forecasts(model)
    np.savez(tmp_path / "arrays.npz", **model.arrays)
    (tmp_path / "card.json").write_text(json.dumps(model.card))
    hidden = " ".join(name for name in np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()))
    script = f"from tests.forecasting.lstm import test_instructions as t; t.elsewhere(t.Path({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **OLD, "NPY_DISABLE_CPU_FEATURES": hidden},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "answers.npz") as found:
        there = dict(found)
    assert there.pop("vector") == "sse"
    off = {name: float(np.abs(answer - here[name.split()[1]]).max()) for name, answer in there.items()}  # of log prices
    assert set(off) == {f"{kind} {name}" for kind in ("same", "again") for name in here}
    assert max(value for name, value in off.items() if name.startswith("same")) <= FORECAST_TOLERANCE, off
    assert max(off.values()) <= TRAINING_TOLERANCE, off
