"""Databases: the same prices from each kind, only ever read, and never a password in what is said."""

from __future__ import annotations

import sqlite3
import traceback
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from forecasting.errors import Blocked, NextcloseError, NoSession, PricesFileError, SettingError, SourceDown, SymbolError
from sources.database import DatabaseSource
from sources.read_only_sql import dollar_style, why_not

ROWS = [
    ("0700.HK", "2024-01-02", 300.0, 301.0, 299.0, 300.5, 1000),
    ("AAPL", "2024-01-02", 10.0, 11.0, 9.5, 10.5, 1000),
    ("AAPL", "2024-01-03", 10.5, 12.0, 10.0, 11.5, 11_000_000_000),
    ("MSFT", "2024-01-02", 20.0, 21.0, 19.0, 20.5, 3000),
]
COLUMNS = ["symbol", "date", "open", "high", "low", "close", "volume"]
CANARY = "kanarie/vogel"


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    """The same table in a file of each kind."""
    with sqlite3.connect(tmp_path / "prices.db") as con:
        con.execute("CREATE TABLE prices(symbol TEXT, date TEXT, open REAL, high REAL, low REAL, close REAL, volume INT)")
        con.executemany("INSERT INTO prices VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
    con.close()
    with duckdb.connect(tmp_path / "prices.duckdb") as con:
        types = "symbol TEXT, date DATE, open DECIMAL(12, 4), high DOUBLE, low REAL, close DOUBLE, volume BIGINT"
        con.execute(f"CREATE TABLE prices({types})")
        con.executemany("INSERT INTO prices VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(tmp_path / "prices.parquet")
    return {name: tmp_path / f"prices.{name}" for name in ("db", "duckdb", "parquet")}


KINDS = ("db", "duckdb", "parquet")
QUERY = "SELECT * FROM prices"
ASKING = QUERY + " WHERE symbol IN :symbols AND date BETWEEN :start AND :end"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", [{}, {"table": "prices"}, {"query": QUERY}], ids=["alone", "table", "query"])
def test_database__the_same_prices_from_each_kind(places, kind, how):
    if kind == "parquet":
        how = {k: v for k, v in how.items() if k != "table"}
    source = DatabaseSource(path=places[kind], **how)
    got = source.fetch(source.symbols())
    assert source.symbols() == ("0700.HK", "AAPL", "MSFT")
    assert [tuple(row) for row in got.bars.assign(session=got.bars["session"].dt.strftime("%Y-%m-%d")).to_numpy()] == ROWS
    assert got.rejects.empty and not got.failures and got.basis == "adjusted"
    assert source.meter.requests == 1


@pytest.mark.parametrize("kind", ["db", "duckdb"])
def test_database__asked_for_single_symbols_and_days(places, kind):
    source = DatabaseSource(path=places[kind], query=ASKING)
    assert source.symbols() is None
    got = source.fetch(["AAPL", "IBM"], date(2024, 1, 3), date(2024, 1, 31))
    assert got.bars[["symbol", "close", "volume"]].to_numpy().tolist() == [["AAPL", 11.5, 11e9]]
    assert isinstance(got.failures["IBM"], NoSession) and set(got.failures) == {"IBM"}
    assert len(source.fetch(["AAPL"]).bars) == 2  # without a span, all


def test_database__an_address_of_sqlite_is_opened_read_only_too(places, tmp_path):
    assert DatabaseSource(url=f"sqlite:///{places['db']}").symbols() == ("0700.HK", "AAPL", "MSFT")
    with pytest.raises(PricesFileError, match="there is no such file"):
        DatabaseSource(url=f"sqlite:///{tmp_path}/none.db").symbols()
    assert not (tmp_path / "none.db").exists()  # sqlite would make an empty one


def test_database__rows_that_cannot_be_read_are_rejects(tmp_path):
    with sqlite3.connect(tmp_path / "mixed.db") as con:
        con.execute("CREATE TABLE p(symbol, date, open, high, low, close, volume, currency)")
        con.executemany(
            "INSERT INTO p VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                ("AAPL", "2024-01-02", 10, 11, 9.5, 10.5, 1000, "USD"),
                ("AAPL", "2024-01-03", "ten", 11, 9.5, 10.5, 1000, "USD"),
                ("AAPL", "2024-01-04", 10, 11, 9.5, None, 1000, "USD"),
                ("AAPL", "2024-01-05", 10, 11, 9.5, 10.5, 1000, "EUR"),
                ("../etc", "2024-01-05", 10, 11, 9.5, 10.5, 1000, "USD"),
            ],
        )
    con.close()
    source = DatabaseSource(path=tmp_path / "mixed.db")
    got = source.fetch(source.symbols())
    assert got.bars["close"].isna().tolist() == [False, True] and got.currency == {"AAPL": "USD"}
    assert sorted(got.rejects["reason"]) == ["bad_symbol", "not_a_number", "other_currency"]


# --- it is only read ------------------------------------------------------------------------------------------------

WRITES = [
    "DROP TABLE prices",
    "DELETE FROM prices",
    "UPDATE prices SET close = 0",
    "INSERT INTO prices SELECT * FROM prices",
    "SELECT * FROM prices; DROP TABLE prices",
    "WITH gone AS (DELETE FROM prices RETURNING *) SELECT * FROM gone",
    "SELECT * INTO other FROM prices",
    "CREATE TABLE other AS SELECT * FROM prices",
    "COPY prices TO 'out.csv'",
    "ATTACH 'other.db' AS other",
    "PRAGMA journal_mode = DELETE",
    "INSTALL httpfs",
    "SET memory_limit = '1TB'",
    "CALL pg_sleep(10)",
    "EXPLAIN DELETE FROM prices",
    "SELECT 'a\\'' ; DROP TABLE prices; --'",
    "SELECT 1 /*! ; DROP TABLE prices */",
    "SELECT 1 # '\n INTO OUTFILE '/tmp/x' # '",
    "SELECT 'open",
    "",
]


@pytest.mark.parametrize("query", WRITES)
def test_database__a_query_that_writes_is_refused(query):
    with pytest.raises(SettingError, match="one query that only reads"):
        DatabaseSource(path="prices.db", query=query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT symbol, date, open, high, low, close, volume FROM prices -- drop nothing; really",
        "select * from prices where remark <> 'drop; it''s --' and close > 0;",
        'WITH p AS (SELECT *, last_update, "update" FROM prices) SELECT * FROM p',
        "FROM prices SELECT * /* insert */",
        "SELECT replace(symbol, '-', '.') AS symbol, date::date FROM prices",
    ],
)
def test_database__a_query_that_only_reads_is_let_through(query):
    assert why_not(query) is None


