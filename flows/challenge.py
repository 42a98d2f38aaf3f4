"""The part of every flow that puts a new model on trial."""

from __future__ import annotations

from datetime import date

from tasks.auditing import audit
from tasks.gating import gate
from tasks.judging import evaluate
from tasks.learning import train
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
