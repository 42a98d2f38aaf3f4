"""One line on each command, kept apart so that ``nextclose --help`` need not import the commands."""

SUMMARIES = {
    "run": "Do the day: prices in, checked and kept, a model retrained if due, forecasts, scores.",
    "demo": "The whole product on the prices that the project carries; no network, no server.",
    "ingest": "Only fetch, check and keep prices.",
    "retrain": "Train a challenger on what is stored and put it before the gate.",
    "tune": "Search for a better network on validation sessions, every trial kept; or look at a search.",
    "backtest": "Train on a price file, judge on a span never seen, let the gate speak; stores nothing.",
    "backfill": "Forecast past sessions that have no forecast yet; never counted as live.",
    "controls": "Try the product on markets, models and leaks whose truth is known.",
    "promote": "Put a model in service that passed the gate, or turn it down.",
    "rollback": "Put the model back in service that served before.",
    "forecast": "The latest forecast of a symbol.",
    "explain": "Why a forecast is what it is: the data known then, features, model, gate, rivals, what came true.",
    "reproduce": "Make a forecast of the ledger again: the same bits, or the reason why not.",
    "scoreboard": "How good the forecasts were: every forecaster against persistence and EWMA.",
    "status": "What is stored, how fresh it is, who serves, and how the last runs went.",
    "quality": "Check price files, or what is stored: a verdict for each, with the rule, the rows and the reason.",
    "models": "The trained models, what the gate said of each, and who serves.",
    "sql": "Ask the published tables anything, read-only.",
    "sources": "Where prices and macro series can come from: what is configured, budget left, how the last request went.",
    "verify": "Recompute every digest and compare with the manifest.",
}
