"""The domain: prices, features, models, evaluation and the gate, as pure functions and small classes.

Nothing here knows Prefect, DuckDB, the network, the wall clock or the environment.
"""
