"""Where things are kept: the DuckDB file, its migrations and views, the ledger, the model registry, the snapshot."""
