"""A person's SQL in its fenced child: what it answers, refuses and stops, and that answers may be larger than its memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecasting.errors import InputError, StorageError
from storage.home import Home
from storage.sql import run_sql, stream_sql

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(published) -> Home:
    return published


def test_run_sql__answers_json_values_up_to_the_limit(home):
    answer = run_sql(home, "SELECT symbol, session, close, 1 / 0 AS nothing FROM prices ORDER BY ALL", limit=2)
    assert answer.columns == ["symbol", "session", "close", "nothing"]
    assert answer.rows == [("AAPL", "2024-03-01", 100.0, None), ("AAPL", "2024-03-04", 101.0, None)]
    assert answer.truncated
    assert not run_sql(home, "FROM prices", limit=3).truncated


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE store.forecasts",
        "UPDATE store.forecasts SET q50 = 1",
        "COPY prices TO '/tmp/prices.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "ATTACH '/tmp/other.duckdb'",
        "SET lock_configuration = false",
        "LOAD httpfs",
        "SELEC 1",
    ],
)
def test_run_sql__refuses_what_is_not_reading(home, sql):
    with pytest.raises(InputError, match="the SQL was refused: "):
        run_sql(home, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c WHERE (a.range * b.range + c.range) % 7 = 3",
        "SELECT length(repeat('a', 2000000000))",
        "SELECT list(range) FROM range(1000000000)",
    ],
)
def test_run_sql__stops_what_is_too_heavy(home, sql):
    began = time.monotonic()
    with pytest.raises(InputError, match="narrow it"):
        run_sql(home, sql, timeout=2)
    assert time.monotonic() - began < 5


def test_run_sql__without_a_snapshot_says_what_to_type(tmp_path):
    with pytest.raises(StorageError, match="run `nextclose run`"):
        run_sql(Home(tmp_path), "SELECT 1")


# The script is a small process of its own, because Linux counts a child's parent as its memory until it is what it will be.
SORTED = """
import json, resource
from storage.home import Home
from storage.sql import stream_sql
QUERY = "SELECT hash(range) AS h, repeat('x', 60) AS text FROM range(6000000) ORDER BY h"
rows = 0
with stream_sql(Home({home!r}), QUERY) as stream:
    for batch in stream.batches:
        rows += batch.num_rows
print(json.dumps([rows, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def test_stream_sql__sorts_more_than_its_memory_on_the_disk_and_clears_up(home, tmp_path, monkeypatch):
    """450 MB of rows through a child whose DuckDB has 256: on the disk meanwhile, not in the memory, and gone afterwards."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = SORTED.format(home=str(home.path))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    rows, largest = json.loads(done.stdout)
    assert rows == 6_000_000 and largest < 512
    assert list(tmp_path.iterdir()) == []


def test_stream_sql__given_up_on_leaves_nothing_on_the_disk(home, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with stream_sql(home, "SELECT hash(range) AS h FROM range(60000000) ORDER BY h") as stream:
        next(stream.batches)
        [spill] = tmp_path.iterdir()
        assert spill.stat().st_mode & 0o077 == 0
        assert sum(file.stat().st_size for file in spill.iterdir()) > 100_000_000
    assert list(tmp_path.iterdir()) == []


def test_stream_sql__more_than_the_disk_may_take_is_told(home, monkeypatch):
    monkeypatch.setattr("storage.spilling.SPILL_MB", 64)
    with (
        pytest.raises(InputError, match="more than 256 MB and 64 MB on disk; narrow it"),
        stream_sql(home, "SELECT hash(range) AS h FROM range(60000000) ORDER BY h") as stream,
    ):
        next(stream.batches)


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE prices", "SUMMARIZE prices", "EXPLAIN FROM prices", "FROM prices"])
def test_stream_sql__answers_what_run_sql_answers(home, sql):
    with stream_sql(home, sql) as stream:
        streamed = [row for batch in stream.batches for row in batch.to_pylist()]
    answer = run_sql(home, sql)
    assert len(answer.rows) == len(streamed) > 0 and list(streamed[0]) == answer.columns


def test_snapshot__is_read_where_nothing_can_be_written(home, tmp_path, monkeypatch):
    def no_place():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.gettempdir", no_place)
    assert run_sql(home, "SELECT count(*) FROM prices").rows == [(3,)]
    with pytest.raises(InputError, match="more than 256 MB and 0 MB on disk"):
        run_sql(home, "SELECT hash(range) AS h FROM range(60000000) ORDER BY h")
    assert list(tmp_path.iterdir()) == []
