"""The flows as Prefect imports them: ``deployments/prefect.yaml`` and ``deployments/catalogue.py`` name what is here.

A run of theirs in a process that ``nextclose serve`` started ends with it, and is begun again where its process died.
"""

from __future__ import annotations

import os

import flows.backfill
import flows.backtest
import flows.controls
import flows.daily
import flows.ingest
import flows.nightly
import flows.promote
import flows.retrain
import flows.rollback
import flows.tune
from deployments import lifeline
from deployments.recovery import begin_again

daily = flows.daily.daily.prefect
ingest = flows.ingest.ingest.prefect
retrain = flows.retrain.retrain.prefect
tune = flows.tune.tune.prefect
backfill = flows.backfill.backfill.prefect
backtest = flows.backtest.backtest.prefect
controls = flows.controls.controls.prefect
nightly = flows.nightly.nightly.prefect
promote = flows.promote.promote.prefect
rollback = flows.rollback.rollback.prefect

ALL = (daily, ingest, retrain, tune, backfill, backtest, controls, nightly, promote, rollback)

for resuming in (daily, ingest, retrain, tune, backfill, controls, nightly):
    resuming.on_crashed(begin_again)
lifeline.end_with_parent(os.environ)
