"""The flows as Prefect imports them: ``deployments/prefect.yaml`` and ``deployments/serve.py`` name what is here."""

from __future__ import annotations

import flows.backfill
import flows.backtest
import flows.daily
import flows.ingest
import flows.retrain

daily = flows.daily.daily.prefect
ingest = flows.ingest.ingest.prefect
retrain = flows.retrain.retrain.prefect
backfill = flows.backfill.backfill.prefect
backtest = flows.backtest.backtest.prefect

ALL = (daily, ingest, retrain, backfill, backtest)