BEHIND_THE_FIRST_FENCE = {
    "db": [
        "DROP TABLE prices",
        "DELETE FROM prices",
        "ATTACH '{folder}/other.db' AS other",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('x')",
        "SELECT * FROM pragma_database_list",
    ],
    "duckdb": [
        "DROP TABLE prices",
        "DELETE FROM prices RETURNING *",
        "ATTACH '{folder}/other.db' AS other",
        "COPY prices TO '{folder}/out.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT getenv('HOME')",
        "SET lock_configuration = false",
    ],
    "parquet": ["COPY prices TO '{folder}/prices.parquet'", "SELECT * FROM read_csv('/etc/passwd')", "DROP VIEW prices"],
}


@pytest.mark.parametrize(("kind", "query"), [(k, q) for k, queries in BEHIND_THE_FIRST_FENCE.items() for q in queries])
def test_database__the_connection_itself_cannot_write_or_look_elsewhere(places, kind, query):
    """The first fence is taken away, so that the second one is seen to hold by itself."""
    source = DatabaseSource(path=places[kind], query=QUERY)
    source._query = query.format(folder=places[kind].parent)
    before = {p.name: p.read_bytes() for p in places[kind].parent.iterdir()}
    with pytest.raises(SettingError, match="database.query"):
        source.symbols()
    assert {p.name: p.read_bytes() for p in places[kind].parent.iterdir()} == before


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("db", "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r"),
        ("duckdb", "SELECT count(*) FROM range(10000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"),
    ],
)
def test_database__an_endless_query_is_ended(places, kind, query):
    with pytest.raises(SourceDown, match="too long|took longer"):
        DatabaseSource(path=places[kind], query=query, timeout_seconds=0.2).symbols()


def test_database__more_rows_than_allowed_are_refused(places):
    for kind in ("db", "duckdb"):
        with pytest.raises(SettingError, match="3 rows"):
            DatabaseSource(path=places[kind], query=QUERY, most_rows=3).symbols()


