"""The part of every flow that forecasts."""

from __future__ import annotations

from datetime import date

from tasks.ledger import forecast, score, store_features
from tasks.ranking_days import rank
from tasks.run import Run


def issue(run: Run, sessions: tuple[date, ...]) -> None:
    """What the model saw at ``sessions``, what it forecast from them, the scores of what settled by then, and the ranks."""
    with run.burst(working=True):
        store_features(run, sessions)
        forecast(run, sessions)
        score(run, sessions)
        rank(run, sessions)
