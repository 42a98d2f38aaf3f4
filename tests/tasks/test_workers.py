"""Work spread over processes: the same bits as one after the other, in the same order, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from forecasting.lstm import LstmSpec
from forecasting.models import fit_model
from forecasting.splits import Spans
from tasks import workers
from tasks.workers import one_a_core
from tests.forecasting.markets import walks

PANEL = walks(11, 6, 300)
DAYS = PANEL.sessions.astype(object)
SPEC = LstmSpec(
    features=("ret", "range"), stem_units=0, units=(4,), head_units=4, lookback=10, labels_per_sequence=20, members=2, epochs=1,
    min_updates=3, horizons=(1, 5), per_symbol=True,
)  # fmt: skip


def fitted(**given):
    return fit_model(SPEC, PANEL, None, Spans(DAYS[200], DAYS[260], DAYS[299]), rivals=("ewma",), **given)


def test_one_a_core__networks_of_one_symbol_each_are_the_same_bits_as_one_after_the_other(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    told: list[tuple] = []
    spread, alone = fitted(spread=one_a_core, progress=lambda *now: told.append(now)), fitted()
    assert sum(name.startswith("lstm/S03/1/") for name in spread.arrays) == 7
    assert list(spread.arrays) == list(alone.arrays)
    for name, array in spread.arrays.items():
        assert (array == alone.arrays[name]).all(), name
    assert spread.card == alone.card
    assert told == [("training", n, 6) for n in range(1, 7)]
    assert not multiprocessing.active_children()


def who(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError("negative")
    return number, os.getpid()


def nothing(parent: int, own_features: tuple) -> None:
    pass


def test_one_a_core__few_jobs_stay_in_this_process(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 16)
    assert list(one_a_core(who, range(5))) == [(n, os.getpid()) for n in range(5)]
    assert list(one_a_core(who, [])) == []


def test_one_a_core__an_error_of_a_job_is_raised_and_no_process_stays(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(workers, "become_worker", nothing)  # no TensorFlow for jobs that need none
    found = one_a_core(who, [1, 2, -3, 4, 5, 6])
    assert next(found)[1] != os.getpid()
    with pytest.raises(ValueError, match="negative"):
        list(found)
    until = time.monotonic() + 20  # the pool's own thread reaps them, and knows it a moment before we do
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.05)
    assert not multiprocessing.active_children()