@pytest.mark.parametrize("symbol", ["'; DROP TABLE prices;--", '" OR 1=1', "../../x", "a/b", "NUL\x00", "X" * 4000, "", "."])
def test_database__hostile_symbols_never_reach_the_database(places, symbol):
    source = DatabaseSource(path=places["db"], query=ASKING)
    with pytest.raises(SymbolError):
        source.fetch([symbol])
    assert source.meter.requests == 0


def test_database__a_symbol_is_a_parameter_not_text(places):
    source = DatabaseSource(path=places["db"], query="SELECT * FROM prices WHERE symbol IN :symbols AND 'a:b' <> ':c'")
    assert len(source.fetch(["AAPL"]).bars) == 2
    assert dollar_style("SELECT ':a', x::date, :start -- :b") == "SELECT ':a', x::date, $start -- :b"


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either path .* or url"),
        ({"path": "a", "url": "b"}, "either path .* or url"),
        ({"path": "a", "query": QUERY, "table": "prices"}, "either query or table"),
        ({"path": "a", "query": QUERY + " WHERE symbol = :who"}, "':who'; expected no other parameters"),
        ({"url": f"postgres//:{CANARY}@host"}, "database.url is 'no such address'"),
    ],
)
def test_database__wrong_options_are_said(options, says):
    with pytest.raises(SettingError, match=says) as error:
        DatabaseSource(**options)
    assert CANARY not in str(error.value)


def test_database__a_table_must_be_named_where_there_are_several(places):
    with sqlite3.connect(places["db"]) as con:
        con.execute("CREATE TABLE other(a)")
    con.close()
    with pytest.raises(SettingError, match="a query, or table = one of other, prices"):
        DatabaseSource(path=places["db"]).symbols()
    with pytest.raises(SettingError, match="one of other, prices"):
        DatabaseSource(path=places["db"], table='prices"; DROP TABLE prices; --').symbols()
    assert len(DatabaseSource(path=places["db"], table="prices").symbols()) == 3


def test_database__what_is_no_database(tmp_path, places):
    (tmp_path / "x.db").write_bytes(b"hello")
    with pytest.raises(PricesFileError, match="is no DuckDB, SQLite or Parquet file"):
        DatabaseSource(path=tmp_path / "x.db").symbols()
    with pytest.raises(SettingError, match="no such table: nowhere"):
        DatabaseSource(path=places["db"], query="SELECT * FROM nowhere").symbols()
    with pytest.raises(PricesFileError, match="gave no rows"):
        DatabaseSource(path=places["db"], query=QUERY + " WHERE close < 0").symbols()
    (tmp_path / "y.db").write_bytes(places["db"].read_bytes()[:100] + b"\xff" * 5000)
    with pytest.raises(NextcloseError):
        DatabaseSource(path=tmp_path / "y.db", table="prices").symbols()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"nosuchkind://me:{CANARY.replace('/', '%2F')}@host/prices", SettingError),
        (f"postgresql+psycopg://me:{CANARY.replace('/', '%2F')}@127.0.0.1:1/prices", SettingError),  # no driver here
        (f"canary://me:{CANARY.replace('/', '%2F')}@host/prices", SourceDown),
        (f"canary://me:{CANARY.replace('/', '%2F')}@refused/prices", Blocked),
    ],
)
def test_database__a_password_is_never_shown(url, kind):
    """``canary`` is a driver that puts the password into its own error, as real ones have done."""
    with pytest.raises(NextcloseError) as error:
        DatabaseSource(url=url, query=QUERY).symbols()
    assert isinstance(error.value, kind) and "\n" not in str(error.value)
    shown = "".join(traceback.format_exception(error.value)) + repr(error.value)
    assert CANARY not in shown and CANARY.replace("/", "%2F") not in shown


def test_database__the_password_may_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("PRICES_PASSWORD", raising=False)
    source = DatabaseSource(url="canary://me@host/prices", query=QUERY, password_env="PRICES_PASSWORD")
    with pytest.raises(Blocked, match="PRICES_PASSWORD is not set; export PRICES_PASSWORD"):
        source.symbols()
    monkeypatch.setenv("PRICES_PASSWORD", CANARY)
    with pytest.raises(SourceDown, match=r"no route for \*\*\*"):
        source.symbols()
