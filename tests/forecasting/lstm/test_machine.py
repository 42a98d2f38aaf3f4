"""The machine class names what bits depend on besides data, specification and code."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from forecasting.lstm.machine import known_instructions, machine_class, vector_class

OLD = ("SSE", "SSE2", "SSE3", "SSSE3", "SSE41", "POPCNT", "SSE42", "AVX", "F16C", "FMA3", "AVX2")


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ((*OLD, "AVX512F", "AVX512CD", "AVX512_SKX"), "avx512"),
        (("X86_V2", "X86_V3", "X86_V4", "AVX512_ICL"), "avx512"),
        (OLD, "avx2"),
        (("X86_V2", "X86_V3"), "avx2"),
        (OLD[:8], "avx"),
        (("X86_V2",), "sse"),
        (OLD[:2], "sse"),
        (("NEON", "NEON_FP16", "ASIMD", "ASIMDHP"), "neon"),
        (("NEON", "ASIMD", "SVE"), "sve"),
        (("VSX", "VSX2"), "plain"),
    ],
)
def test_vector_class__of_the_names_that_numpy_gave_and_gives(names, word):
    assert vector_class(names) == word


def test_machine_class__holds_this_processor_and_the_three_libraries():
    import keras
    import numpy
    import tensorflow

    found = machine_class()
    libraries = f"tensorflow-{tensorflow.__version__}/keras-{keras.__version__}/numpy-{numpy.__version__}"
    assert re.fullmatch(r"\w+-(avx512|avx2|avx|sse|sve|neon|plain)/(cpu|gpu)/" + re.escape(libraries), found), found
    assert f"-{vector_class(known_instructions())}/" in found


def test_configure_tensorflow__leaves_the_download_of_prices_working_in_the_same_process():
    tried = (
        "from forecasting.lstm import configure_tensorflow\n"
        "configure_tensorflow()\n"
        "import curl_cffi\n"
        "try:\n    curl_cffi.requests.get('http://127.0.0.1:9/', impersonate='chrome')\n"
        "except curl_cffi.requests.errors.RequestsError as error:\n    print(type(error).__name__)\n"
    )
    said = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, timeout=300)
    assert said.stdout.strip() == "ConnectionError"  # nobody listens there; ImpersonateError: TensorFlow hides what it needs
