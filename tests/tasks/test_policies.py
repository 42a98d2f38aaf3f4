"""What is tried again, how often, and what never is."""

from __future__ import annotations

import pytest

from forecasting.errors import (
    AlreadyRunning,
    Blocked,
    DatabaseCorrupt,
    DatabaseLocked,
    LeakFound,
    Malformed,
    NotEnoughHistory,
    Partial,
    RateLimited,
    SettingError,
    SourceDown,
    UnknownSymbol,
    UntrustedModel,
)
from tasks.policies import COMPUTE, DATABASE, POLICIES, SOURCE, TRAINING, Policy

PERMANENT = (
    SettingError("a", 1, "2"),
    NotEnoughHistory("A", 1, 2, "x"),
    DatabaseCorrupt("broken"),
    AlreadyRunning("already running"),
    LeakFound("sma_20", "moved"),
    UntrustedModel("changed"),
    UnknownSymbol("yahoo", "ZZZZ", "404"),
    Blocked("yahoo", None, "403"),
    ValueError("a fault of ours"),
    TimeoutError("would take as long again"),
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
@pytest.mark.parametrize("error", PERMANENT, ids=lambda e: type(e).__name__)
def test_policy__never_retries_what_cannot_get_better(policy, error):
    assert not policy.helps(error)


def test_source_policy__retries_what_the_source_may_get_over():
    for error in (
        RateLimited("y", "A", "429"),
        SourceDown("y", None, "500"),
        Malformed("y", "A", "html"),
        Partial("y", "A", "gap"),
    ):
        assert SOURCE.helps(error)
        assert not DATABASE.helps(error)


def test_database_policy__waits_for_whoever_has_the_file_open():
    assert DATABASE.helps(DatabaseLocked("open elsewhere"))
    assert COMPUTE.helps(DatabaseLocked("open elsewhere"))
    assert DATABASE.helps(OSError(5, "Input/output error"))


def test_training_policy__memory_can_come_back_arithmetic_does_not():
    assert TRAINING.helps(MemoryError())
    assert not TRAINING.helps(FloatingPointError("nan"))


def test_delays__grow_and_are_lengthened_by_at_most_the_jitter():
    policy = Policy("p", retries=3, first_delay=1.0, timeout_seconds=1, growth=3.0, jitter=0.5)
    assert policy.delays() == [1.0, 3.0, 9.0]
    drawn = [policy.delay(1) for _ in range(200)]
    assert 3.0 <= min(drawn) and max(drawn) <= 4.5
    assert max(drawn) - min(drawn) > 0.5


def test_source_policy__gives_up_within_seconds():
    """Without a network a person waits for this and no longer."""
    assert sum(SOURCE.delays()) * (1 + SOURCE.jitter) < 10
