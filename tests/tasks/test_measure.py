"""Seconds and memory of a stretch of work."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from tasks.measure import measured


def test_measured__counts_seconds():
    with measured() as cost:
        time.sleep(0.05)
    assert 0.04 < cost.seconds < 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget an earlier peak")
def test_measured__peak_is_of_the_block_not_of_the_process():
    with measured() as large:
        block = np.ones(64 * 1024 * 1024 // 8)  # 64 MiB, touched
    del block
    with measured() as small:
        pass
    assert large.peak_mb > small.peak_mb + 40
