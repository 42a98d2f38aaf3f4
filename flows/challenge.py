"""The part of every flow that puts a new model on trial."""

from __future__ import annotations

from datetime import date

from forecasting.errors import AlreadyRunning, InputError, LeakFound, RivalFileError, StorageError
from tasks.auditing import audit
from tasks.gating import gate
from tasks.judging import evaluate
from tasks.learning import failed_before, not_trained, train, without_training
from tasks.plots import draw
from tasks.run import Run


def challenge(run: Run, origin: date) -> None:
    """Train on what was known at ``origin``, look for leaks, judge on sessions never seen, let the gate decide who serves."""
    train(run, origin)
    audit(run, origin)
    evaluate(run, origin)
    if run.settings.evaluation.plots:
        draw(run, origin)
    gate(run, origin)


def challenge_or_go_on(run: Run, origin: date) -> None:
    """``challenge``; where that fails, or the runs before died of it, and somebody serves already, say so and let the day go
    on with who serves.

    What a person must mend first (a setting, the disk, a leak) ends the run.
    """
    with run.burst():
        reason = failed_before(run, origin)
    if reason is not None:
        without_training(run, origin, reason)
        return
    try:
        challenge(run, origin)
    except Exception as error:
        to_be_mended = isinstance(error, InputError | LeakFound | StorageError | AlreadyRunning)
        if (to_be_mended and not isinstance(error, RivalFileError)) or not not_trained(run, origin, error):
            raise
