"""What the bits of a training depend on besides data, specification and code: the machine, by its class."""

from __future__ import annotations

import platform
from collections.abc import Iterable

import numpy as np

from forecasting.lstm.engine import configure_tensorflow

#: Largest relative difference of a forecast price between x86-64 processors with other instructions, libraries as locked: from
#: the same model folder, and from the same data by a training of its own. docs/accountability.md says what was seen.
FORECAST_TOLERANCE, TRAINING_TOLERANCE = 1e-6, 1e-5


def machine_class() -> str:
    """Processor family, the widest vector instructions that compiled code chooses by, device, and the three libraries.

    ``x86_64-avx512/cpu/tensorflow-2.21.0/keras-3.13.2/numpy-2.4.6``. A sum over vectors of another length is rounded otherwise;
    docs/accountability.md says how far forecasts lie apart.
    """
    configure_tensorflow()  # before anything else touches it
    import keras
    import tensorflow as tf

    device = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    processor = f"{platform.machine()}-{vector_class(known_instructions())}"
    return f"{processor}/{device}/tensorflow-{tf.__version__}/keras-{keras.__version__}/numpy-{np.__version__}"


def known_instructions() -> tuple[str, ...]:
    """The instruction sets that NumPy found in this processor, in its names."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return (*extensions.get("baseline", ()), *extensions.get("found", ()))


def vector_class(names: Iterable[str]) -> str:
    """One word for instruction sets in NumPy's names, old (AVX512F, AVX2, FMA3) or new (X86_V4, X86_V3)."""
    found = {name.upper() for name in names}
    if "X86_V4" in found or "AVX512F" in found:
        return "avx512"
    if "X86_V3" in found or {"AVX2", "FMA3"} <= found:
        return "avx2"
    if "AVX" in found:
        return "avx"
    if "SVE" in found:
        return "sve"
    return "neon" if {"NEON", "ASIMD"} & found else "sse" if {"SSE", "SSE2", "X86_V2"} & found else "plain"
