"""A SQLAlchemy dialect whose driver answers every connection with an error that holds the password."""

from __future__ import annotations

import sqlite3

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class CanaryDialect(SQLiteDialect_pysqlite):
    name = "canary"
    supports_statement_cache = True

    def create_connect_args(self, url):
        return [], {"host": url.host, "password": url.password}

    def connect(self, *args, host, password):
        if host == "refused":
            raise sqlite3.OperationalError(f"password authentication failed for me:{password}")
        raise OSError(f"no route for {password}")
