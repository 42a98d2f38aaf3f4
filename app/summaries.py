"""One line on each command, kept apart so that ``nextclose --help`` need not import the commands."""

SUMMARIES = {
    "run": "Do the day: prices in, checked and kept, a model retrained if due, forecasts, scores.",
    "demo": "The whole product on the prices that the project carries; no network, no server.",
    "ingest": "Only fetch, check and keep prices.",
    "retrain": "Train a challenger on what is stored and put it before the gate.",
    "backtest": "Train on a price file, judge on a span never seen, let the gate speak; stores nothing.",
    "backfill": "Forecast past sessions that have no forecast yet; never counted as live.",
    "forecast": "The latest forecast of a symbol.",
    "scoreboard": "How good the forecasts were: every forecaster against persistence and EWMA.",
    "status": "What is stored, how fresh it is, who serves, and how the last runs went.",
    "quality": "Check price files, or what is stored: a verdict for each, with the rule, the rows and the reason.",
    "models": "The trained models, what the gate said of each, and who serves.",
    "sql": "Ask the published tables anything, read-only.",
    "sources": "Where prices and macro series can come from: what is configured, budget left, how the last request went.",
    "verify": "Recompute every digest and compare with the manifest.",
}
