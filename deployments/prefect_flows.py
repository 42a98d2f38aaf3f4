"""The flows as Prefect imports them: ``deployments/prefect.yaml`` and ``deployments/serve.py`` name what is here."""

from __future__ import annotations

import flows.backfill
import flows.backtest
import flows.controls
import flows.daily
import flows.ingest
import flows.promote
import flows.retrain
import flows.rollback
import flows.tune

daily = flows.daily.daily.prefect
ingest = flows.ingest.ingest.prefect
retrain = flows.retrain.retrain.prefect
tune = flows.tune.tune.prefect
backfill = flows.backfill.backfill.prefect
backtest = flows.backtest.backtest.prefect
controls = flows.controls.controls.prefect
promote = flows.promote.promote.prefect
rollback = flows.rollback.rollback.prefect

ALL = (daily, ingest, retrain, tune, backfill, backtest, controls, promote, rollback)
